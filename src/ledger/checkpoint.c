/* checkpoint.c - see checkpoint.h. */
#include "ledger/checkpoint.h"

#include <string.h>

void checkpoint_format(const struct checkpoint *c, struct buf *out)
{
    buf_str(out, c->origin);
    buf_printf(out, "\n%lld\n", (long long)c->size);
    base64_encode(c->root.b, sizeof c->root.b, out);
    buf_char(out, '\n');
    buf_str(out, c->extensions);
}

/* Cuts a line with its newline off; false when it has none or is empty. */
static bool next_line(struct str *text, struct str *line)
{
    size_t n = str_find(*text, '\n');
    if (n == 0 || n == text->n)
        return false;
    *line = (struct str){text->p, n};
    text->p += n + 1;
    text->n -= n + 1;
    return true;
}

/* Decimal without sign and leading zeroes. */
static bool read_size(struct str text, int64_t *out)
{
    if (text.n == 0 || text.p[0] < '0' || text.p[0] > '9' || (text.n > 1 && text.p[0] == '0'))
        return false;
    return str_to_int(text, 0, INT64_MAX, out);
}

int checkpoint_parse(struct str text, struct checkpoint *out, struct err *err)
{
    struct checkpoint c = {0};
    struct str rest = text, size, root, line;
    _cleanup_buf struct buf raw = {0};
    if (!next_line(&rest, &c.origin) || !next_line(&rest, &size) || !next_line(&rest, &root))
        return err_set(err, LOV_EINVAL, "a checkpoint has three lines: origin, size, root");
    if (!str_utf8_valid(c.origin))
        return err_set(err, LOV_EINVAL, "the origin of a checkpoint is not UTF-8");
    if (!read_size(size, &c.size))
        return err_set(err, LOV_EINVAL, "the size of a checkpoint is not a whole number");
    if (!base64_decode(root, &raw) || raw.n != sizeof c.root.b)
        return err_set(err, LOV_EINVAL, "the root of a checkpoint is not a hash in base64");
    memcpy(c.root.b, raw.p, sizeof c.root.b);
    c.extensions = rest;
    while (rest.n > 0)
        if (!next_line(&rest, &line))
            return err_set(err, LOV_EINVAL, "a checkpoint has an empty line");
    *out = c;
    return 0;
}

int checkpoint_open(struct str bytes, const struct note_key *key, struct checkpoint *out,
                    struct err *err)
{
    struct note note;
    struct checkpoint c = {0};
    int rc = note_parse(bytes, &note, err);
    if (rc == 0)
        rc = note_verify(&note, key, NULL, err);
    if (rc == 0)
        rc = checkpoint_parse(note.text, &c, err);
    if (rc)
        return rc;
    if (!str_eq(c.origin, note_key_name(key)))
        return err_set(err, LOV_EINVAL, "the checkpoint is of another log than %s", key->name);
    *out = c;
    return 0;
}
