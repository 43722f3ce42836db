/* limits.c - what a record may be used for, narrower than the policy says.
 *
 * They are kept as JSON, canonical so that a row and the body of its event say the same; the empty
 * text where nothing is narrower. Whoever reads asks limits_allow() for each record. */
#include "vault/private.h"

enum { NAMES_MAX = 64 };

/* In the order of canonical JSON. */
#define FIELD(name, kind)                                                                          \
    {                                                                                              \
#name, JSON_K_NAMES, offsetof(struct vault_limits, names[kind]), false, 0, NAMES_MAX       \
    }
static const struct json_field fields[LIMIT_KINDS] = {
    FIELD(objections, LIMIT_OBJECTIONS),
    FIELD(purposes, LIMIT_PURPOSES),
    FIELD(recipients, LIMIT_RECIPIENTS),
};

const char *vault_limit_name(enum vault_limit kind)
{
    return fields[kind].name;
}

int limits_read(struct str limits, struct arena *arena, json_t **json, struct vault_limits *out,
                struct err *err)
{
    *out = (struct vault_limits){0};
    if (!limits.n)
        return 0;
    int rc = json_read(limits, json, err);
    return rc ? rc
              : json_take(*json, fields, LIMIT_KINDS, JSON_REFUSE_UNKNOWN, "limits", arena, out,
                          err);
}

int vault_limits_take(const json_t *json, const char *path, struct arena *arena,
                      struct vault_limits *out, struct err *err)
{
    *out = (struct vault_limits){0};
    if (!json)
        return 0;
    int rc = json_take(json, fields, LIMIT_KINDS, JSON_REFUSE_UNKNOWN, path, arena, out, err);
    for (int i = 0; rc == 0 && i < LIMIT_KINDS; i++) {
        struct json_names *names = &out->names[i];
        out->has[i] = json_object_get(json, fields[i].name) != NULL;
        for (size_t k = 0; k < names->count; k++)
            names->items[k] = arena_str(arena, names->items[k]);
    }
    return rc;
}

static void write(const struct vault_limits *limits, struct buf *out)
{
    struct jw w = {.out = out};
    jw_object_start(&w);
    for (int i = 0; i < LIMIT_KINDS; i++)
        if (limits->names[i].count)
            jw_strs_member(&w, fields[i].name, limits->names[i].items, limits->names[i].count);
    jw_object_end(&w);
}

int limits_merge(struct str old, const struct vault_limits *change, struct arena *arena,
                 struct str *out, struct err *err)
{
    _cleanup_json json_t *json = NULL;
    _cleanup_buf struct buf text = {0};
    struct vault_limits all;
    if (!change->has[LIMIT_OBJECTIONS] && !change->has[LIMIT_PURPOSES] &&
        !change->has[LIMIT_RECIPIENTS]) {
        *out = old;
        return 0;
    }
    int rc = limits_read(old, arena, &json, &all, err);
    if (rc)
        return rc;
    size_t count = 0;
    for (int i = 0; i < LIMIT_KINDS; i++) {
        if (change->has[i])
            all.names[i] = change->names[i];
        count += all.names[i].count;
    }
    write(&all, &text);
    *out = count ? arena_str(arena, buf_view(&text)) : (struct str){0};
    return 0;
}

static bool is_known(const struct policy *p, enum vault_limit kind, struct str name)
{
    return kind == LIMIT_RECIPIENTS ? policy_recipient(p, name) != NULL
                                    : policy_purpose(p, name) != NULL;
}

int limits_check(const struct policy *p, const struct vault_limits *limits, struct err *err)
{
    for (int i = 0; i < LIMIT_KINDS; i++) {
        bool recipient = i == LIMIT_RECIPIENTS;
        for (size_t k = 0; k < limits->names[i].count; k++)
            if (!is_known(p, (enum vault_limit)i, limits->names[i].items[k]))
                return err_reason(
                    err, LOV_EINVAL, recipient ? "unknown_recipient" : "unknown_purpose",
                    "limits: the policy has no such %s", recipient ? "recipient" : "purpose");
    }
    return 0;
}

static bool have(const struct json_names *names, struct str name)
{
    for (size_t i = 0; i < names->count; i++)
        if (str_eq(names->items[i], name))
            return true;
    return false;
}

int limits_allow(struct str limits, struct str purpose, struct str recipient, struct err *err)
{
    _cleanup_arena struct arena arena = {0};
    _cleanup_json json_t *json = NULL;
    struct vault_limits l;
    if (!limits.n)
        return 1;
    if (limits_read(limits, &arena, &json, &l, err))
        return err_set(err, LOV_ECORRUPT, "a record's row is damaged: run lov log verify");
    const struct json_names *purposes = &l.names[LIMIT_PURPOSES];
    const struct json_names *recipients = &l.names[LIMIT_RECIPIENTS];
    return (!purposes->count || have(purposes, purpose)) &&
           (!recipients->count || have(recipients, recipient)) &&
           !have(&l.names[LIMIT_OBJECTIONS], purpose);
}
