/* audience.c - audiences in process: the count, the first page and the whole list of those whom
 * four conditions permit, out of many consumers with one to three consents each.
 *
 *     audience FOLDER CONSUMERS IDENTITIES ROUNDS
 *
 * Index and identity store are filled through their writers' own doors but in bulk, under the
 * policy in policy/. The identity store holds the first IDENTITIES consumers, and lists are read as
 * far as it goes. A folder that is filled is taken as it is. Prints one JSON object a line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "consent/engine.h"
#include "consent/sets.h"
#include "identity/store.h"

enum { PIECE = 512, PAGE = 100, CHANGES = 20000, RESIDENCES = 10 };
static const uint8_t key[16] = "a key of a bench";

struct bench {
    const char *folder;
    int64_t consumers, identities;
    struct engine e;
    struct log log;
    uint64_t random;
    uint32_t residence[RESIDENCES], offers[3], nearby[2], product[2], notice[3];
};

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "audience: %s failed\n", what);
    exit(3);
}

static uint64_t next_random(struct bench *b)
{
    uint64_t z = (b->random += 0x9E3779B97F4A7C15u);
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

static uint64_t below(struct bench *b, uint64_t bound)
{
    return next_random(b) % bound;
}

static double since(int64_t start)
{
    return (double)(clock_monotonic() - start) / 1e9;
}

static void write_id(char out[8], int64_t number)
{
    for (int i = 8; i-- > 0; number /= 10)
        out[i] = (char)('0' + number % 10);
}

static struct hash128 lookup_of(int64_t number)
{
    char id[8];
    write_id(id, number);
    return siphash128_of(key, id, sizeof id);
}

/* Random to look at, and the same in both stores. */
static struct uid cid_of(int64_t number)
{
    static const uint8_t other[16] = "another of these";
    struct hash128 h = siphash128_of(other, (const char *)&number, sizeof number);
    struct uid cid;
    memcpy(cid.b, h.b, sizeof cid.b);
    return cid;
}

/* ---- the index ---- */

static void publish_policy(struct bench *b)
{
    static const char *const codes[RESIDENCES] = {"SE", "DE", "FR", "FI",    "DK",
                                                  "NL", "ES", "",   "US-CA", "US-NY"};
    struct err err = {0};
    struct policy_bundle bundle = {0};
    struct policy_findings findings = {0};
    struct policy *policy = NULL;
    struct index *ix = b->e.index;
    must(policy_bundle_read("policy", &bundle, &err) == 0, "reading policy/");
    must(policy_compile(&bundle, NULL, 0, clock_now(), &policy, &findings, &err) == 0,
         "compiling policy/");
    struct str marketing = STR("marketing");
    b->offers[0] = index_key(ix, marketing, STR("personal_offers"), STR("purchases"));
    b->offers[1] = index_key(ix, marketing, STR("personal_offers"), STR("contact"));
    b->offers[2] = index_key(ix, marketing, STR("personal_offers"), STR("profile"));
    b->nearby[0] = index_key(ix, marketing, STR("nearby_offers"), STR("contact"));
    b->nearby[1] = index_key(ix, marketing, STR("nearby_offers"), STR("location"));
    b->product[0] = index_key(ix, STR("product"), STR("product_development"), STR("purchases"));
    b->product[1] = index_key(ix, STR("product"), STR("product_development"), STR("browsing"));
    b->notice[0] = index_notice(ix, STR("personal_offers"));
    b->notice[1] = index_notice(ix, STR("nearby_offers"));
    b->notice[2] = index_notice(ix, STR("product_development"));
    for (int i = 0; i < RESIDENCES; i++)
        b->residence[i] = index_residence(ix, str_of(codes[i]));
    engine_set_rules(&b->e, rules_new(ix, policy));
    policy_findings_free(&findings);
    policy_bundle_free(&bundle);
}

/* One answer for the first `count` of the keys: three of four say yes, for a year from some day of
 * the last. */
static void answer(struct bench *b, struct index_consumer *c, const uint32_t *keys, uint64_t count,
                   uint32_t notice)
{
    uint64_t what = below(b, 20);
    struct permit permit = {
        .state = what < 15   ? PERMIT_GIVEN
                 : what < 18 ? PERMIT_REFUSED
                             : PERMIT_WITHDRAWN,
        .notice = notice,
        .notice_version = 1,
        .expires_at = clock_now() + (int64_t)below(b, 365 * (uint64_t)DAY_MS),
        .consent = (int64_t)below(b, 1000000000),
    };
    for (uint64_t i = 0; i < count; i++) {
        permit.key = keys[i];
        index_set(b->e.index, c, &permit);
    }
}

static void set_consumer(struct bench *b, struct index_consumer *c)
{
    uint64_t where = below(b, 100);
    c->residence = b->residence[where < 50 ? 0 : (where - 50) * RESIDENCES / 50];
    c->born = below(b, 10) < 6 ? 20400 - 365 * 10 - (int32_t)below(b, 365 * 75) : DAY_NONE;
    c->restricted = below(b, 200) == 0;
    c->opt_out_signal = below(b, 33) == 0;
    answer(b, c, b->offers, below(b, 10) < 7 ? 3 : 1 + below(b, 2), b->notice[0]);
    uint64_t more = below(b, 3);
    if (more > 0)
        answer(b, c, b->nearby, 1 + below(b, 2), b->notice[1]);
    if (more > 1)
        answer(b, c, b->product, 1 + below(b, 2), b->notice[2]);
}

static void fill_index(struct bench *b)
{
    struct err err = {0};
    struct index_options o = {
        .dir = b->folder, .installation = "bench", .shards = 1, .log = &b->log};
    enum index_found found;
    memcpy(o.lookup_key, key, sizeof key);
    must(index_open(&o, &b->e.index, &found, &err) == 0, err.text);
    index_write_lock(b->e.index);
    publish_policy(b);
    index_reserve(b->e.index, b->consumers);
    for (int64_t i = index_count(b->e.index); i < b->consumers; i++) {
        struct hash128 lookup = lookup_of(i);
        struct uid cid = cid_of(i);
        set_consumer(b, index_add(b->e.index, &lookup, &cid, 0));
    }
    index_write_unlock(b->e.index);
    index_go_live(b->e.index);
    must(!index_is_broken(b->e.index), "filling the index");
}

/* ---- identities ---- */

struct row {
    struct hash128 lookup;
    int64_t number;
};

static int by_lookup(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct hash128));
}

static void insert_rows(struct bench *b, struct db *db, const struct row *rows)
{
    static const char sql[] =
        "insert into consumer (lookup, number, shard, cid, sealed_id, data_key, created_at) "
        "values ($1, $2, 0, $3, $4, $5, 0)";
    struct buf about = {0}, id = {0}, data = {0};
    struct err err = {0};
    for (int64_t i = 0; i < b->identities; i++) {
        struct uid cid = cid_of(rows[i].number);
        char name[8], fresh[32] = {0};
        write_id(name, rows[i].number);
        buf_clear(&id);
        buf_clear(&data);
        kek_seal(b->e.identity, identity_associated(SEALED_ID, &cid, &about),
                 (struct str){name, sizeof name}, &id);
        kek_seal(b->e.identity, identity_associated(SEALED_KEY, &cid, &about),
                 (struct str){fresh, sizeof fresh}, &data);
        struct db_stmt *s = db_use(db, sql);
        db_bind_blob(s, 1, identity_hash_str(&rows[i].lookup));
        db_bind_int(s, 2, rows[i].number);
        db_bind_blob(s, 3, uid_str(&cid));
        db_bind_blob(s, 4, buf_view(&id));
        db_bind_blob(s, 5, buf_view(&data));
        must(db_run(s, &err) == 0, err.text);
    }
    buf_free(&about);
    buf_free(&id);
    buf_free(&data);
}

/* In the order of the table, its indexes afterwards: what a store is after a load. */
static void insert_all(struct bench *b, struct db *db)
{
    struct err err = {0};
    struct row *rows = mem_alloc((size_t)b->identities * sizeof *rows);
    for (int64_t i = 0; i < b->identities; i++)
        rows[i] = (struct row){lookup_of(i), i};
    qsort(rows, (size_t)b->identities, sizeof *rows, by_lookup);
    static const char *const before[] = {"drop index consumer_name", "drop index consumer_cid"};
    static const char *const after[] = {
        "create unique index consumer_cid on consumer (cid)",
        "create unique index consumer_name on consumer (number, cid, sealed_id)"};
    must(db_begin(db, &err) == 0, err.text);
    for (int i = 0; i < 2; i++)
        must(db_run(db_use(db, before[i]), &err) == 0, err.text);
    insert_rows(b, db, rows);
    for (int i = 0; i < 2; i++)
        must(db_run(db_use(db, after[i]), &err) == 0, err.text);
    must(db_commit(db, &err) == 0, err.text);
    free(rows);
}

static void fill_identities(struct bench *b)
{
    char path[512];
    struct err err = {0};
    struct db *db;
    struct identity_keys keys;
    snprintf(path, sizeof path, "%s/identity.db", b->folder);
    bool filled = file_exists(path);
    if (!filled)
        must(identity_create_key(b->folder, &err) == 0, err.text);
    must(identity_load_keys(b->folder, &keys, &err) == 0, err.text);
    must(db_open(path, DB_WRITE, &db, &err) == 0, err.text);
    must(identity_open(db, &keys, 1, &b->e.identity, &err) == 0, err.text);
    b->e.identities = db_pool_new(path);
    if (!filled)
        insert_all(b, db);
    db_close(db);
}

/* ---- asking ---- */

/* May marketing use purchases and contact for personal offers, and contact for nearby ones, of
 * those who live in Sweden or Germany? */
static struct audience *open_audience(struct bench *b, size_t conditions)
{
    static const struct str where[] = {{"SE", 2}, {"DE", 2}};
    const struct question all[] = {
        {.recipient = STR("marketing"),
         .purpose = STR("personal_offers"),
         .category = STR("purchases")},
        {.recipient = STR("marketing"),
         .purpose = STR("personal_offers"),
         .category = STR("contact")},
        {.recipient = STR("marketing"),
         .purpose = STR("nearby_offers"),
         .category = STR("contact")},
    };
    struct audience_ask ask = {.all = all, .count = conditions == 1 ? 1 : 3};
    if (conditions == 4) {
        ask.residences = where;
        ask.residence_count = 2;
    }
    return audience_open(&b->e, &ask);
}

/* Of this thread, ms. */
static double cpu(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* Seconds, and in *cpu_ms the processor time. */
static double count(struct bench *b, size_t conditions, int64_t *n, double *cpu_ms)
{
    struct err err = {0};
    double before = cpu();
    int64_t start = clock_monotonic();
    struct audience *a = open_audience(b, conditions);
    must(audience_count(a, -1, n, &err) == 0, err.text);
    audience_close(a);
    *cpu_ms = cpu() - before;
    return since(start);
}

struct piece {
    uint32_t numbers[PIECE];
    struct uid cids[PIECE];
    struct identity_span spans[PIECE];
    struct buf ids;
};

static size_t name(struct bench *b, struct identity_names *names, struct piece *p, size_t n)
{
    struct err err = {0};
    size_t found = 0;
    buf_clear(&p->ids);
    for (size_t i = 0; i < n; i++)
        p->cids[i] = engine_cid(&b->e, p->numbers[i]);
    must(identity_names_read(names, p->numbers, p->cids, n, &p->ids, p->spans, &err) == 0,
         err.text);
    for (size_t i = 0; i < n; i++)
        found += p->spans[i].length == 8;
    return found;
}

static double first_page(struct bench *b)
{
    static struct piece p;
    size_t n;
    int64_t next, start = clock_monotonic();
    struct audience *a = open_audience(b, 4);
    struct identity_names *names = identity_names_new(b->e.identity, b->e.identities);
    audience_find(a, 0, PAGE, -1, p.numbers, &n, &next);
    must(n == PAGE && name(b, names, &p, n) == n, "the first page");
    identity_names_free(names);
    audience_close(a);
    return since(start);
}

/* Numbers alone, or with their ids as far as there are identities; how many a second. */
static double list(struct bench *b, size_t conditions, bool named, int64_t *listed)
{
    static struct piece p;
    int64_t start = clock_monotonic(), end = named ? b->identities : b->consumers;
    struct audience *a = open_audience(b, conditions);
    struct identity_names *names = identity_names_new(b->e.identity, b->e.identities);
    *listed = 0;
    for (int64_t next = 0; next >= 0 && next < end;) {
        size_t n;
        audience_find(a, next, PIECE, -1, p.numbers, &n, &next);
        while (named && n && p.numbers[n - 1] >= end)
            n--;
        must(!named || name(b, names, &p, n) == n, "a name");
        *listed += (int64_t)n;
    }
    identity_names_free(names);
    audience_close(a);
    return (double)*listed / since(start);
}

/* Changes of consents a second, with sets to keep and without. */
static double change(struct bench *b)
{
    int64_t start = clock_monotonic();
    for (int i = 0; i < CHANGES; i++) {
        struct hash128 lookup = lookup_of((int64_t)below(b, (uint64_t)b->consumers));
        index_write_lock(b->e.index);
        answer(b, index_change(b->e.index, &lookup), b->offers, 3, b->notice[0]);
        index_write_unlock(b->e.index);
    }
    return CHANGES / since(start);
}

static double build(struct bench *b)
{
    int64_t start = clock_monotonic();
    struct sets *s = index_sets(b->e.index);
    for (uint32_t i = 0; sets_wanting(s, &i, permit_now(), 0); i++)
        must(sets_build(s, i, permit_now(), 0), "room for sets");
    return since(start);
}

static double own_memory(void)
{
    char line[256];
    double kilobytes = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "RssAnon: %lf", &kilobytes) == 1)
            break;
    if (f)
        fclose(f);
    return kilobytes / 1024;
}

static void run_round(struct bench *b)
{
    int64_t n, one, all, named;
    double one_cpu, four_cpu;
    double one_ms = count(b, 1, &one, &one_cpu) * 1000;
    double four_ms = count(b, 4, &n, &four_cpu) * 1000;
    double page_ms = first_page(b) * 1000, numbers = list(b, 4, false, &all);
    /* Consents end meanwhile. */
    must(all <= n && all > n - n / 10000 - 10, "the list is as long as its count");
    double names = list(b, 4, true, &named), dense = list(b, 1, true, &named);
    printf("{\"count_one_ms\":%.1f,\"count_one_cpu_ms\":%.1f,\"one\":%lld,"
           "\"count_four_ms\":%.1f,\"count_four_cpu_ms\":%.1f,\"four\":%lld,"
           "\"first_page_ms\":%.2f,\"numbers\":%.0f,\"names_four\":%.0f,\"names_one\":%.0f}\n",
           one_ms, one_cpu, (long long)one, four_ms, four_cpu, (long long)n, page_ms, numbers,
           names, dense);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    struct bench b = {.random = 1, .log = {.fd = STDERR_FILENO, .level = LOG_ERROR}};
    int64_t rounds, start = clock_monotonic();
    uint64_t mapped, own;
    if (argc != 5 || !str_to_int(str_of(argv[2]), 1000, 99000000, &b.consumers) ||
        !str_to_int(str_of(argv[3]), 1000, b.consumers, &b.identities) ||
        !str_to_int(str_of(argv[4]), 1, 100, &rounds)) {
        fprintf(stderr, "usage: audience FOLDER CONSUMERS IDENTITIES ROUNDS\n");
        return 2;
    }
    b.folder = argv[1];
    b.e.log = &b.log;
    mkdir(b.folder, 0700);
    fill_index(&b);
    printf("{\"filled\":\"index\",\"seconds\":%.1f}\n", since(start));
    start = clock_monotonic();
    fill_identities(&b);
    printf("{\"filled\":\"identities\",\"seconds\":%.1f}\n", since(start));
    fflush(stdout);
    double alone = change(&b), before = own_memory(), built = build(&b);
    sets_size(index_sets(b.e.index), &mapped, &own);
    printf("{\"build_s\":%.2f,\"sets_mb\":%.0f,\"own_mb\":%.1f,\"process_mb\":%.0f,"
           "\"process_before_mb\":%.0f,\"changes\":%.0f,\"changes_with_sets\":%.0f}\n",
           built, (double)mapped / 1e6, (double)own / 1e6, own_memory(), before, alone, change(&b));
    fflush(stdout);
    for (int64_t i = 0; i < rounds; i++)
        run_round(&b);
    rules_retire(&b.e);
    index_close(b.e.index, true);
    db_pool_free(b.e.identities);
    identity_close(b.e.identity);
    return 0;
}
