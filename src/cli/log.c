/* log.c - lov log show|verify|root. Verify and root read the store itself, so they need no server,
 * disturb none, and believe none. */
#include <string.h>

#include "base/hash.h"
#include "base/json.h"
#include "cli/cli.h"
#include "consent/consent.h"
#include "ledger/ledger.h"

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
    rc = engine_open_store(dir, db, err);
    if (rc == 0)
        rc = ledger_shards(*db, shards, err);
    /* Whatever keeps the store from being read is told with exit code 3. */
    if (rc && err->code == LOV_ENOTFOUND)
        err->code = LOV_EUNAVAILABLE;
    return rc;
}

/* Looks at one shard: prints a line, or writes an object into *w with --json. */
typedef int look_at(struct cli *c, struct db *db, uint32_t shard, struct jw *w, bool *wrong,
                    struct err *err);

/* At each shard in order; the exit code. `judge`: the answer says whether all are right. */
static int each_shard(struct cli *c, look_at *look, bool judge)
{
    struct err err = {0};
    struct db *db = NULL;
    bool wrong = false;
    _cleanup_buf struct buf shards = {0}, out = {0};
    struct jw w = {.out = &out};
    int rc = open_store(c, &db, &shards, &err);
    jw_object_start(&w);
    jw_array_member(&w, "shards");
    for (size_t at = 0; rc == 0 && at < shards.n; at += sizeof(uint32_t)) {
        uint32_t shard;
        memcpy(&shard, shards.p + at, sizeof shard);
        rc = look(c, db, shard, &w, &wrong, &err);
    }
    jw_array_end(&w);
    if (judge)
        jw_bool_member(&w, "ok", !wrong);
    jw_object_end(&w);
    db_close(db);
    if (rc)
        return cli_fail(c, &err);
    if (c->json)
        puts(out.p);
    return wrong ? CLI_NO : CLI_YES;
}

/* ---- root ---- */

static int look_at_root(struct cli *c, struct db *db, uint32_t shard, struct jw *w, bool *wrong,
                        struct err *err)
{
    (void)wrong;
    int64_t size;
    struct sha256 root;
    int rc = ledger_head(db, shard, &size, &root, err);
    if (rc)
        return rc;
    if (!c->json) {
        _cleanup_buf struct buf hex = {0};
        hex_encode(root.b, sizeof root.b, &hex);
        printf("shard %u: %lld events, root %s\n", shard, (long long)size, hex.p);
        return 0;
    }
    jw_object_start(w);
    jw_int_member(w, "shard", shard);
    jw_int_member(w, "events", size);
    jw_hex_member(w, "root", root.b, sizeof root.b);
    jw_object_end(w);
    return 0;
}

/* Prints the root of each shard's tree. */
static int run_root(struct cli *c)
{
    return each_shard(c, look_at_root, false);
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

/* The state is compared only with a ledger that is right. */
static int verify_shard(struct db *db, uint32_t shard, struct shard_result *out, struct err *err)
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
        rc = state_verify(db, shard, &out->state, err);
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
        jw_hex_member(w, "root", r->events.root.b, sizeof r->events.root.b);
    }
    jw_object_end(w);
}

static int look_whether_right(struct cli *c, struct db *db, uint32_t shard, struct jw *w,
                              bool *wrong, struct err *err)
{
    struct shard_result result = {0};
    int rc = verify_shard(db, shard, &result, err);
    if (rc)
        return rc;
    *wrong = *wrong || is_wrong(&result);
    if (c->json)
        write_result(w, shard, &result);
    else
        print_result(shard, &result);
    return 0;
}

/* Recomputes everything. */
static int run_verify(struct cli *c)
{
    return each_shard(c, look_whether_right, true);
}

const struct cli_command cmd_log_verify = {
    .name = "log verify",
    .arguments = "",
    .summary = "recompute the ledger and compare the state with it",
    .text =
        "Recomputes every hash, and compares each row of state with the event that it mirrors. It\n"
        "reads the store itself, and may run beside a server. When something is wrong it names\n"
        "the first wrong event, and the exit code is 1.",
    .run = run_verify,
};
