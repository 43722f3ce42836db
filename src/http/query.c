/* query.c - percent-decoding and query parameters. The query is scanned where it stands, each time
 * a parameter is asked for: there are few, and most calls have none. */
#include <string.h>

#include "base/hash.h"
#include "http/private.h"

enum { QUERY_VALUE_MAX = 4096 };

static bool decode(struct arena *arena, struct str text, bool form, bool lines, size_t max,
                   struct str *out)
{
    bool plain = str_find(text, '%') == text.n && (!form || str_find(text, '+') == text.n);
    struct str decoded = text;
    if (!plain) {
        char *to = arena_alloc(arena, text.n + 1);
        decoded = (struct str){to, 0};
        for (size_t i = 0; i < text.n; i++) {
            char c = text.p[i];
            if (c == '%') {
                int high = i + 2 < text.n ? hex_digit(text.p[i + 1]) : -1;
                int low = i + 2 < text.n ? hex_digit(text.p[i + 2]) : -1;
                if (high < 0 || low < 0)
                    return false;
                c = (char)(high * 16 + low);
                i += 2;
            } else if (c == '+' && form) {
                c = ' ';
            }
            to[decoded.n++] = c;
        }
    }
    if (decoded.n > max || !str_utf8_valid(decoded) || !str_no_controls(decoded, lines))
        return false;
    *out = decoded;
    return true;
}

bool percent_decode(struct arena *arena, struct str text, bool form, size_t max, struct str *out)
{
    return decode(arena, text, form, false, max, out);
}

/* Browsers send lines that end in CR LF (HTML §4.10.21.4): the CR is left out. */
bool form_decode(struct arena *arena, struct str text, size_t max, struct str *out)
{
    _cleanup_buf struct buf plain = {0};
    for (size_t i = 0; i < text.n; i++) {
        bool cr = i + 2 < text.n && text.p[i] == '%' && text.p[i + 1] == '0' &&
                  (text.p[i + 2] == 'D' || text.p[i + 2] == 'd');
        if (cr)
            i += 2;
        else
            buf_char(&plain, text.p[i]);
    }
    return decode(arena, arena_str(arena, buf_view(&plain)), true, true, max, out);
}

/* Takes the next non-empty pair off *rest. */
static bool next_pair(struct str *rest, struct str *name, struct str *value)
{
    while (rest->n) {
        struct str pair = str_cut(rest, '&');
        if (!pair.n)
            continue;
        *name = str_cut(&pair, '=');
        *value = pair;
        return true;
    }
    return false;
}

bool http_query(struct http_call *call, const char *name, struct str *out)
{
    struct str rest = call->transport->query, raw_name, raw_value, decoded, found = {0};
    size_t times = 0;
    while (next_pair(&rest, &raw_name, &raw_value)) {
        if (!percent_decode(&call->arena, raw_name, true, QUERY_VALUE_MAX, &decoded) ||
            !str_is(decoded, name))
            continue;
        found = raw_value;
        times++;
    }
    return times == 1 && percent_decode(&call->arena, found, true, QUERY_VALUE_MAX, out);
}

int http_query_check(struct http_call *call, const char *const *names, struct err *err)
{
    enum { NAMES_MAX = 64 };
    uint64_t seen = 0;
    struct str rest = call->transport->query, raw_name, raw_value, name, value;
    while (next_pair(&rest, &raw_name, &raw_value)) {
        if (!percent_decode(&call->arena, raw_name, true, QUERY_VALUE_MAX, &name) ||
            !percent_decode(&call->arena, raw_value, true, QUERY_VALUE_MAX, &value))
            return err_reason(err, LOV_EINVAL, "invalid_query",
                              "the query is not valid percent-encoded text");
        size_t i = 0;
        while (names[i] && !str_is(name, names[i]))
            i++;
        if (!names[i])
            return err_reason(err, LOV_EINVAL, "unknown_parameter",
                              "the query has a parameter that is not known here");
        if (i >= NAMES_MAX)
            bug("more than %d query parameters", (int)NAMES_MAX);
        if (seen & (UINT64_C(1) << i))
            return err_reason(err, LOV_EINVAL, "invalid_query",
                              "the query parameter %s is given twice", names[i]);
        seen |= UINT64_C(1) << i;
    }
    return 0;
}

bool http_form(struct http_call *call, const char *name, size_t max, struct str *out)
{
    struct str rest = call->body, raw_name, raw_value, decoded, found = {0};
    size_t times = 0;
    while (next_pair(&rest, &raw_name, &raw_value)) {
        if (!percent_decode(&call->arena, raw_name, true, QUERY_VALUE_MAX, &decoded) ||
            !str_is(decoded, name))
            continue;
        found = raw_value;
        times++;
    }
    return times == 1 && form_decode(&call->arena, found, max, out);
}

struct str http_cookie(struct http_call *call, const char *name)
{
    struct str rest = http_header(call, "Cookie");
    while (rest.n) {
        struct str value = str_trim(str_cut(&rest, ';'));
        if (str_is(str_cut(&value, '='), name))
            return value;
    }
    return (struct str){0};
}
