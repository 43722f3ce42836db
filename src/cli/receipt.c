/* receipt.c - lov receipt get|verify. Verifying opens no installation and asks no server: all that
 * is believed is the file and the key. */
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "cli/cli.h"
#include "consent/receipt.h"

/* ---- get ---- */

/* The text itself: what is signed is not printed anew. */
static int run_get(struct cli *c)
{
    struct err err = {0};
    _cleanup_buf struct buf target = {0};
    _cleanup_answer struct cli_answer a = {0};
    const char *format = cli_value(c, "format"), *language = cli_value(c, "language");
    int64_t event = -1;
    int rc = cli_number(c, "event", 0, INT64_MAX, &event, &err);
    if (rc)
        return cli_fail(c, &err);
    if (language && !(format && strcmp(format, "html") == 0))
        return cli_usage(c, "--language is for --format html: the file holds every language");
    buf_cstr(&target, "/v1/consents/");
    target_add(&target, str_of(c->args[0]));
    buf_printf(&target, "/receipt?format=%s", format ? format : "json");
    if (event >= 0)
        buf_printf(&target, "&event=%lld", (long long)event);
    if (cli_value(c, "copy"))
        buf_printf(&target, "&copy=%s", cli_value(c, "copy"));
    if (language)
        buf_printf(&target, "&language=%s", language);
    struct cli_request request = {.method = "GET", .target = target.p, .text = true};
    rc = cli_open(c, &err);
    if (rc == 0)
        rc = cli_call(c, &request, &a, &err);
    if (rc)
        return cli_fail(c, &err);
    if (a.status != 200)
        return cli_problem(c, &a);
    fwrite(a.body.p, 1, a.body.n, stdout);
    return CLI_YES;
}

static const struct cli_option get_options[] = {
    {"event", "N", "of this event of the consent; the last when not given", NULL, false},
    {"copy", "COPY", "consumer: with evidence and guardian in clear; plain when not given",
     "plain consumer", false},
    {"format", "FORMAT", "json (JSON-LD), or html: a page to print", "json html", false},
    {"language", "CODE", "of the page; that of the notice when not given", "sv en", false},
};
const struct cli_command cmd_receipt_get = {
    .name = "receipt get",
    .arguments = "CONSENT",
    .least = 1,
    .most = 1,
    .summary = "print the receipt of a consent",
    .text = "Prints the receipt of the consent's last event: what was answered, the text that was\n"
            "shown, and the proof that the ledger contains it. Save it as it is: it is what the\n"
            "consumer keeps, and lov receipt verify checks.",
    CLI_OPTIONS(get_options),
    .run = run_get,
};

static int run_erasure(struct cli *c)
{
    struct err err = {0};
    _cleanup_buf struct buf target = {0};
    _cleanup_answer struct cli_answer a = {0};
    buf_cstr(&target, "/v1/erasures/");
    target_add(&target, str_of(c->args[0]));
    buf_cstr(&target, "/receipt");
    struct cli_request request = {.method = "GET", .target = target.p, .text = true};
    int rc = cli_open(c, &err);
    if (rc == 0)
        rc = cli_call(c, &request, &a, &err);
    if (rc)
        return cli_fail(c, &err);
    if (a.status != 200)
        return cli_problem(c, &a);
    fwrite(a.body.p, 1, a.body.n, stdout);
    return CLI_YES;
}

const struct cli_command cmd_receipt_erasure = {
    .name = "receipt erasure",
    .arguments = "EVENT",
    .least = 1,
    .most = 1,
    .summary = "print the receipt of an erasure",
    .text = "By the number that the erasure answered (consumer.erase in lov log show). It says of\n"
            "whom, by the number that earlier receipts of theirs have, and when; nothing personal\n"
            "is in it. lov receipt verify checks it.",
    .run = run_erasure,
};

/* ---- what is proven, in words ---- */

static const char *deed(struct str kind)
{
    static const struct {
        const char *kind, *deed;
    } deeds[] = {
        {"consent.give", "a consent was given"},
        {"consent.refuse", "a consent was refused"},
        {"consent.withdraw", "a consent was withdrawn"},
        {"consent.renew", "a consent was renewed"},
        {"consent.amend", "a consent was changed"},
        {"consent.expire", "a consent ended because its time was over"},
    };
    for (size_t i = 0; i < sizeof deeds / sizeof *deeds; i++)
        if (str_is(kind, deeds[i].kind))
            return deeds[i].deed;
    return "";
}

static void list_names(const struct str *names, size_t count, struct buf *out)
{
    for (size_t i = 0; i < count; i++)
        buf_printf(out, "%s%.*s", i ? ", " : "", STR_ARG(names[i]));
}

#define SIGNED                                                                                     \
    "The holder of the key signed that log, and this receipt word by word. They can't change or "  \
    "drop the event without everybody who kept a checkpoint seeing it."

static void tell_erasure(const struct receipt_report *r, struct arena *a, struct str out[5])
{
    _cleanup_buf struct buf time = {0};
    time_format(r->at, &time);
    out[0] = arena_printf(
        a,
        "When the log %.*s had %lld events, its event %lld said exactly this: on "
        "%s the consumer of the number %.*s was erased%s.",
        STR_ARG(r->origin), (long long)r->size, (long long)r->seq, time.p, STR_ARG(r->consumer),
        r->suppressed ? "; a keyed hash of their id was kept, so that they are not "
                        "brought back"
                      : ", and nothing of their id was kept");
    out[1] = STR(SIGNED);
    out[2] = (struct str){0};
}

/* One sentence each; NULL ends the list. */
static void tell_proven(const struct receipt_report *r, struct arena *a, struct str out[5])
{
    if (r->is_erasure) {
        tell_erasure(r, a, out);
        return;
    }
    _cleanup_buf struct buf time = {0}, names = {0}, hash = {0};
    size_t n = 0;
    time_format(r->at, &time);
    list_names(r->categories, r->category_count, &names);
    hex_encode(r->notice_hash.b, sizeof r->notice_hash.b, &hash);
    out[n++] = arena_printf(
        a,
        "When the log %.*s had %lld events, its event %lld said exactly this: on %s %s, for the "
        "purpose %.*s and the recipient %.*s, for %s.",
        STR_ARG(r->origin), (long long)r->size, (long long)r->seq, time.p, deed(r->kind),
        STR_ARG(r->purpose), STR_ARG(r->recipient), names.n ? names.p : "no data");
    out[n++] =
        arena_printf(a, "It names the notice %.*s, version %d, in %.*s, by the hash sha256:%s%s.",
                     STR_ARG(r->notice), r->notice_version, STR_ARG(r->notice_language), hash.p,
                     r->has_notice_text ? ", and the text in this receipt is that text" : "");
    out[n++] = STR(SIGNED);
    out[n] = (struct str){0};
}

static void tell_unproven(const struct receipt_report *r, struct str out[5])
{
    size_t n = 0;
    if (r->is_erasure) {
        out[n++] = STR("Whose number that is: compare it with an earlier receipt of yours.");
        out[n++] = STR("What others do who had the data: they were told.");
        out[n++] = STR("That the company shows everybody the same log: compare checkpoints with "
                       "others, --against.");
        out[n] = (struct str){0};
        return;
    }
    out[n++] = STR("That the person really said so, or who they are: the log holds what the "
                   "company recorded.");
    out[n++] = STR("That it still holds: a later event may have changed it. Ask for the consent's "
                   "last receipt.");
    out[n++] = STR("That the company shows everybody the same log: compare checkpoints with "
                   "others, --against.");
    if (r->has_personal)
        out[n++] = STR("What is under \"personal\": the company signed it as its own words, but "
                       "in the log it is encrypted.");
    out[n] = (struct str){0};
}

/* ---- output ---- */

static void print_words(const struct receipt_report *r, struct arena *a)
{
    struct str proven[5], unproven[5];
    if (r->finding != RECEIPT_PROVEN) {
        printf("not proven (%s): %s\n", receipt_finding_name(r->finding), r->what);
        return;
    }
    tell_proven(r, a, proven);
    tell_unproven(r, unproven);
    puts("Proven:");
    for (size_t i = 0; proven[i].n; i++)
        printf("  %.*s\n", STR_ARG(proven[i]));
    puts("Not proven:");
    for (size_t i = 0; unproven[i].n; i++)
        printf("  %.*s\n", STR_ARG(unproven[i]));
}

static void write_list(struct jw *w, const char *name, const struct str *list)
{
    jw_key(w, name);
    jw_array_start(w);
    for (size_t i = 0; list[i].n; i++)
        jw_str(w, list[i]);
    jw_array_end(w);
}

static void write_facts(struct jw *w, const struct receipt_report *r, struct arena *a)
{
    struct str proven[5], unproven[5];
    tell_proven(r, a, proven);
    tell_unproven(r, unproven);
    jw_str_member(w, "kind", r->kind);
    jw_time_member(w, "at", r->at);
    if (r->is_erasure) {
        jw_str_member(w, "consumer", r->consumer);
        jw_bool_member(w, "suppressed", r->suppressed);
    } else {
        jw_str_member(w, "consent", r->consent);
        jw_str_member(w, "recipient", r->recipient);
        jw_str_member(w, "purpose", r->purpose);
        jw_strs_member(w, "categories", r->categories, r->category_count);
    }
    jw_str_member(w, "origin", r->origin);
    jw_int_member(w, "shard", r->shard);
    jw_int_member(w, "seq", r->seq);
    jw_int_member(w, "size", r->size);
    jw_key(w, "leaf");
    jw_hex(w, r->leaf.b, sizeof r->leaf.b);
    jw_key(w, "root");
    jw_hex(w, r->root.b, sizeof r->root.b);
    write_list(w, "proven", proven);
    write_list(w, "not_proven", unproven);
}

static void print_report(const struct receipt_report *r, struct arena *a)
{
    _cleanup_buf struct buf out = {0};
    struct jw w = {.out = &out};
    bool ok = r->finding == RECEIPT_PROVEN;
    jw_object_start(&w);
    jw_bool_member(&w, "ok", ok);
    jw_cstr_member(&w, "finding", receipt_finding_name(r->finding));
    if (ok)
        write_facts(&w, r, a);
    else
        jw_cstr_member(&w, "what", r->what);
    jw_object_end(&w);
    puts(out.p);
}

/* ---- verify ---- */

/* The command was not given what it needs: exit code 2, whatever the reason. */
static int read_input(const char *path, struct buf *out, struct err *err)
{
    int rc = file_read(path, RECEIPT_MAX, out, err);
    return rc ? (err->code = LOV_EINVAL) : 0;
}

/* A key as text, or a file that holds one. */
static int read_key(struct cli *c, struct note_key *key, struct err *err)
{
    _cleanup_buf struct buf file = {0};
    struct str text = cli_text(c, "key");
    int rc = 0;
    if (str_find(text, '+') == text.n) {
        rc = read_input(cli_value(c, "key"), &file, err);
        text = str_trim(buf_view(&file));
    }
    if (rc == 0)
        rc = note_key_parse(text, key, err);
    if (rc == 0 && key->kind != NOTE_ED25519)
        rc = err_set(err, LOV_EINVAL, "--key is a witness's key: give that of the log");
    return rc;
}

static int hold_against(struct cli *c, const struct note_key *key, struct receipt_report *r,
                        struct err *err)
{
    _cleanup_buf struct buf checkpoint = {0}, proof = {0};
    const char *other = cli_value(c, "against"), *path = cli_value(c, "proof");
    if (!other || r->finding != RECEIPT_PROVEN)
        return 0;
    int rc = read_input(other, &checkpoint, err);
    if (rc == 0 && path)
        rc = read_input(path, &proof, err);
    return rc ? rc : receipt_against(r, buf_view(&checkpoint), buf_view(&proof), key, err);
}

static int run_verify(struct cli *c)
{
    struct err err = {0};
    struct note_key key;
    struct receipt_report r;
    _cleanup_arena struct arena arena = {0};
    _cleanup_buf struct buf file = {0};
    if (cli_value(c, "proof") && !cli_value(c, "against"))
        return cli_usage(c, "--proof connects the receipt with the checkpoint of --against");
    int rc = read_key(c, &key, &err);
    if (rc == 0)
        rc = read_input(c->args[0], &file, &err);
    if (rc)
        return cli_fail(c, &err);
    receipt_verify(buf_view(&file), &key, &arena, &r);
    rc = hold_against(c, &key, &r, &err);
    if (rc)
        return cli_fail(c, &err);
    if (c->json)
        print_report(&r, &arena);
    else
        print_words(&r, &arena);
    return r.finding == RECEIPT_PROVEN ? CLI_YES : CLI_NO;
}

static const struct cli_option verify_options[] = {
    {"key", "VKEY", "the log's verifier key (lov key log), or a file that holds it", NULL, true},
    {"against", "FILE", "another checkpoint of the log, which must tell the same history", NULL,
     false},
    {"proof", "FILE", "what connects the two: lov log proof consistency --json", NULL, false},
};
const struct cli_command cmd_receipt_verify = {
    .name = "receipt verify",
    .arguments = "FILE",
    .least = 1,
    .most = 1,
    .summary = "check a receipt, offline",
    .text =
        "Says what the receipt proves and what it does not. It needs the file and the key that\n"
        "the company has published, and no server, database or installation. Exit code 0: proven;\n"
        "1: not proven, and why; 2: the key or a file cannot be used.",
    CLI_OPTIONS(verify_options),
    .run = run_verify,
};
