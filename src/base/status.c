/* base/status.c - the texts of status codes, and the one message that explains a failure.
 *
 * Why one message a thread
 *   Only the function that detects a failure knows the object, the value and the limit. It writes
 * them here, and everyone above passes a plain code up; nobody owns or frees the text. A task
 * that fails on a worker keeps the message in its kua__failure, and the calling thread fails with
 * it once more.
 *
 * Invariants
 *   I1  message is always NUL-terminated; a text that does not fit is cut at the end of a
 * character. I2  arguments may point into the old message: it is built aside and copied.
 */
#include "base/base.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

enum { MESSAGE_BYTES = 1024 };

static _Thread_local char message[MESSAGE_BYTES] = "no failure yet";

const char *kua_status_text(kua_status status)
{
    static const char *const texts[] = {
#define X(name, text) [KUA_##name] = text,
        KUA_STATUS_MAP(X)
#undef X
    };
    if ((size_t)status >= KUA__COUNT(texts)) {
        return "unknown status";
    }
    return texts[status];
}

const char *kua_error_message(void)
{
    return message;
}

/* I1: snprintf may have cut a character of several bytes in two. */
static void message_set(const char *text)
{
    size_t n = kua__utf8_valid(text, strlen(text));
    if (n + 4 <
        MESSAGE_BYTES - 1) { /* not cut: bytes that are no UTF-8 are the caller's, keep them */
        n = strlen(text);
    }
    memcpy(message, text, n);
    message[n] = '\0';
}

kua_status kua__fail(kua_status status, const char *format, ...)
{
    assert(status != KUA_OK);
    assert(format);
    char text[MESSAGE_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    message_set(text);
    return status;
}

kua_status kua__fail_errno(const char *format, ...)
{
    int error = errno;
    assert(error != 0);
    char text[MESSAGE_BYTES], full[MESSAGE_BYTES], why[128];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    snprintf(full, sizeof(full), "%.800s: %s", text, strerror_r(error, why, sizeof(why)));
    message_set(full);
    return error == ENOMEM ? KUA_NOMEM : KUA_IO;
}

kua_status kua__fail_nomem(size_t bytes, const char *what)
{
    assert(what);
    return kua__fail(KUA_NOMEM, "out of memory: %zu bytes for %s", bytes, what);
}

kua_status kua__fail_prefix(kua_status status, const char *format, ...)
{
    assert(status != KUA_OK);
    char prefix[MESSAGE_BYTES / 2], full[2 * MESSAGE_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(prefix, sizeof(prefix), format, args);
    va_end(args);
    snprintf(full, sizeof(full), "%s: %s", prefix, message);
    full[MESSAGE_BYTES - 1] = '\0';
    message_set(full);
    return status;
}

/* ---- failures of tasks ---- */

void kua__failure_keep(kua__failure *failure, kua_status status, size_t at)
{
    assert(failure && status);
    if (failure->status && failure->at <= at) return;
    failure->status = status;
    failure->at = at;
    snprintf(failure->message, sizeof(failure->message), "%s", kua_error_message());
}

kua_status kua__failure_first(const kua__failure *failure, size_t n)
{
    const kua__failure *first = NULL;
    for (size_t i = 0; i < n; i++) {
        if (failure[i].status && (!first || failure[i].at < first->at)) first = &failure[i];
    }
    return first ? kua__fail(first->status, "%s", first->message) : KUA_OK;
}
