/* audit.c - lov log checkpoint|proof|audit, lov key log: what others need to check the ledger. The
 * audit reads the store itself and believes only the checkpoint that was kept elsewhere. */
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "cli/cli.h"
#include "consent/consent.h"
#include "ledger/audit.h"

/* ---- checkpoint, key ---- */

static const json_t *shard_of(const json_t *answer, int64_t shard)
{
    const json_t *list = json_object_get(answer, "shards");
    return shard >= 0 ? json_array_get(list, (size_t)shard) : NULL;
}

/* Prints a member of the shard that was asked for. */
static int print_member(struct cli *c, const char *method, const char *target, const char *member,
                        const char *end)
{
    struct err err = {0};
    _cleanup_answer struct cli_answer a = {0};
    int64_t shard = 0;
    if (cli_number(c, "shard", 0, UINT32_MAX, &shard, &err))
        return cli_fail(c, &err);
    int code = cli_ask(c, method, target, (struct str){0}, &a);
    if (code)
        return code;
    const json_t *one = shard_of(a.json, shard);
    if (!one) {
        err_set(&err, LOV_ENOTFOUND, "there is no shard %lld", (long long)shard);
        return cli_fail(c, &err);
    }
    if (c->json)
        cli_print_json(&a);
    else
        printf("%s%s", json_cstr(one, member), end);
    return CLI_YES;
}

static int run_checkpoint(struct cli *c)
{
    return print_member(c, "POST", "/v1/log/checkpoint", "checkpoint", "");
}

static int run_key_log(struct cli *c)
{
    return print_member(c, "GET", "/v1/log", "key", "\n");
}

static const struct cli_option shard_options[] = {
    {"shard", "N", "of this shard; 0 when not given", NULL, false},
};

const struct cli_command cmd_log_checkpoint = {
    .name = "log checkpoint",
    .arguments = "",
    .summary = "sign and print a checkpoint of the ledger",
    .text =
        "Signs how many events there are and the root of their tree (C2SP tlog-checkpoint), if\n"
        "there is anything new, and prints the last checkpoint with the cosignatures of its\n"
        "witnesses. Who keeps it can prove later that nothing before it was changed:\n"
        "lov log audit.",
    CLI_OPTIONS(shard_options),
    .run = run_checkpoint,
};

const struct cli_command cmd_key_log = {
    .name = "key log",
    .arguments = "",
    .summary = "print the verifier key of the ledger",
    .text = "The key (C2SP signed-note) by which anybody verifies checkpoints and receipts.",
    CLI_OPTIONS(shard_options),
    .run = run_key_log,
};

/* ---- proof ---- */

static int add_number(struct cli *c, const char *name, struct buf *target, struct err *err)
{
    int64_t value = -1;
    int rc = cli_number(c, name, 0, INT64_MAX, &value, err);
    if (rc == 0 && value >= 0)
        buf_printf(target, "%c%s=%lld", str_find(buf_view(target), '?') < target->n ? '&' : '?',
                   name, (long long)value);
    return rc;
}

static int64_t number_of(const json_t *object, const char *member)
{
    return (int64_t)json_integer_value(json_object_get(object, member));
}

static void print_hashes(const json_t *answer)
{
    size_t i;
    const json_t *hash;
    json_array_foreach(json_object_get(answer, "hashes"), i, hash)
        printf("hash %s\n", json_string_value(hash));
}

static void print_proof(const json_t *p, bool inclusion)
{
    if (inclusion)
        printf("event %lld of shard %lld is among the first %lld\nleaf %s\nroot %s\n",
               (long long)number_of(p, "seq"), (long long)number_of(p, "shard"),
               (long long)number_of(p, "size"), json_cstr(p, "leaf"), json_cstr(p, "root"));
    else
        printf("the first %lld events of shard %lld begin as the first %lld\nroot %s\nthen %s\n",
               (long long)number_of(p, "to"), (long long)number_of(p, "shard"),
               (long long)number_of(p, "from"), json_cstr(p, "from_root"), json_cstr(p, "to_root"));
    print_hashes(p);
}

static int run_proof(struct cli *c)
{
    static const char *const names[2][2] = {{"from", "to"}, {"seq", "size"}};
    struct err err = {0};
    _cleanup_buf struct buf target = {0};
    _cleanup_answer struct cli_answer a = {0};
    bool inclusion = strcmp(c->args[0], "inclusion") == 0;
    if (!inclusion && strcmp(c->args[0], "consistency") != 0)
        return cli_usage(c, "the proof is one of: inclusion consistency");
    for (size_t i = 0; i < 2; i++)
        if (cli_value(c, names[!inclusion][i]))
            return cli_usage(c, "--%s is not for a proof of %s", names[!inclusion][i], c->args[0]);
    if (!cli_value(c, names[inclusion][0]))
        return cli_usage(c, "say --%s N: see lov log proof --help", names[inclusion][0]);
    buf_printf(&target, "/v1/log/proof/%s", c->args[0]);
    int rc = add_number(c, "shard", &target, &err);
    for (size_t i = 0; rc == 0 && i < 2; i++)
        rc = add_number(c, names[inclusion][i], &target, &err);
    if (rc)
        return cli_fail(c, &err);
    int code = cli_ask(c, "GET", target.p, (struct str){0}, &a);
    if (code)
        return code;
    if (c->json)
        cli_print_json(&a);
    else
        print_proof(a.json, inclusion);
    return CLI_YES;
}

static const struct cli_option proof_options[] = {
    {"shard", "N", "of this shard; 0 when not given", NULL, false},
    {"seq", "N", "inclusion: of event number N", NULL, false},
    {"size", "N", "inclusion: in the first N events; the last checkpoint when not given", NULL,
     false},
    {"from", "N", "consistency: of the first N events", NULL, false},
    {"to", "N", "consistency: with the first N events; the last checkpoint when not given", NULL,
     false},
};
const struct cli_command cmd_log_proof = {
    .name = "log proof",
    .arguments = "KIND",
    .least = 1,
    .most = 1,
    .summary = "print a proof of inclusion or consistency",
    .text =
        "KIND is inclusion: event --seq is in the ledger; or consistency: the ledger of --from\n"
        "events is the beginning of the one of --to. The hashes are those of RFC 9162, in base64.",
    CLI_OPTIONS(proof_options),
    .run = run_proof,
};

/* ---- audit ---- */

struct audit {
    const char *dir;
    struct db *db;
    uint32_t shard;
    struct buf file;
    struct checkpoint old; /* borrows from file */
    struct note_key key;
    struct audit_report report;
};

/* "example.com/lov/3": the shard is behind the last slash. */
static int shard_of_origin(struct str origin, uint32_t *shard, struct err *err)
{
    size_t slash = origin.n;
    int64_t number;
    while (slash > 0 && origin.p[slash - 1] != '/')
        slash--;
    struct str last = {origin.p + slash, origin.n - slash};
    if (slash == 0 || !str_to_int(last, 0, UINT32_MAX, &number))
        return err_set(err, LOV_EINVAL, "the checkpoint is not one of Lov: no shard in its origin");
    *shard = (uint32_t)number;
    return 0;
}

/* The key that was given, or the one that the store says. */
static int take_key(struct cli *c, struct audit *a, struct err *err)
{
    _cleanup_buf struct buf origin = {0};
    struct ed25519_key key;
    const char *given = cli_value(c, "key");
    if (given)
        return note_key_parse(str_of(given), &a->key, err);
    int rc = publish_origin(a->db, &origin, err);
    if (rc == 0)
        rc = err_set(err, LOV_ENOTFOUND, "the store does not say its log's origin");
    if (rc == 1)
        rc = publish_public(a->db, &key, err);
    return rc ? rc : publish_key(buf_view(&origin), a->shard, &key, &a->key, err);
}

static int open_audit(struct cli *c, struct audit *a, struct err *err)
{
    struct note note;
    int rc = cli_dir(c, &a->dir, err);
    if (rc == 0)
        rc = file_read(cli_value(c, "against"), NOTE_MAX, &a->file, err);
    if (rc == 0)
        rc = note_parse(buf_view(&a->file), &note, err);
    if (rc == 0)
        rc = checkpoint_parse(note.text, &a->old, err);
    if (rc == 0)
        rc = shard_of_origin(a->old.origin, &a->shard, err);
    if (rc)
        return rc;
    rc = engine_open_store(a->dir, "lov", &a->db, err);
    if (rc == LOV_ENOTFOUND)
        err->code = LOV_EUNAVAILABLE;
    if (rc == 0)
        rc = take_key(c, a, err);
    if (rc == 0)
        rc = checkpoint_open(buf_view(&a->file), &a->key, &a->old, err);
    return rc;
}

static void show_progress(void *ctx, int64_t done)
{
    progress_show(ctx, -1, done);
}

static void print_report(const struct cli *c, const struct audit *a)
{
    const struct audit_report *r = &a->report;
    _cleanup_buf struct buf out = {0}, root = {0};
    struct jw w = {.out = &out};
    base64_encode(r->root.b, sizeof r->root.b, &root);
    if (!c->json && r->finding == AUDIT_GOOD)
        printf("shard %u: %lld events, the first %lld are those of the checkpoint, root %s\n",
               a->shard, (long long)r->events, (long long)a->old.size, root.p);
    else if (!c->json)
        printf("shard %u: %s: %s\n", a->shard, audit_finding_name(r->finding), r->what);
    if (!c->json)
        return;
    jw_object_start(&w);
    jw_int_member(&w, "shard", a->shard);
    jw_bool_member(&w, "ok", r->finding == AUDIT_GOOD);
    jw_cstr_member(&w, "finding", audit_finding_name(r->finding));
    jw_int_member(&w, "size", a->old.size);
    jw_int_member(&w, "events", r->events);
    if (r->finding == AUDIT_GOOD)
        jw_cstr_member(&w, "root", root.p);
    else
        jw_cstr_member(&w, "what", r->what);
    if (r->seq >= 0)
        jw_int_member(&w, "event", r->seq);
    jw_object_end(&w);
    puts(out.p);
}

static int run_audit(struct cli *c)
{
    struct err err = {0};
    struct audit a = {0};
    struct progress progress;
    int rc = open_audit(c, &a, &err);
    if (rc == 0) {
        progress_start(&progress, "events");
        rc = audit_against(a.db, a.shard, &a.old, show_progress, &progress, &a.report, &err);
        progress_end(&progress);
    }
    if (rc == 0)
        print_report(c, &a);
    db_close(a.db);
    buf_free(&a.file);
    if (rc)
        return cli_fail(c, &err);
    return a.report.finding == AUDIT_GOOD ? CLI_YES : CLI_NO;
}

static const struct cli_option audit_options[] = {
    {"against", "FILE", "a checkpoint that was kept", NULL, true},
    {"key", "VKEY", "the log's verifier key; the one in the store when not given", NULL, false},
};
const struct cli_command cmd_log_audit = {
    .name = "log audit",
    .arguments = "",
    .summary = "prove that the ledger only grew since a checkpoint",
    .text =
        "Verifies the checkpoint's signature, recomputes every event, and compares the root with\n"
        "the one that was signed. It reads the store itself, and may run beside a server. When\n"
        "the history is not the one that was signed it says whether events were rewritten,\n"
        "dropped or reordered, or the history is forked, and the exit code is 1. Give --key from\n"
        "a place that nobody who could change the store could change as well.",
    CLI_OPTIONS(audit_options),
    .run = run_audit,
};
