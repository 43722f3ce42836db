/* fuzz_multipart.c - bytes as a form with files: the first line is its type. Nothing may crash, and
 * every part lies inside the body. */
#include <stdlib.h>

#include "base/multipart.h"

enum { MOST = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_arena struct arena arena = {0};
    struct err err = {0};
    struct multipart *parts;
    size_t count;
    struct str body = {(const char *)data, size};
    struct str type = str_cut(&body, '\n');
    if (multipart_read(type, body, MOST, &arena, &parts, &count, &err)) {
        if (!*err.text || !*err.reason)
            abort();
        return 0;
    }
    if (count > MOST)
        abort();
    for (size_t i = 0; i < count; i++)
        if (parts[i].content.p < body.p ||
            parts[i].content.p + parts[i].content.n > body.p + body.n)
            abort();
    multipart_field(parts, count, "csrf");
    return 0;
}
