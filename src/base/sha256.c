/* sha256.c - SHA-256 (FIPS 180-4), for files that were fetched: are they what was asked for?
 *
 * Plain C: what is hashed comes from a network or a disk, which are slower.
 */
#include "base/base.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static const uint32_t round_constant[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t turn(uint32_t x, int n)
{
    return x >> n | x << (32 - n);
}

static void spread(const uint8_t block[64], uint32_t w[64])
{
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
               (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
    for (int i = 16; i < 64; i++) {
        uint32_t a = turn(w[i - 15], 7) ^ turn(w[i - 15], 18) ^ w[i - 15] >> 3;
        uint32_t b = turn(w[i - 2], 17) ^ turn(w[i - 2], 19) ^ w[i - 2] >> 10;
        w[i] = w[i - 16] + a + w[i - 7] + b;
    }
}

static void mix(uint32_t state[8], const uint8_t block[64])
{
    uint32_t w[64], s[8];
    spread(block, w);
    memcpy(s, state, sizeof(s));
    for (int i = 0; i < 64; i++) {
        uint32_t choose = (s[4] & s[5]) ^ (~s[4] & s[6]);
        uint32_t most = (s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]);
        uint32_t a = s[7] + (turn(s[4], 6) ^ turn(s[4], 11) ^ turn(s[4], 25)) + choose +
                     round_constant[i] + w[i];
        uint32_t b = (turn(s[0], 2) ^ turn(s[0], 13) ^ turn(s[0], 22)) + most;
        memmove(s + 1, s, 7 * sizeof(*s));
        s[4] += a;
        s[0] = a + b;
    }
    for (int i = 0; i < 8; i++)
        state[i] += s[i];
}

void kua__sha256_init(kua__sha256 *sha)
{
    assert(sha);
    *sha = (kua__sha256){.state = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f,
                                   0x9b05688c, 0x1f83d9ab, 0x5be0cd19}};
}

void kua__sha256_add(kua__sha256 *sha, const void *data, size_t n)
{
    assert(sha && (data || n == 0));
    const uint8_t *from = data;
    while (n > 0) {
        size_t inside = sha->bytes % 64, part = KUA__MIN(n, 64 - inside);
        memcpy(sha->block + inside, from, part);
        sha->bytes += part;
        from += part;
        n -= part;
        if (sha->bytes % 64 == 0) mix(sha->state, sha->block);
    }
}

void kua__sha256_done(kua__sha256 *sha, char hex[KUA__SHA256_HEX])
{
    assert(sha && hex);
    uint64_t bits = sha->bytes * 8;
    uint8_t length[8];
    for (int i = 0; i < 8; i++)
        length[i] = (uint8_t)(bits >> (56 - 8 * i));
    kua__sha256_add(sha, "\x80", 1);
    while (sha->bytes % 64 != 56)
        kua__sha256_add(sha, "", 1);
    kua__sha256_add(sha, length, sizeof(length));
    for (int i = 0; i < 8; i++)
        snprintf(hex + 8 * i, 9, "%08x", sha->state[i]);
}

kua_status kua__sha256_file(const char *path, char hex[KUA__SHA256_HEX])
{
    assert(path && hex);
    FILE *file = fopen(path, "rbe");
    if (!file) return kua__fail_errno("%s: cannot open", path);
    kua__sha256 sha;
    uint8_t part[1 << 14];
    size_t n;
    kua__sha256_init(&sha);
    while ((n = fread(part, 1, sizeof(part), file)) > 0)
        kua__sha256_add(&sha, part, n);
    kua_status st = ferror(file) ? kua__fail_errno("%s: cannot read", path) : KUA_OK;
    fclose(file);
    kua__sha256_done(&sha, hex);
    return st;
}
