/* permits.c - decisions in process: liblov against a plain hash table, LMDB and SQLite, each with
 * the same consumers, asked for the same ids in the same random order, alternating.
 *
 *     permits FOLDER CONSUMERS ROUNDS SECONDS [floor]
 *
 * The index is filled through its writer's own functions, under the policy in policy/. One consumer
 * has one consent. The floor is what a program would write for itself: an open-addressing table in
 * anonymous memory with huge pages, 32 bytes a slot at load 0.70, found by a cheap hash of the id,
 * which checks state, end and notice version. It knows that every id has 8 bytes, takes them as one
 * number, and looks at the clock once for 65,536 decisions; `floor_text` is the same table asked as
 * lov_decide() is: with texts of any length up to 15, for the second of each decision. With `floor`
 * these are the only peers. Prints one JSON object a line. */
#include <lmdb.h>
#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/cmac.h"
#include "consent/engine.h"

enum { ASKED = 1 << 20, ID = 16, BATCH = 32, CHANGES_PER_SECOND = 5000 };
static const uint8_t key[16] = "a key of a bench";
static struct cmac_key lookup_key;

struct bench {
    const char *folder;
    int64_t consumers;
    double seconds;
    struct index *ix;
    struct lov *lov;
    char (*ids)[ID];
    const char **asked;
    struct floor_slot *floor;
    uint64_t floor_size;
    MDB_env *lmdb;
    MDB_dbi dbi;
    sqlite3 *sqlite;
    uint32_t permit_key, notice, residence;
    uint64_t random;
};

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "permits: %s failed\n", what);
    exit(3);
}

static uint64_t next_random(struct bench *b)
{
    uint64_t z = (b->random += 0x9E3779B97F4A7C15u);
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

static void write_id(char *out, int64_t number)
{
    memset(out, 0, ID);
    for (int i = 8; i-- > 0; number /= 10)
        out[i] = (char)('0' + number % 10);
}

static double since(int64_t start)
{
    return (double)(clock_monotonic() - start) / 1e9;
}

/* Of this thread, ns: other programs want the processor too. */
static int64_t cpu_time(void)
{
    struct timespec t;
    must(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) == 0, "clock_gettime");
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static double spent_since(int64_t start)
{
    return (double)(cpu_time() - start) / 1e9;
}

/* What each store says of every consumer. */
struct answer {
    int64_t expires_at, consent;
    uint16_t notice_version;
    uint8_t state, used;
};

static struct answer answer_of(int64_t number)
{
    return (struct answer){clock_now() + 365 * (int64_t)DAY_MS, number, 1, 0, 1};
}

/* ---- the index ---- */

static void publish_policy(struct bench *b)
{
    struct err err = {0};
    struct policy_bundle bundle = {0};
    struct policy_findings findings = {0};
    struct policy *policy = NULL;
    must(policy_bundle_read("policy", &bundle, &err) == 0, "reading policy/");
    must(policy_compile(&bundle, NULL, 0, clock_now(), &policy, &findings, &err) == 0,
         "compiling policy/");
    b->permit_key = index_key(b->ix, STR("marketing"), STR("personal_offers"), STR("purchases"));
    b->notice = index_notice(b->ix, STR("personal_offers"));
    b->residence = index_residence(b->ix, STR("SE"));
    struct rules *rules = rules_new(b->ix, policy);
    index_publish(b->ix, rules->image.p, rules->image.n);
    rules_unref(rules);
    policy_findings_free(&findings);
    policy_bundle_free(&bundle);
}

static void set(struct bench *b, struct index_consumer *c, int64_t number, bool given)
{
    struct answer a = answer_of(number);
    struct permit permit = {
        .key = b->permit_key,
        .state = given ? PERMIT_GIVEN : PERMIT_WITHDRAWN,
        .notice = b->notice,
        .notice_version = 1,
        .expires_at = a.expires_at,
        .consent = a.consent,
    };
    index_set(b->ix, c, &permit);
}

static void fill_index(struct bench *b)
{
    struct err err = {0};
    static struct log log = {.fd = STDERR_FILENO, .level = LOG_ERROR};
    struct index_options o = {.dir = b->folder, .installation = "bench", .shards = 1, .log = &log};
    enum index_found found;
    memcpy(o.lookup_key, key, sizeof key);
    must(index_open(&o, &b->ix, &found, &err) == 0, err.text);
    index_write_lock(b->ix);
    publish_policy(b);
    /* As a load does that knows how many there will be. */
    index_reserve(b->ix, b->consumers);
    for (int64_t i = index_count(b->ix); i < b->consumers; i++) {
        char id[ID];
        struct uid cid = {{0}};
        write_id(id, i);
        memcpy(cid.b, &i, sizeof i);
        struct hash128 lookup = cmac_of(&lookup_key, id, 8);
        struct index_consumer *c = index_add(b->ix, &lookup, &cid, 0);
        c->residence = b->residence;
        c->born = 5000 + (int32_t)(i % 8000);
        set(b, c, i, true);
    }
    index_write_unlock(b->ix);
    index_go_live(b->ix);
    must(!index_is_broken(b->ix), "filling the index");
}

static double index_bytes(const struct bench *b)
{
    char path[512];
    struct stat st;
    double bytes = 0;
    const char *const names[] = {"permits.idx", "permits.cid"};
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", b->folder, names[i]);
        must(stat(path, &st) == 0, path);
        bytes += (double)st.st_blocks * 512;
    }
    return bytes;
}

/* ---- the floor ---- */

struct floor_slot {
    char id[ID]; /* a text, padded with zeros */
    int64_t expires_at;
    uint32_t consent;
    uint16_t notice_version;
    uint8_t state, used;
};
_Static_assert(sizeof(struct floor_slot) == 32, "32 bytes a slot");

static uint64_t floor_home(const struct bench *b, const char *id)
{
    uint64_t v;
    memcpy(&v, id, 8);
    v *= 0x9E3779B97F4A7C15u;
    v = (v ^ v >> 32) * 0xBF58476D1CE4E5B9u;
    v ^= v >> 29;
    return (v >> 32) * b->floor_size >> 32;
}

static void fill_floor(struct bench *b)
{
    b->floor_size = (uint64_t)((double)b->consumers / 0.70) + 1;
    size_t bytes = (b->floor_size + 64) * sizeof *b->floor;
    b->floor = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(b->floor != MAP_FAILED, "memory for the floor");
    madvise(b->floor, bytes, MADV_HUGEPAGE);
    for (int64_t i = 0; i < b->consumers; i++) {
        char id[ID];
        write_id(id, i);
        uint64_t at = floor_home(b, id);
        while (b->floor[at].used)
            at = at + 1 == b->floor_size ? 0 : at + 1;
        const struct answer a = answer_of(i);
        struct floor_slot *s = &b->floor[at];
        *s = (struct floor_slot){.expires_at = a.expires_at,
                                 .consent = (uint32_t)a.consent,
                                 .notice_version = a.notice_version,
                                 .state = a.state,
                                 .used = a.used};
        memcpy(s->id, id, 8);
    }
}

static bool floor_decide(const struct bench *b, const char *id, int64_t now)
{
    for (uint64_t at = floor_home(b, id);; at = at + 1 == b->floor_size ? 0 : at + 1) {
        const struct floor_slot *s = &b->floor[at];
        if (!s->used)
            return false;
        if (memcmp(s->id, id, 8) == 0)
            return s->state == 0 && now < s->expires_at && s->notice_version >= 1;
    }
}

/* By a text of which nothing is known, at this moment. */
static bool floor_decide_text(const struct bench *b, const char *text)
{
    char id[ID] = {0};
    uint64_t rest;
    const size_t n = strlen(text);
    const int64_t now = time(NULL) * 1000 + 1000;
    if (n >= sizeof id)
        return false;
    memcpy(id, text, n);
    memcpy(&rest, id + 8, sizeof rest);
    uint64_t at = floor_home(b, id);
    if (rest)
        at = (at + rest) % b->floor_size;
    for (;; at = at + 1 == b->floor_size ? 0 : at + 1) {
        const struct floor_slot *s = &b->floor[at];
        if (!s->used)
            return false;
        if (memcmp(s->id, id, sizeof id) == 0)
            return s->state == 0 && now < s->expires_at && s->notice_version >= 1;
    }
}

/* ---- LMDB and SQLite ---- */

static void fill_lmdb(struct bench *b)
{
    char path[512];
    MDB_txn *txn;
    snprintf(path, sizeof path, "%s/lmdb", b->folder);
    must(mdb_env_create(&b->lmdb) == 0, "mdb_env_create");
    mdb_env_set_mapsize(b->lmdb, (size_t)b->consumers * 160 + (1 << 26));
    must(mdb_env_open(b->lmdb, path, MDB_NOSUBDIR | MDB_NOSYNC | MDB_NORDAHEAD, 0600) == 0, path);
    must(mdb_txn_begin(b->lmdb, NULL, 0, &txn) == 0, "mdb_txn_begin");
    must(mdb_dbi_open(txn, NULL, 0, &b->dbi) == 0, "mdb_dbi_open");
    MDB_stat st;
    mdb_stat(txn, b->dbi, &st);
    for (int64_t i = (int64_t)st.ms_entries; i < b->consumers; i++) {
        char id[ID];
        write_id(id, i);
        struct answer a = answer_of(i);
        MDB_val k = {8, id}, v = {sizeof a, &a};
        must(mdb_put(txn, b->dbi, &k, &v, MDB_APPEND) == 0, "mdb_put");
        if (i % 1000000 == 999999) {
            must(mdb_txn_commit(txn) == 0, "mdb_txn_commit");
            must(mdb_txn_begin(b->lmdb, NULL, 0, &txn) == 0, "mdb_txn_begin");
        }
    }
    must(mdb_txn_commit(txn) == 0, "mdb_txn_commit");
}

static void run_sql(struct bench *b, const char *sql)
{
    must(sqlite3_exec(b->sqlite, sql, NULL, NULL, NULL) == SQLITE_OK, sql);
}

static void fill_sqlite(struct bench *b)
{
    char path[512];
    sqlite3_stmt *s;
    snprintf(path, sizeof path, "%s/sqlite", b->folder);
    must(sqlite3_open(path, &b->sqlite) == SQLITE_OK, path);
    run_sql(b, "pragma journal_mode = off");
    run_sql(b, "pragma synchronous = off");
    run_sql(b, "pragma mmap_size = 17179869184");
    run_sql(b, "create table if not exists consent (id text primary key, state integer not null, "
               "expires_at integer not null, notice_version integer not null, consent integer "
               "not null) without rowid");
    must(sqlite3_prepare_v2(b->sqlite, "select count(*) from (select 1 from consent limit 1)", -1,
                            &s, NULL) == SQLITE_OK &&
             sqlite3_step(s) == SQLITE_ROW,
         "count");
    bool filled = sqlite3_column_int(s, 0) > 0;
    sqlite3_finalize(s);
    if (filled)
        return;
    run_sql(b, "begin");
    must(sqlite3_prepare_v2(b->sqlite, "insert into consent values ($1, $2, $3, $4, $5)", -1, &s,
                            NULL) == SQLITE_OK,
         "insert");
    for (int64_t i = 0; i < b->consumers; i++) {
        char id[ID];
        write_id(id, i);
        struct answer a = answer_of(i);
        sqlite3_bind_text(s, 1, id, 8, SQLITE_STATIC);
        sqlite3_bind_int(s, 2, a.state);
        sqlite3_bind_int64(s, 3, a.expires_at);
        sqlite3_bind_int(s, 4, a.notice_version);
        sqlite3_bind_int64(s, 5, a.consent);
        must(sqlite3_step(s) == SQLITE_DONE, "insert");
        sqlite3_reset(s);
    }
    sqlite3_finalize(s);
    run_sql(b, "commit");
}

/* ---- asking ---- */

/* Each asks for ids until the time is over and returns decisions a second of processor time; all
 * must be permitted, but for those that the writer of the last measurement takes back. */
typedef double ask(struct bench *b);

static double ask_floor(struct bench *b)
{
    int64_t start = cpu_time(), done = 0, permits = 0;
    double seconds;
    do {
        int64_t now = clock_now();
        for (int i = 0; i < 65536; i++, done++)
            permits += floor_decide(b, b->asked[done & (ASKED - 1)], now);
    } while ((seconds = spent_since(start)) < b->seconds);
    must(permits == done, "the floor");
    return (double)done / seconds;
}

static double ask_floor_text(struct bench *b)
{
    int64_t start = cpu_time(), done = 0, permits = 0;
    double seconds;
    do {
        for (int i = 0; i < 65536; i++, done++)
            permits += floor_decide_text(b, b->asked[done & (ASKED - 1)]);
    } while ((seconds = spent_since(start)) < b->seconds);
    must(permits == done, "the floor");
    return (double)done / seconds;
}

static double ask_floor_many(struct bench *b)
{
    int64_t start = cpu_time(), done = 0, permits = 0;
    double seconds;
    do {
        int64_t now = clock_now();
        for (int i = 0; i < 65536; i += BATCH, done += BATCH) {
            const char **ids = b->asked + (done & (ASKED - 1));
            for (int k = 0; k < BATCH; k++)
                __builtin_prefetch(&b->floor[floor_home(b, ids[k])]);
            for (int k = 0; k < BATCH; k++)
                permits += floor_decide(b, ids[k], now);
        }
    } while ((seconds = spent_since(start)) < b->seconds);
    must(permits == done, "the prefetched floor");
    return (double)done / seconds;
}

static double ask_lov_of(struct bench *b, struct lov *lov, bool all)
{
    int64_t start = cpu_time(), done = 0, permits = 0;
    double seconds;
    do {
        for (int i = 0; i < 65536; i++, done++) {
            struct lov_decision d;
            permits += lov_decide(lov, "marketing", "personal_offers", "purchases",
                                  b->asked[done & (ASKED - 1)], 0, &d);
        }
    } while ((seconds = spent_since(start)) < b->seconds);
    must(all ? permits == done : permits > done / 2, "lov_decide");
    return (double)done / seconds;
}

static double ask_lov(struct bench *b)
{
    return ask_lov_of(b, b->lov, true);
}

/* By a question that was prepared. */
static double ask_prepared(struct bench *b)
{
    struct lov_question *q;
    must(lov_prepare(b->lov, "marketing", "personal_offers", "purchases", &q) == 0, "lov_prepare");
    int64_t start = cpu_time(), done = 0, permits = 0;
    double seconds;
    do {
        for (int i = 0; i < 65536; i++, done++) {
            struct lov_decision d;
            permits += lov_ask(q, b->asked[done & (ASKED - 1)], 0, &d);
        }
    } while ((seconds = spent_since(start)) < b->seconds);
    must(permits == done, "lov_ask");
    lov_question_free(q);
    return (double)done / seconds;
}

static double ask_lov_many(struct bench *b)
{
    static struct lov_decision out[1024];
    int64_t start = cpu_time(), done = 0, permits = 0;
    double seconds;
    do {
        for (int i = 0; i < 65536; i += 1024, done += 1024)
            permits += (int64_t)lov_decide_many(b->lov, "marketing", "personal_offers", "purchases",
                                                b->asked + (done & (ASKED - 1)), 1024, 0, out);
    } while ((seconds = spent_since(start)) < b->seconds);
    must(permits == done, "lov_decide_many");
    return (double)done / seconds;
}

static double ask_lmdb(struct bench *b)
{
    int64_t start = cpu_time(), done = 0, permits = 0;
    double seconds;
    MDB_txn *txn;
    must(mdb_txn_begin(b->lmdb, NULL, MDB_RDONLY, &txn) == 0, "mdb_txn_begin");
    do {
        int64_t now = clock_now();
        for (int i = 0; i < 16384; i++, done++) {
            MDB_val k = {8, (void *)(uintptr_t)b->asked[done & (ASKED - 1)]}, v;
            struct answer a;
            if (mdb_get(txn, b->dbi, &k, &v) != 0)
                continue;
            memcpy(&a, v.mv_data, sizeof a);
            permits += a.state == 0 && now < a.expires_at && a.notice_version >= 1;
        }
    } while ((seconds = spent_since(start)) < b->seconds);
    mdb_txn_abort(txn);
    must(permits == done, "LMDB");
    return (double)done / seconds;
}

static double ask_sqlite(struct bench *b)
{
    int64_t start = cpu_time(), done = 0, permits = 0;
    double seconds;
    sqlite3_stmt *s;
    must(sqlite3_prepare_v2(b->sqlite,
                            "select state, expires_at, notice_version from consent where id = $1",
                            -1, &s, NULL) == SQLITE_OK,
         "select");
    do {
        int64_t now = clock_now();
        for (int i = 0; i < 4096; i++, done++) {
            sqlite3_bind_text(s, 1, b->asked[done & (ASKED - 1)], 8, SQLITE_STATIC);
            if (sqlite3_step(s) == SQLITE_ROW)
                permits += sqlite3_column_int(s, 0) == 0 && now < sqlite3_column_int64(s, 1) &&
                           sqlite3_column_int(s, 2) >= 1;
            sqlite3_reset(s);
        }
    } while ((seconds = spent_since(start)) < b->seconds);
    sqlite3_finalize(s);
    must(permits == done, "SQLite");
    return (double)done / seconds;
}

/* ---- readers in processes of their own, while the writer changes consents ---- */

static double child_rate(struct bench *b, int out)
{
    struct lov *lov;
    must(lov_open(b->folder, &lov, NULL, 0) == 0, "lov_open");
    double rate = ask_lov_of(b, lov, false);
    must(write(out, &rate, sizeof rate) == sizeof rate, "pipe");
    lov_close(lov);
    return rate;
}

/* Takes back and gives again, so many a second, while `readers` processes decide; the sum of their
 * rates. */
static double ask_processes(struct bench *b, int readers)
{
    int pipes[2];
    double sum = 0, rate;
    must(pipe(pipes) == 0, "pipe");
    for (int i = 0; i < readers; i++) {
        pid_t child = fork();
        must(child >= 0, "fork");
        if (child == 0) {
            child_rate(b, pipes[1]);
            _exit(0);
        }
    }
    int64_t start = clock_monotonic(), changes = 0, number = 0;
    while (since(start) < b->seconds || changes % 2) {
        for (; (double)changes < since(start) * CHANGES_PER_SECOND; changes++) {
            char id[ID];
            if (changes % 2 == 0)
                number = (int64_t)(next_random(b) % (uint64_t)b->consumers);
            write_id(id, number);
            struct hash128 lookup = cmac_of(&lookup_key, id, 8);
            index_write_lock(b->ix);
            struct index_consumer *c = index_change(b->ix, &lookup);
            must(c != NULL, "index_change");
            set(b, c, number, changes & 1);
            index_write_unlock(b->ix);
        }
        usleep(1000);
    }
    for (int i = 0; i < readers; i++) {
        int status;
        must(read(pipes[0], &rate, sizeof rate) == sizeof rate, "reader");
        sum += rate;
        must(wait(&status) > 0 && status == 0, "reader");
    }
    close(pipes[0]);
    close(pipes[1]);
    must((double)changes >= 0.9 * b->seconds * CHANGES_PER_SECOND, "changes a second");
    return sum;
}

static double ask_one_process(struct bench *b)
{
    return ask_processes(b, 1);
}

static double ask_two_processes(struct bench *b)
{
    return ask_processes(b, 2);
}

/* ---- all of it ---- */

static void choose(struct bench *b)
{
    b->ids = mem_alloc(ASKED * sizeof *b->ids);
    b->asked = mem_alloc(ASKED * sizeof *b->asked);
    for (int i = 0; i < ASKED; i++) {
        write_id(b->ids[i], (int64_t)(next_random(b) % (uint64_t)b->consumers));
        b->asked[i] = b->ids[i];
    }
}

static void timed(struct bench *b, const char *what, void (*fill)(struct bench *b))
{
    int64_t start = clock_monotonic();
    fill(b);
    printf("{\"filled\":\"%s\",\"seconds\":%.2f}\n", what, since(start));
    fflush(stdout);
}

/* Closes and opens again, as a restart does, and asks once. */
static void restart(struct bench *b)
{
    int64_t start = clock_monotonic();
    index_close(b->ix, true);
    double closing = since(start);
    start = clock_monotonic();
    fill_index(b);
    must(lov_open(b->folder, &b->lov, NULL, 0) == 0, "lov_open");
    must(lov_decide(b->lov, "marketing", "personal_offers", "purchases", b->asked[0], 0, NULL),
         "the first decision");
    printf("{\"restart\":%.3f,\"closing\":%.3f,\"bytes\":%.2f}\n", since(start), closing,
           index_bytes(b) / (double)b->consumers);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        ask *run;
    } asks[] = {
        {"floor", ask_floor},
        {"floor_text", ask_floor_text},
        {"lov", ask_lov},
        {"prepared", ask_prepared},
        {"floor_many", ask_floor_many},
        {"lov_many", ask_lov_many},
        {"one_process", ask_one_process},
        {"two_processes", ask_two_processes},
        {"lmdb", ask_lmdb},
        {"sqlite", ask_sqlite},
    };
    const size_t stores = 2; /* of them at the end */
    struct bench b = {.random = 1};
    int64_t rounds, seconds;
    const bool alone = argc == 6 && strcmp(argv[5], "floor") == 0;
    if ((argc != 5 && !alone) || !str_to_int(str_of(argv[2]), 1000, 99000000, &b.consumers) ||
        !str_to_int(str_of(argv[3]), 1, 100, &rounds) ||
        !str_to_int(str_of(argv[4]), 1, 600, &seconds)) {
        fprintf(stderr, "usage: permits FOLDER CONSUMERS ROUNDS SECONDS [floor]\n");
        return 2;
    }
    cmac_key_init(&lookup_key, key, true);
    b.folder = argv[1];
    b.seconds = (double)seconds;
    mkdir(b.folder, 0700);
    choose(&b);
    timed(&b, "index", fill_index);
    restart(&b);
    timed(&b, "floor", fill_floor);
    if (!alone) {
        timed(&b, "lmdb", fill_lmdb);
        timed(&b, "sqlite", fill_sqlite);
    }
    for (int64_t round = 0; round < rounds; round++) {
        printf("{\"round\":%lld", (long long)round);
        for (size_t i = 0; i < sizeof asks / sizeof *asks - (alone ? stores : 0); i++)
            printf(",\"%s\":%.0f", asks[i].name, asks[i].run(&b));
        printf("}\n");
        fflush(stdout);
    }
    lov_close(b.lov);
    index_close(b.ix, true);
    return 0;
}
