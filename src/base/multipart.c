/* multipart.c - see multipart.h. Browsers write names with %22 for a quote and no backslashes (HTML
 * "multipart/form-data encoding algorithm"), so a quoted value ends at the next quote. */
#include "base/multipart.h"

#include <string.h>
#include <strings.h>

enum { BOUNDARY_MAX = 70, HEADERS_MAX = 4096 }; /* RFC 2046 §5.1.1; ours */

static int invalid(struct err *err, const char *why)
{
    return err_reason(err, LOV_EINVAL, "invalid_form", "the form cannot be read: %s", why);
}

static const char *find(struct str in, struct str what)
{
    return in.n ? memmem(in.p, in.n, what.p, what.n) : NULL;
}

static struct str after(struct str in, const char *p)
{
    return (struct str){p, (size_t)(in.p + in.n - p)};
}

/* The value of `; name=value` or `; name="value"`. */
static bool parameter(struct str header, const char *name, struct str *out)
{
    struct str rest = header;
    str_cut(&rest, ';');
    while (rest.n) {
        struct str key = str_trim((struct str){rest.p, str_find(rest, '=')});
        bool found = key.n == strlen(name) && strncasecmp(key.p, name, key.n) == 0;
        str_cut(&rest, '=');
        bool quoted = rest.n && *rest.p == '"';
        if (quoted)
            str_cut(&rest, '"');
        struct str value = str_cut(&rest, quoted ? '"' : ';');
        if (quoted)
            str_cut(&rest, ';');
        if (found) {
            *out = quoted ? value : str_trim(value);
            return true;
        }
    }
    return false;
}

static bool take_boundary(struct str type, struct str *out)
{
    struct str rest = type, kind = str_trim(str_cut(&rest, ';')), form = STR("multipart/form-data");
    return kind.n == form.n && strncasecmp(kind.p, form.p, kind.n) == 0 &&
           parameter(type, "boundary", out) && out->n && out->n <= BOUNDARY_MAX;
}

/* The headers of one part: only Content-Disposition says something. */
static bool take_headers(struct str headers, struct multipart *out)
{
    struct str name = STR("content-disposition:");
    while (headers.n) {
        struct str line = str_cut(&headers, '\n');
        if (line.n < name.n || strncasecmp(line.p, name.p, name.n) != 0)
            continue;
        struct str value = {line.p + name.n, line.n - name.n};
        out->file = parameter(value, "filename", &out->filename);
        return parameter(value, "name", &out->name) && str_utf8_valid(value);
    }
    return false;
}

/* *rest begins behind a delimiter, and is moved behind the next one. */
static int take_part(struct str *rest, struct str delimiter, struct multipart *out, struct err *err)
{
    struct str blank = STR("\r\n\r\n");
    const char *end = find(*rest, blank);
    *out = (struct multipart){0};
    if (!end || end - rest->p > HEADERS_MAX ||
        !take_headers((struct str){rest->p, (size_t)(end - rest->p)}, out))
        return invalid(err, "a part has no name");
    struct str content = after(*rest, end + blank.n);
    const char *stop = find(content, delimiter);
    if (!stop)
        return invalid(err, "it is cut off");
    out->content = (struct str){content.p, (size_t)(stop - content.p)};
    *rest = after(content, stop + delimiter.n);
    return 0;
}

int multipart_read(struct str type, struct str body, size_t most, struct arena *arena,
                   struct multipart **out, size_t *count, struct err *err)
{
    struct str boundary, close = STR("--"), rest = body;
    if (!take_boundary(type, &boundary))
        return invalid(err, "it is no multipart/form-data");
    struct str delimiter = arena_printf(arena, "\r\n--%.*s", STR_ARG(boundary));
    struct str first = {delimiter.p + 2, delimiter.n - 2}; /* nothing is before it */
    struct multipart *parts = arena_array(arena, most + 1, sizeof *parts);
    size_t n = 0;
    if (!str_starts(body, first))
        return invalid(err, "it does not begin with its boundary");
    rest = after(body, body.p + first.n);
    while (!str_starts(rest, close)) {
        struct str line = str_cut(&rest, '\n');
        if (str_trim(line).n || !rest.n)
            return invalid(err, "a boundary does not end its line");
        if (n == most)
            return err_reason(err, LOV_ELIMIT, "invalid_form", "the form has more than %zu parts",
                              most);
        int rc = take_part(&rest, delimiter, &parts[n++], err);
        if (rc)
            return rc;
    }
    *out = parts;
    *count = n;
    return 0;
}

struct str multipart_field(const struct multipart *parts, size_t count, const char *name)
{
    struct str found = {0};
    size_t times = 0;
    for (size_t i = 0; i < count; i++) {
        if (parts[i].file || !str_is(parts[i].name, name))
            continue;
        found = parts[i].content;
        times++;
    }
    return times == 1 ? found : (struct str){0};
}
