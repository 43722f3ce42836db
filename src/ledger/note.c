/* note.c - see note.h. Nothing is guessed: what is not exactly the format is refused, so that a
 * changed byte anywhere in a note is an error or a signature that fails. */
#include "ledger/note.h"

#include <string.h>

#include "base/hash.h"

static const struct str dash = {"\xe2\x80\x94 ", 4};

enum { ID = 4, KEY = 32, SIGNATURE = 64, TIMESTAMP = 8 };

/* ---- names and keys ---- */

/* The characters that Unicode calls White_Space beyond ASCII, in UTF-8. */
static bool starts_with_space(struct str s)
{
    static const char *const spaces[] = {
        "\xc2\x85",     "\xc2\xa0",     "\xe1\x9a\x80", "\xe2\x80\x80", "\xe2\x80\x81",
        "\xe2\x80\x82", "\xe2\x80\x83", "\xe2\x80\x84", "\xe2\x80\x85", "\xe2\x80\x86",
        "\xe2\x80\x87", "\xe2\x80\x88", "\xe2\x80\x89", "\xe2\x80\x8a", "\xe2\x80\xa8",
        "\xe2\x80\xa9", "\xe2\x80\xaf", "\xe2\x81\x9f", "\xe3\x80\x80",
    };
    if (s.p[0] == ' ')
        return true;
    for (size_t i = 0; i < sizeof spaces / sizeof spaces[0]; i++)
        if (str_starts(s, str_of(spaces[i])))
            return true;
    return false;
}

bool note_name_valid(struct str name)
{
    if (name.n == 0 || name.n > NOTE_NAME_MAX || !str_utf8_valid(name) ||
        !str_no_controls(name, false))
        return false;
    for (size_t i = 0; i < name.n; i++)
        if (name.p[i] == '+' || starts_with_space((struct str){name.p + i, name.n - i}))
            return false;
    return true;
}

static uint32_t load32(const uint8_t *b)
{
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static void store32(uint32_t v, uint8_t *b)
{
    for (int i = 0; i < ID; i++)
        b[i] = (uint8_t)(v >> (24 - 8 * i));
}

int note_key_make(struct str name, enum note_kind kind, const struct ed25519_key *key,
                  struct note_key *out, struct err *err)
{
    if (!note_name_valid(name))
        return err_set(err, LOV_EINVAL,
                       "a key's name is 1 to %d bytes of UTF-8 without spaces and '+'",
                       NOTE_NAME_MAX);
    const char type[2] = {'\n', (char)kind};
    struct str parts[3] = {name, {type, sizeof type}, {(const char *)key->b, KEY}};
    struct sha256 hash = sha256_parts(parts, 3);
    *out = (struct note_key){.kind = kind, .id = load32(hash.b), .key = *key};
    out->name_length = name.n;
    memcpy(out->name, name.p, name.n);
    return 0;
}

struct str note_key_name(const struct note_key *key)
{
    return (struct str){key->name, key->name_length};
}

/* The id must be eight lower-case digits: one text for one key. */
static bool read_id(struct str text, uint8_t out[ID])
{
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] >= 'A' && text.p[i] <= 'F')
            return false;
    return hex_decode(text, out, ID);
}

int note_key_parse(struct str vkey, struct note_key *out, struct err *err)
{
    if (vkey.n > NOTE_VKEY_MAX)
        return err_set(err, LOV_EINVAL, "a verifier key has at most %d bytes", NOTE_VKEY_MAX);
    struct str rest = vkey, name = str_cut(&rest, '+'), hex = str_cut(&rest, '+');
    uint8_t id[ID] = {0};
    _cleanup_buf struct buf raw = {0};
    if (!read_id(hex, id) || !base64_decode(rest, &raw) || raw.n == 0)
        return err_set(err, LOV_EINVAL, "this is not a verifier key: it looks like name+id+key");
    uint8_t kind = (uint8_t)raw.p[0];
    if (kind != NOTE_ED25519 && kind != NOTE_COSIGNATURE)
        return err_set(err, LOV_EINVAL, "a verifier key of kind %u is not known here", kind);
    if (raw.n != 1 + KEY)
        return err_set(err, LOV_EINVAL, "the key in this verifier key has not %d bytes", KEY);
    struct ed25519_key key;
    struct note_key made = {0};
    memcpy(key.b, raw.p + 1, KEY);
    int rc = note_key_make(name, kind, &key, &made, err);
    if (rc)
        return rc;
    if (made.id != load32(id))
        return err_set(err, LOV_EINVAL, "this verifier key is damaged: its id does not match");
    *out = made;
    return 0;
}

void note_key_format(const struct note_key *key, struct buf *out)
{
    uint8_t raw[1 + KEY] = {(uint8_t)key->kind};
    memcpy(raw + 1, key->key.b, KEY);
    buf_str(out, note_key_name(key));
    buf_printf(out, "+%08x+", key->id);
    base64_encode(raw, sizeof raw, out);
}

/* ---- reading ---- */

int note_line_parse(struct str line, struct note_line *out, struct err *err)
{
    struct str rest = line;
    if (rest.n > 0 && rest.p[rest.n - 1] == '\n')
        rest.n--;
    _cleanup_buf struct buf raw = {0};
    if (!str_starts(rest, dash))
        return err_set(err, LOV_EINVAL, "a signature line starts with a dash and a space");
    rest.p += dash.n;
    rest.n -= dash.n;
    struct str name = str_cut(&rest, ' ');
    if (!note_name_valid(name))
        return err_set(err, LOV_EINVAL, "the name in a signature line is not one");
    if (!base64_decode(rest, &raw) || raw.n <= ID)
        return err_set(err, LOV_EINVAL, "the signature in a signature line is not base64");
    *out = (struct note_line){name, load32((const uint8_t *)raw.p), rest, line};
    return 0;
}

/* Splits at the last empty line; false when there is none, or nothing after it. */
static bool split(struct str bytes, struct str *text, struct str *lines)
{
    if (bytes.n < 2 || bytes.p[bytes.n - 1] != '\n')
        return false;
    for (size_t i = bytes.n - 2; i > 0; i--)
        if (bytes.p[i] == '\n' && bytes.p[i - 1] == '\n') {
            *text = (struct str){bytes.p, i};
            *lines = (struct str){bytes.p + i + 1, bytes.n - i - 1};
            return true;
        }
    return false;
}

static bool only_newlines_control(struct str bytes)
{
    for (size_t i = 0; i < bytes.n; i++)
        if ((unsigned char)bytes.p[i] < 0x20 && bytes.p[i] != '\n')
            return false;
    return true;
}

int note_parse(struct str bytes, struct note *out, struct err *err)
{
    if (bytes.n > NOTE_MAX)
        return err_set(err, LOV_ELIMIT, "a signed note has at most %d bytes", NOTE_MAX);
    if (!str_utf8_valid(bytes) || !only_newlines_control(bytes))
        return err_set(err, LOV_EINVAL, "a signed note is UTF-8 text");
    struct str lines;
    out->count = 0;
    if (!split(bytes, &out->text, &lines))
        return err_set(err, LOV_EINVAL,
                       "this is not a signed note: text, an empty line, signature lines");
    while (lines.n > 0) {
        if (out->count == NOTE_LINES_MAX)
            return err_set(err, LOV_ELIMIT, "a signed note has at most %d signatures",
                           NOTE_LINES_MAX);
        struct str line = {lines.p, str_find(lines, '\n') + 1};
        int rc = note_line_parse(line, &out->line[out->count], err);
        if (rc)
            return rc;
        out->count++;
        lines.p += line.n;
        lines.n -= line.n;
    }
    return 0;
}

/* ---- signing and verifying ---- */

/* What a key of either kind signs (tlog-cosignature, "Ed25519 signed message"). */
static struct str message(struct str text, enum note_kind kind, uint64_t seconds, struct buf *out)
{
    if (kind == NOTE_ED25519)
        return text;
    buf_printf(out, "cosignature/v1\ntime %llu\n", (unsigned long long)seconds);
    buf_str(out, text);
    return buf_view(out);
}

int note_verify_line(struct str text, const struct note_line *line, const struct note_key *key,
                     int64_t *at, struct err *err)
{
    if (line->id != key->id || !str_eq(line->name, note_key_name(key)))
        return err_set(err, LOV_ENOTFOUND, "the signature is not by %s", key->name);
    _cleanup_buf struct buf raw = {0}, signed_text = {0};
    size_t stamp = key->kind == NOTE_COSIGNATURE ? TIMESTAMP : 0;
    uint64_t seconds = 0;
    if (!base64_decode(line->signature, &raw) || raw.n != ID + stamp + SIGNATURE)
        return err_set(err, LOV_ECORRUPT, "the signature by %s has a wrong length", key->name);
    for (size_t i = 0; i < stamp; i++)
        seconds = seconds << 8 | (uint8_t)raw.p[ID + i];
    if (seconds > INT64_MAX / 1000)
        return err_set(err, LOV_ECORRUPT, "the signature by %s has an impossible time", key->name);
    struct ed25519_signature signature;
    memcpy(signature.b, raw.p + ID + stamp, SIGNATURE);
    if (!ed25519_verify(&key->key, message(text, key->kind, seconds, &signed_text), &signature))
        return err_set(err, LOV_ECORRUPT, "the signature by %s does not verify", key->name);
    if (at)
        *at = (int64_t)seconds * 1000;
    return 0;
}

int note_verify(const struct note *note, const struct note_key *key, int64_t *at, struct err *err)
{
    bool found = false;
    for (size_t i = 0; i < note->count; i++) {
        int rc = note_verify_line(note->text, &note->line[i], key, at, err);
        if (rc && rc != LOV_ENOTFOUND)
            return rc;
        found |= rc == 0;
    }
    return found ? 0 : err_set(err, LOV_ENOTFOUND, "there is no signature by %s", key->name);
}

void note_sign(struct str text, const struct note_key *key, const struct secret *seed, int64_t at,
               struct buf *out)
{
    _cleanup_buf struct buf signed_text = {0};
    uint8_t raw[ID + TIMESTAMP + SIGNATURE];
    size_t n = ID;
    uint64_t seconds = at > 0 ? (uint64_t)at / 1000 : 0;
    store32(key->id, raw);
    if (key->kind == NOTE_COSIGNATURE)
        for (int i = 0; i < TIMESTAMP; i++)
            raw[n++] = (uint8_t)(seconds >> (56 - 8 * i));
    struct ed25519_signature signature =
        ed25519_sign(seed, message(text, key->kind, seconds, &signed_text));
    memcpy(raw + n, signature.b, SIGNATURE);
    buf_str(out, dash);
    buf_str(out, note_key_name(key));
    buf_char(out, ' ');
    base64_encode(raw, n + SIGNATURE, out);
    buf_char(out, '\n');
}
