/* fuzz_zip.c - bytes as a ZIP file, and a sound ZIP file with some bytes changed. Nothing may
 * crash, leak or take more memory than the bound; what is refused has a reason, and what is read is
 * in order of names, each once. */
#include <stdlib.h>

#include "base/zip.h"

enum { MOST = 1 << 20 };

static void read_zip(struct str zip)
{
    _cleanup_arena struct arena arena = {0};
    struct err err = {0};
    struct zip_file *files;
    size_t count, bytes = 0;
    if (zip_read(zip, MOST, &arena, &files, &count, &err)) {
        if (!*err.text || !*err.reason)
            abort();
        return;
    }
    for (size_t i = 0; i < count; i++) {
        bytes += files[i].content.n;
        if (i && str_cmp(files[i - 1].name, files[i].name) >= 0)
            abort();
    }
    if (count == 0 || bytes > MOST)
        abort();
}

static void write_zip(struct buf *out)
{
    struct err err = {0};
    struct zip *z = zip_new(out, MOST);
    if (zip_add(z, "a", STR("to be, or not to be, to be, or not to be"), &err) ||
        zip_add(z, "b/c", STR(""), &err) || zip_finish(z, &err))
        abort();
    zip_free(z);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Three bytes say where a byte is changed, and to what. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_buf struct buf zip = {0};
    read_zip((struct str){(const char *)data, size});
    write_zip(&zip);
    for (size_t i = 0; i + 3 <= size; i += 3)
        zip.p[((size_t)data[i] << 8 | data[i + 1]) % zip.n] = (char)data[i + 2];
    read_zip(buf_view(&zip));
    return 0;
}
