#!/usr/bin/env python3
"""Asks the reference tokenizer which code points are younger than its Unicode, for src/text/normal_tables.c.

    python3 tools/make-tokenize-tables.py > src/text/normal_tables.c       # needs: pip install tokenizers==0.23.3, libutf8proc

A code point is young where utf8proc decomposes it, orders it or takes it for a mark, and the reference does not.
"""
import ctypes

from tokenizers import normalizers

HEAD = """/* normal_tables.c - code points that are younger than the reference's Unicode. Made by
 * tools/make-tokenize-tables.py: do not edit. */
#include "text/normal.h"

/* clang-format off */
const kua__young_range kua__young[] = {
"""


class Property(ctypes.Structure):
    _fields_ = [("category", ctypes.c_int16), ("combining_class", ctypes.c_int16)]


def utf8proc():
    library = ctypes.CDLL("libutf8proc.so.2")
    library.utf8proc_get_property.restype = ctypes.POINTER(Property)
    return library


def decomposes(library, c):
    room, last = (ctypes.c_int32 * 32)(), ctypes.c_int(0)
    n = library.utf8proc_decompose_char(c, room, 32, (1 << 4) | (1 << 2) | (1 << 1), ctypes.byref(last))
    return n != 1 or room[0] != c


def is_young(library, c):
    nfkd, nfd, strip = normalizers.NFKD(), normalizers.NFD(), normalizers.StripAccents()
    text, found = chr(c), library.utf8proc_get_property(c).contents
    theirs = nfkd.normalize_str(text) != text
    if decomposes(library, c) and not theirs:
        return True
    moves = nfd.normalize_str("a" + text + "\u0334") == "a\u0334" + text or nfd.normalize_str("a\u0345" + text) == "a" + text + "\u0345"
    if found.combining_class not in (0, 240) and not theirs and not moves:
        return True
    return found.category in (6, 7, 8) and strip.normalize_str("a" + text) != "a"


def main():
    library, ranges = utf8proc(), []
    for c in range(0x80, 0x110000):
        if 0xD800 <= c <= 0xDFFF or not is_young(library, c):
            continue
        if ranges and ranges[-1][1] == c - 1:
            ranges[-1][1] = c
        else:
            ranges.append([c, c])
    print(HEAD, end="")
    for at in range(0, len(ranges), 5):
        print("    " + " ".join("{0x%x, 0x%x}," % (a, b) for a, b in ranges[at:at + 5]))
    print("};\n/* clang-format on */\nconst size_t kua__n_young = sizeof(kua__young) / sizeof(kua__young[0]);")


main()
