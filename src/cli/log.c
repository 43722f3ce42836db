/* log.c - lov log show|verify|root. Verify and root read the store itself, so they need no server,
 * disturb none, and believe none. */
#include <poll.h>
#include <string.h>

#include "api/api.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "cli/cli.h"
#include "consent/consent.h"
#include "ledger/ledger.h"
#include "rights/rights.h"
#include "vault/vault.h"

/* ---- show ---- */

static void print_event(struct cli *c, const json_t *e)
{
    (void)c;
    const char *consumer = json_cstr(e, "consumer");
    const char *purpose = json_cstr(e, "purpose");
    printf("%lld  %s  %-18s  %s", (long long)json_integer_value(json_object_get(e, "seq")),
           json_cstr(e, "at"), json_cstr(e, "kind"), json_cstr(e, "actor"));
    if (*consumer)
        printf("  %s", consumer);
    if (*purpose)
        printf("  %s by %s", purpose, json_cstr(e, "recipient"));
    putchar('\n');
}

/* Prints events in order: all, or those of one consumer. */
static int run_show(struct cli *c)
{
    struct err err = {0};
    _cleanup_buf struct buf target = {0};
    int64_t limit = 0, after = -1;
    int rc = cli_number(c, "limit", 1, INT64_MAX, &limit, &err);
    if (rc == 0)
        rc = cli_number(c, "after", -1, INT64_MAX, &after, &err);
    if (rc)
        return cli_fail(c, &err);
    struct str consumer = cli_text(c, "consumer");
    if (consumer.n) {
        buf_cstr(&target, "/v1/consumers/");
        target_add(&target, consumer);
        buf_cstr(&target, "/history");
    } else {
        buf_cstr(&target, "/v1/events");
    }
    return cli_list(c, target.p, cli_value(c, "after"), limit, print_event);
}

static const struct cli_option show_options[] = {
    {"consumer", "ID", "only events of this consumer", NULL, false},
    {"after", "N", "only events after number N", NULL, false},
    {"limit", "N", "at most N events", NULL, false},
};
const struct cli_command cmd_log_show = {
    .name = "log show",
    .arguments = "",
    .summary = "show events of the ledger",
    .text = "One line an event: number, time, kind, who did it, whose data, what for and by whom.",
    CLI_OPTIONS(show_options),
    .run = run_show,
};

/* ---- the store ---- */

static int open_store(struct cli *c, struct db **db, struct buf *shards, struct err *err)
{
    const char *dir;
    int rc = cli_dir(c, &dir, err);
    if (rc)
        return rc;
    rc = engine_open_store(dir, "lov", db, err);
    if (rc == 0)
        rc = ledger_shards(*db, shards, err);
    /* Whatever keeps the store from being read is told with exit code 3. */
    if (rc && err->code == LOV_ENOTFOUND)
        err->code = LOV_EUNAVAILABLE;
    return rc;
}

static uint32_t shard_at(const struct buf *shards, size_t i)
{
    uint32_t shard;
    memcpy(&shard, shards->p + i * sizeof shard, sizeof shard);
    return shard;
}

/* ---- root ---- */

static int read_root(struct db *db, uint32_t shard, struct jw *w, bool json, struct err *err)
{
    int64_t size;
    struct sha256 root;
    int rc = ledger_head(db, shard, &size, &root, err);
    if (rc)
        return rc;
    if (!json) {
        _cleanup_buf struct buf hex = {0};
        hex_encode(root.b, sizeof root.b, &hex);
        printf("shard %u: %lld events, root %s\n", shard, (long long)size, hex.p);
        return 0;
    }
    jw_object_start(w);
    jw_int_member(w, "shard", shard);
    jw_int_member(w, "events", size);
    jw_key(w, "root");
    jw_hex(w, root.b, sizeof root.b);
    jw_object_end(w);
    return 0;
}

/* Prints the root of each shard's tree. */
static int run_root(struct cli *c)
{
    struct err err = {0};
    struct db *db = NULL;
    _cleanup_buf struct buf shards = {0}, out = {0};
    struct jw w = {.out = &out};
    int rc = open_store(c, &db, &shards, &err);
    jw_object_start(&w);
    jw_key(&w, "shards");
    jw_array_start(&w);
    for (size_t i = 0; rc == 0 && i < shards.n / sizeof(uint32_t); i++)
        rc = read_root(db, shard_at(&shards, i), &w, c->json, &err);
    jw_array_end(&w);
    jw_object_end(&w);
    db_close(db);
    if (rc)
        return cli_fail(c, &err);
    if (c->json)
        puts(out.p);
    return CLI_YES;
}

const struct cli_command cmd_log_root = {
    .name = "log root",
    .arguments = "",
    .summary = "print the root of the ledger's Merkle tree",
    .text =
        "One line a shard: the number of events, and the hash (RFC 6962) that stands for all of\n"
        "them. Who has kept an older root can prove that no event was changed since.",
    .run = run_root,
};

/* ---- verify ---- */

struct verifying {
    struct progress progress;
    int64_t total;
};

static void show_progress(void *ctx, int64_t done)
{
    struct verifying *v = ctx;
    progress_show(&v->progress, v->total ? (double)done / (double)v->total : -1, done);
}

struct shard_result {
    struct ledger_report events;
    struct state_report state;
};

/* What somebody does beside is in one store a moment before it is in the other: only what is wrong
 * each time is wrong. */
static int verify_people(struct db *db, struct db *identities, struct state_report *out,
                         struct err *err)
{
    enum { PAUSE_MS = 20, PAUSE_MOST_MS = 200 };
    int rc = people_verify(db, identities, out, err);
    for (int ms = PAUSE_MS; rc == 0 && out->wrong && ms < PAUSE_MOST_MS; ms *= 2) {
        poll(NULL, 0, ms);
        rc = people_verify(db, identities, out, err);
    }
    return rc;
}

/* The state is compared only with a ledger that is right. */
static int verify_state(struct db *db, struct db *identities, uint32_t shard,
                        struct state_report *out, struct err *err)
{
    static int (*const checks[])(struct db * lov, uint32_t shard, struct state_report * out,
                                 struct err * err) = {state_verify, vault_verify, rights_verify};
    struct state_report one = {0};
    int64_t rows = 0;
    int rc = 0;
    for (size_t i = 0; rc == 0 && !one.wrong && i < sizeof checks / sizeof *checks; i++) {
        rc = checks[i](db, shard, &one, err);
        rows += one.rows;
    }
    if (rc == 0 && !one.wrong && shard == 0) {
        rc = verify_people(db, identities, &one, err);
        rows += one.rows;
    }
    *out = one;
    out->rows = rows;
    return rc;
}

static int verify_shard(struct db *db, struct db *identities, uint32_t shard,
                        struct shard_result *out, struct err *err)
{
    struct verifying v = {0};
    struct sha256 root;
    int rc = ledger_head(db, shard, &v.total, &root, err);
    /* A damaged head is for ledger_verify() to tell. */
    if (rc && rc != LOV_ECORRUPT)
        return rc;
    progress_start(&v.progress, "events");
    rc = ledger_verify(db, shard, show_progress, &v, &out->events, err);
    progress_end(&v.progress);
    if (rc == 0 && out->events.wrong_seq < 0)
        rc = verify_state(db, identities, shard, &out->state, err);
    return rc;
}

static bool is_wrong(const struct shard_result *r)
{
    return r->events.wrong_seq >= 0 || r->state.wrong;
}

static void print_result(uint32_t shard, const struct shard_result *r)
{
    _cleanup_buf struct buf hex = {0};
    if (r->events.wrong_seq >= 0) {
        printf("shard %u: event %lld is wrong: %s\n", shard, (long long)r->events.wrong_seq,
               r->events.wrong);
    } else if (r->state.wrong) {
        printf("shard %u: event %lld is right, but the state is not what it says: %s\n", shard,
               (long long)r->state.seq, r->state.what);
    } else {
        hex_encode(r->events.root.b, sizeof r->events.root.b, &hex);
        printf("shard %u: %lld events and %lld rows of state are right, root %s\n", shard,
               (long long)r->events.events, (long long)r->state.rows, hex.p);
    }
}

static void write_result(struct jw *w, uint32_t shard, const struct shard_result *r)
{
    bool wrong_event = r->events.wrong_seq >= 0;
    jw_object_start(w);
    jw_int_member(w, "shard", shard);
    jw_bool_member(w, "ok", !is_wrong(r));
    if (is_wrong(r)) {
        jw_int_member(w, "event", wrong_event ? r->events.wrong_seq : r->state.seq);
        jw_cstr_member(w, "what", wrong_event ? r->events.wrong : r->state.what);
    } else {
        jw_int_member(w, "events", r->events.events);
        jw_int_member(w, "rows", r->state.rows);
        jw_key(w, "root");
        jw_hex(w, r->events.root.b, sizeof r->events.root.b);
    }
    jw_object_end(w);
}

static int verify_all(struct cli *c, struct db *db, struct db *identities, const struct buf *shards,
                      struct jw *w, bool *wrong, struct err *err)
{
    for (size_t i = 0; i < shards->n / sizeof(uint32_t); i++) {
        struct shard_result result = {0};
        uint32_t shard = shard_at(shards, i);
        int rc = verify_shard(db, identities, shard, &result, err);
        if (rc)
            return rc;
        *wrong = *wrong || is_wrong(&result);
        if (c->json)
            write_result(w, shard, &result);
        else
            print_result(shard, &result);
    }
    return 0;
}

static int verify_shards(struct cli *c, struct jw *w, bool *wrong, struct err *err)
{
    struct db *db = NULL, *identities = NULL;
    _cleanup_buf struct buf shards = {0};
    const char *dir;
    int rc = open_store(c, &db, &shards, err);
    if (rc == 0)
        rc = cli_dir(c, &dir, err);
    if (rc == 0)
        rc = engine_open_store(dir, "identity", &identities, err);
    jw_key(w, "shards");
    jw_array_start(w);
    if (rc == 0)
        rc = verify_all(c, db, identities, &shards, w, wrong, err);
    jw_array_end(w);
    db_close(identities);
    db_close(db);
    return rc;
}

/* ---- verify: the files ---- */

/* Each row of the identities against what is sealed in it, where the key is at hand. */
static int verify_identities(const char *dir, struct db_report *out, struct err *err)
{
    _cleanup_keys struct identity_keys keys = {0};
    struct err no_key;
    struct db *db = NULL;
    struct identity *who = NULL;
    struct identity_report report = {.wrong_number = -1};
    if (identity_load_keys(dir, &keys, &no_key) != 0)
        return 0;
    int rc = engine_open_store(dir, "identity", &db, err);
    if (rc == 0)
        rc = identity_open_read(db, &keys, 1, &who, err);
    if (rc == 0)
        rc = identity_verify(who, db, &report, err);
    identity_close(who);
    db_close(db);
    if (rc == 0 && report.wrong_number >= 0) {
        out->wrong = true;
        snprintf(out->what, sizeof out->what, "identity %lld is wrong: %s",
                 (long long)report.wrong_number, report.what);
    }
    return rc;
}

static void tell_store(struct cli *c, const char *name, const struct db_report *r, struct jw *w)
{
    if (!c->json) {
        if (r->wrong)
            printf("%s.db is damaged: %s\n", name, r->what);
        else
            printf("%s.db: %lld pages are right\n", name, (long long)r->pages);
        return;
    }
    jw_object_start(w);
    jw_cstr_member(w, "store", name);
    jw_bool_member(w, "ok", !r->wrong);
    jw_int_member(w, "pages", r->pages);
    if (r->wrong)
        jw_cstr_member(w, "what", r->what);
    jw_object_end(w);
}

static int verify_stores(struct cli *c, struct jw *w, bool *wrong, struct err *err)
{
    static const char *const names[] = {"lov", "identity"};
    const char *dir;
    int rc = cli_dir(c, &dir, err);
    jw_key(w, "stores");
    jw_array_start(w);
    for (int i = 0; rc == 0 && i < 2; i++) {
        _cleanup_buf struct buf path = {0};
        struct db_report report;
        buf_printf(&path, "%s/%s.db", dir, names[i]);
        rc = db_check(path.p, &report, err);
        if (rc == 0 && i == 1 && !report.wrong)
            rc = verify_identities(dir, &report, err);
        *wrong = *wrong || (rc == 0 && report.wrong);
        if (rc == 0)
            tell_store(c, names[i], &report, w);
    }
    jw_array_end(w);
    if (rc == LOV_ENOTFOUND)
        rc = err_set(err, LOV_EUNAVAILABLE,
                     "%s holds no installation, or not all of it: make one with lov init --dir %s",
                     dir, dir);
    return rc;
}

/* With --mend: pages that another program has written have no right checksum. When ledger and state
 * are right, they get one; the verification that follows reads everything again. */
static int mend(struct cli *c, struct err *err)
{
    static const char *const names[] = {"lov", "identity"};
    _cleanup_buf struct buf ignored = {0}, path = {0};
    struct jw w = {.out = &ignored};
    const char *dir;
    bool wrong = false;
    int lock = -1;
    int rc = cli_dir(c, &dir, err);
    if (rc == 0)
        rc = engine_lock(dir, &lock, err);
    if (rc == 0)
        rc = verify_shards(c, &w, &wrong, err);
    if (rc == 0 && wrong)
        rc = err_reason(err, LOV_ECORRUPT, "damaged",
                        "nothing is mended: ledger or state are wrong; restore a backup");
    for (int i = 0; rc == 0 && i < 2; i++) {
        int64_t mended;
        buf_clear(&path);
        buf_printf(&path, "%s/%s.db", dir, names[i]);
        rc = db_mend(path.p, &mended, err);
        if (rc == 0 && !c->json)
            printf("%s.db: %lld pages were given a checksum\n", names[i], (long long)mended);
    }
    engine_unlock(lock);
    return rc;
}

/* Recomputes everything. A file that is damaged may keep the ledger from being read; then what is
 * wrong with the file is the answer. */
static int run_verify(struct cli *c)
{
    struct err err = {0};
    bool damaged = false, wrong = false;
    _cleanup_buf struct buf out = {0};
    struct jw w = {.out = &out};
    jw_object_start(&w);
    int rc = cli_value(c, "mend") ? mend(c, &err) : 0;
    if (rc == 0)
        rc = verify_stores(c, &w, &damaged, &err);
    if (rc == 0)
        rc = verify_shards(c, &w, &wrong, &err);
    wrong = wrong || damaged;
    jw_bool_member(&w, "ok", !wrong);
    jw_object_end(&w);
    if (rc && !damaged)
        return cli_fail(c, &err);
    if (c->json)
        puts(out.p);
    return wrong ? CLI_NO : CLI_YES;
}

static const struct cli_option verify_options[] = {
    {"mend", NULL,
     "first give pages that another program wrote a checksum, where all they say is right", NULL,
     false},
};
const struct cli_command cmd_log_verify = {
    .name = "log verify",
    .arguments = "",
    .summary = "recompute the ledger and compare the state with it",
    .text =
        "Recomputes every hash, and compares each row of state with the event that it mirrors. It\n"
        "reads every page of both stores against its checksum, tables against their indexes, and,\n"
        "where the key is at hand, each identity against what is sealed in it. It reads the stores\n"
        "themselves, and may run beside a server. When something is wrong it names the first wrong\n"
        "event, page or row, and the exit code is 1.",
    CLI_OPTIONS(verify_options),
    .run = run_verify,
};
