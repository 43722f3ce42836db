/*
 * multipart.h - forms with files: multipart/form-data (RFC 7578), whole in memory. One thread.
 */
#ifndef LOV_BASE_MULTIPART_H
#define LOV_BASE_MULTIPART_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

struct multipart {
    struct str name;
    bool file;
    struct str filename; /* of a file, as the browser says it: not safe as a path */
    struct str content;  /* borrowed from the body */
};
/* The parts of a body, in their order; the array is the arena's. `type` is the Content-Type, which
 * names the boundary. LOV_EINVAL "invalid_form" of what is none; LOV_ELIMIT of more than `most`. */
int multipart_read(struct str type, struct str body, size_t most, struct arena *arena,
                   struct multipart **out, size_t *count, struct err *err);
/* The text of the field of that name, which is no file; the empty str where there is none or more
 * than one. */
struct str multipart_field(const struct multipart *parts, size_t count, const char *name);

#endif
