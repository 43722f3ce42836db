/* gdpr.c - GDPRbench (Shastri et al., PVLDB 13(7), 2020) against Lov or PostgreSQL.
 *
 *   gdpr lov HOST:PORT KEY RECORDS PURPOSES load|WORKLOAD OPERATIONS SEED [differ]
 *   gdpr postgres CONNINFO RECORDS PURPOSES load|WORKLOAD OPERATIONS SEED [differ]
 *
 * Record N has key<N>, PUR purpose<N mod PURPOSES>, a TTL of ten, USR user<N mod 10000>, OBJ, DEC,
 * ACL, SHR, SRC, CAT and 100 bytes of data. The operations are drawn from SEED before the clock
 * starts, so that both sides get the same ones; CLIENTS connections take them in turn. Prints how
 * many seconds they took, how many found nothing any more, and rows or items that came back.
 *
 * What metadata is updated to is what record N has, as the benchmark defines it; with `differ` it
 * is what another record has, so that each update changes something. Fields that can be updated are
 * TTL, OBJ, ACL and SRC on both sides: to Lov, USR and CAT are whose record it is and of what kind,
 * DEC is the consumer's, and SHR is what the ledger says. */
#include <arpa/inet.h>
#include <libpq-fe.h>
#include <math.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"

enum {
    CLIENTS = 8,
    USERS = 10000,
    DATA = 100,
    LOG_MOST = 1000,
    ID_SIZE = 33,
    BODY = 2048,
    BUNDLE = 256
};

enum operation {
    READ,
    READ_PURPOSE,
    READ_USER,
    UPDATE,
    SET_PURPOSE,
    SET_USER,
    DELETE,
    INSERT,
    LOG
};

static const struct workload {
    const char *name;
    bool zipfian;
    int hundredths[LOG + 1];
} workloads[] = {
    {"load", false, {[INSERT] = 100}},
    {"controller", false, {[SET_PURPOSE] = 25, [SET_USER] = 25, [DELETE] = 25, [INSERT] = 25}},
    {"customer",
     true,
     {[READ] = 20,
      [READ_PURPOSE] = 10,
      [READ_USER] = 10,
      [UPDATE] = 20,
      [SET_PURPOSE] = 10,
      [SET_USER] = 10,
      [DELETE] = 20}},
    {"processor", false, {[READ] = 20, [READ_PURPOSE] = 40, [READ_USER] = 40}},
    {"regulator", true, {[READ_USER] = 50, [LOG] = 50}},
};

static const int ttls[] = {30,    10000, 12000, 14000, 16000,
                           18000, 20000, 22000, 24000, 1000000}; /* seconds */
enum field { TTL, OBJ, ACL, SRC, FIELDS };

struct step {
    enum operation operation;
    enum field field;
    int64_t n, value; /* record; whose field an update takes over */
    int length;       /* of the log */
};

struct bench {
    int64_t records, purposes;
    const struct workload *workload;
    struct step *steps;
    int64_t count;
    _Atomic int64_t next, nothing, rows, last_event;
    char (*ids)[ID_SIZE];     /* of Lov's records */
    const char *target, *key; /* HOST:PORT and an API key; or conninfo and NULL */
};

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "gdpr: %s: %s\n", what, why);
    exit(3);
}

/* ---- what is drawn ---- */

static uint64_t draw(uint64_t *seed)
{
    uint64_t z = (*seed += 0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static uint64_t fnv(uint64_t n)
{
    uint64_t hash = 0xcbf29ce484222325;
    for (int i = 0; i < 8; i++, n >>= 8)
        hash = (hash ^ (n & 0xff)) * 1099511628211;
    return hash;
}

/* YCSB's scrambled zipfian generator of constant .99. */
struct zipfian {
    double zeta, zeta2, eta, alpha;
    int64_t items;
};

static struct zipfian zipfian_new(int64_t items)
{
    const double theta = 0.99;
    struct zipfian z = {.items = items, .alpha = 1 / (1 - theta)};
    for (int64_t i = 1; i <= items; i++)
        z.zeta += 1 / pow((double)i, theta);
    z.zeta2 = 1 + 1 / pow(2, theta);
    z.eta = (1 - pow(2.0 / (double)items, 1 - theta)) / (1 - z.zeta2 / z.zeta);
    return z;
}

static int64_t zipfian_next(const struct zipfian *z, uint64_t *seed)
{
    double u = (double)(draw(seed) >> 11) / 9007199254740992.0, uz = u * z->zeta;
    int64_t rank = uz < 1 ? 0
                   : uz < z->zeta2
                       ? 1
                       : (int64_t)((double)z->items * pow(z->eta * u - z->eta + 1, z->alpha));
    return (int64_t)(fnv((uint64_t)rank) % (uint64_t)z->items);
}

static enum operation choose(const struct workload *w, uint64_t *seed)
{
    int left = (int)(draw(seed) % 100), i = 0;
    while (left >= w->hundredths[i])
        left -= w->hundredths[i++];
    return (enum operation)i;
}

static void draw_steps(struct bench *b, uint64_t seed, bool differ)
{
    struct zipfian z = zipfian_new(b->records);
    int64_t inserted = b->records;
    bool load = b->workload == &workloads[0];
    b->steps = calloc((size_t)b->count, sizeof *b->steps);
    for (int64_t i = 0; i < b->count; i++) {
        struct step *s = &b->steps[i];
        s->operation = choose(b->workload, &seed);
        s->n = b->workload->zipfian ? zipfian_next(&z, &seed)
                                    : (int64_t)(draw(&seed) % (uint64_t)b->records);
        if (s->operation == INSERT)
            s->n = load ? i : inserted++;
        s->field = (enum field)(draw(&seed) % FIELDS);
        s->length = 1 + (int)(draw(&seed) % LOG_MOST);
        s->value = differ ? (int64_t)(draw(&seed) % (uint64_t)b->records) : s->n;
    }
}

static void fill_data(int64_t n, char out[DATA + 1])
{
    size_t at = 0;
    while (at < DATA)
        at += (size_t)snprintf(out + at, DATA + 1 - at, "%lld%llx", (long long)n,
                               (unsigned long long)fnv((uint64_t)n + at));
    out[DATA] = '\0';
}

static void format_end(int64_t value, char out[32])
{
    _cleanup_buf struct buf text = {0};
    time_format(clock_now() + ttls[value % 10] * 1000LL, &text);
    snprintf(out, 32, "%s", text.p);
}

/* ---- Lov ---- */

struct http {
    struct bench *b;
    int fd;
    struct buf in;
};

static int http_connect(const char *target)
{
    char host[64];
    const char *colon = strchr(target, ':');
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(colon + 1))};
    snprintf(host, sizeof host, "%.*s", (int)(colon - target), target);
    inet_pton(AF_INET, host, &to.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (struct sockaddr *)&to, sizeof to))
        fail("connect", target);
    return fd;
}

static size_t receive(struct http *h)
{
    buf_reserve(&h->in, 64 << 10);
    ssize_t n = recv(h->fd, h->in.p + h->in.n, 64 << 10, 0);
    if (n <= 0)
        fail("recv", "the server closed the connection");
    h->in.n += (size_t)n;
    h->in.p[h->in.n] = '\0';
    return (size_t)n;
}

/* The status; the body is at *body, NUL-terminated. */
static int http_answer(struct http *h, const char **body)
{
    const char *end, *length;
    buf_clear(&h->in);
    do
        receive(h);
    while (!(end = strstr(h->in.p, "\r\n\r\n")));
    length = strcasestr(h->in.p, "\r\nContent-Length:");
    if (!length || length > end)
        fail("answer", "has no Content-Length");
    size_t head = (size_t)(end + 4 - h->in.p), all = head + strtoull(length + 17, NULL, 10);
    while (h->in.n < all)
        receive(h);
    *body = h->in.p + head;
    return atoi(h->in.p + 9);
}

static int http_call(struct http *h, const char *method, const char *target, const char *body,
                     const char **answer)
{
    char request[BODY + 1024];
    int n = snprintf(request, sizeof request,
                     "%s %s HTTP/1.1\r\nHost: lov\r\nAuthorization: Bearer %s\r\n"
                     "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                     method, target, h->b->key, strlen(body), body);
    if (send(h->fd, request, (size_t)n, 0) != n)
        fail("send", target);
    int status = http_answer(h, answer);
    if (status == 404)
        h->b->nothing++;
    else if (status < 200 || status > 299)
        fail(target, *answer);
    return status;
}

static void record_body(const struct bench *b, int64_t n, char out[BODY])
{
    char data[DATA + 1], end[32];
    fill_data(n, data);
    format_end(n, end);
    snprintf(
        out, BODY,
        "{\"data\":{\"data\":\"%s\"},\"source\":\"src%lld\",\"retention_end\":\"%s\",\"limits\":{"
        "\"purposes\":[\"purpose%lld\"],\"objections\":[\"obj%lld\"],\"recipients\":[\"acl%lld\"]}}",
        data, (long long)n % 10, end, (long long)(n % b->purposes), (long long)n % 100,
        (long long)n % 10);
}

static void change_body(const struct bench *b, const struct step *s, char out[BODY])
{
    char where[64], set[96], end[32];
    long long v = (long long)s->value;
    if (s->operation == SET_USER)
        snprintf(where, sizeof where, "\"consumer\":\"user%lld\"", (long long)s->n % USERS);
    else
        snprintf(where, sizeof where, "\"purpose\":\"purpose%lld\"",
                 (long long)(s->n % b->purposes));
    format_end(s->value, end);
    switch (s->field) {
    case TTL:
        snprintf(set, sizeof set, "\"retention_end\":\"%s\"", end);
        break;
    case SRC:
        snprintf(set, sizeof set, "\"source\":\"src%lld\"", v % 10);
        break;
    case OBJ:
        snprintf(set, sizeof set, "\"limits\":{\"objections\":[\"obj%lld\"]}", v % 100);
        break;
    default:
        snprintf(set, sizeof set, "\"limits\":{\"recipients\":[\"acl%lld\"]}", v % 10);
        break;
    }
    snprintf(out, BODY, "{\"where\":{%s},\"set\":{%s}}", where, set);
}

/* Items of an answer, by what each of them begins with; and the newest event. */
static void count_items(struct bench *b, const char *answer, const char *each)
{
    int64_t rows = 0;
    for (const char *p = answer; (p = strstr(p, each)); p++)
        rows++;
    b->rows += rows;
    const char *event = strstr(answer, "],\"next\":");
    event = event ? strstr(event, "\"event\":") : NULL;
    if (event && atoll(event + 8) > b->last_event)
        b->last_event = atoll(event + 8);
}

static void keep_id(struct bench *b, int64_t n, const char *answer)
{
    const char *id = strstr(answer, "\"id\":\"");
    if (!id)
        fail("insert", answer);
    memcpy(b->ids[n], id + 6, ID_SIZE - 1);
    b->ids[n][ID_SIZE - 1] = '\0';
}

static void lov_list(struct http *h, const struct step *s)
{
    const struct bench *b = h->b;
    const char *answer;
    char target[128];
    if (s->operation == READ_USER)
        snprintf(target, sizeof target, "/v1/records?limit=1000&consumer=user%lld",
                 (long long)s->n % USERS);
    else
        snprintf(target, sizeof target, "/v1/records?limit=1000&purpose=purpose%lld",
                 (long long)(s->n % b->purposes));
    http_call(h, "GET", target, "", &answer);
    count_items(h->b, answer, "{\"id\":");
}

/* The log's entries as they are, in bundles of 256 (C2SP tlog-tiles), as many as hold that many, up
 * to the newest bundle that is full. */
static void lov_log(struct http *h, const struct step *s)
{
    const char *answer;
    char target[128];
    int64_t last = (h->b->last_event + 1) / BUNDLE - 1, count = (s->length + BUNDLE - 1) / BUNDLE;
    for (int64_t i = last < count ? 0 : last - count + 1; i <= last; i++) {
        if (i < 1000)
            snprintf(target, sizeof target, "/log/0/tile/entries/%03d", (int)i);
        else
            snprintf(target, sizeof target, "/log/0/tile/entries/x%03d/%03d", (int)i / 1000,
                     (int)i % 1000);
        http_call(h, "GET", target, "", &answer);
        h->b->rows += BUNDLE;
    }
}

static void lov_step(void *ctx, const struct step *s)
{
    struct http *h = ctx;
    struct bench *b = h->b;
    char target[256], body[BODY];
    const char *answer;
    snprintf(target, sizeof target, "/v1/consumers/user%lld/records/cat%lld",
             (long long)s->n % USERS, (long long)s->n % 10);
    size_t n = strlen(target);
    if (s->operation != INSERT)
        snprintf(target + n, sizeof target - n, "/%s", b->ids[s->n]);
    n = strlen(target);
    switch (s->operation) {
    case READ:
        snprintf(target + n, sizeof target - n, "?purpose=purpose%lld&recipient=acl%lld",
                 (long long)(s->n % b->purposes), (long long)s->n % 10);
        b->rows += http_call(h, "GET", target, "", &answer) == 200;
        break;
    case READ_PURPOSE:
    case READ_USER:
        lov_list(h, s);
        break;
    case LOG:
        lov_log(h, s);
        break;
    case DELETE:
        http_call(h, "DELETE", target, "", &answer);
        break;
    case UPDATE:
    case INSERT:
        record_body(b, s->n, body);
        http_call(h, s->operation == UPDATE ? "PUT" : "POST", target, body, &answer);
        if (s->operation == INSERT)
            keep_id(b, s->n, answer);
        break;
    default:
        change_body(b, s, body);
        http_call(h, "POST", "/v1/records/change", body, &answer);
        break;
    }
}

/* Who records have which ids, from an installation that was loaded before. */
static void lov_find_ids(struct bench *b)
{
    struct http h = {.b = b, .fd = http_connect(b->target)};
    char after[600] = "", target[700];
    do {
        const char *answer;
        snprintf(target, sizeof target, "/v1/records?limit=1000%s%s", *after ? "&after=" : "",
                 after);
        http_call(&h, "GET", target, "", &answer);
        json_t *json = json_loads(answer, 0, NULL), *item;
        size_t i;
        json_array_foreach(json_object_get(json, "items"), i, item) {
            /* Records of a user are told apart by their order, in which they were loaded. */
            int64_t n = atoll(json_string_value(json_object_get(item, "consumer")) + 4);
            while (n < b->records && b->ids[n][0])
                n += USERS;
            if (n < b->records)
                snprintf(b->ids[n], ID_SIZE, "%s", json_string_value(json_object_get(item, "id")));
        }
        const char *next = json_string_value(json_object_get(json, "next"));
        snprintf(after, sizeof after, "%s", next ? next : "");
        count_items(b, answer, "{\"id\":");
        json_decref(json);
    } while (*after);
    close(h.fd);
    buf_free(&h.in);
    b->rows = 0;
}

static void *lov_client(struct bench *b)
{
    struct http *h = calloc(1, sizeof *h);
    h->b = b;
    h->fd = http_connect(b->target);
    return h;
}

/* ---- PostgreSQL ---- */

/* The audit row is in the same statement, so in the same transaction and durable with it, and there
 * is one round trip. What has expired is not there: the WHERE says so, and a job deletes it each
 * second. */
#define AUDIT(op, key)                                                                             \
    "with audited as (insert into audit (at, operation, key) values (now(), '" op "', " key        \
    ") returning id) "
#define META "key, pur, ttl, usr, obj, dec, acl, shr, src, cat"
#define LIVE "ttl > extract(epoch from now())"

static const struct {
    const char *name, *sql;
    int params;
} statements[] = {
    {"read",
     AUDIT("read", "$1") "select " META ", data from record where key = $1 and pur = $2 and " LIVE,
     2},
    {"by_purpose", AUDIT("read-meta", "$1") "select " META " from record where pur = $1 and " LIVE,
     1},
    {"by_user", AUDIT("read-meta", "$1") "select " META " from record where usr = $1 and " LIVE, 1},
    {"update",
     AUDIT("update",
           "$1") "update record set pur = $2, ttl = $3, usr = $4, obj = $5, dec = $6, acl = $7, "
                 "shr = $8, src = $9, cat = $10, data = $11 where key = $1 and " LIVE,
     11},
    {"insert",
     AUDIT("insert",
           "$1") "insert into record (key, pur, ttl, usr, obj, dec, acl, shr, src, cat, data) "
                 "values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
     11},
    {"delete", AUDIT("delete", "$1") "delete from record where key = $1", 1},
    {"log", "select id, at, operation, key from audit order by id desc limit $1::text::bigint", 1},
#define SET(field, column)                                                                         \
    {"purpose_" column,                                                                            \
     AUDIT("update-meta", "$1") "update record set " column " = $2 where pur = $1 and " LIVE, 2},  \
    {                                                                                              \
        "user_" column,                                                                            \
            AUDIT("update-meta", "$1") "update record set " column                                 \
                                       " = $2 where usr = $1 and " LIVE,                           \
            2                                                                                      \
    }
    SET(TTL, "ttl"),
    SET(OBJ, "obj"),
    SET(ACL, "acl"),
    SET(SRC, "src"),
};

struct pg {
    struct bench *b;
    PGconn *conn;
};

static void pg_run(PGconn *conn, const char *sql)
{
    PGresult *r = PQexec(conn, sql);
    if (PQresultStatus(r) != PGRES_COMMAND_OK)
        fail(sql, PQerrorMessage(conn));
    PQclear(r);
}

/* Two that update the same records in another order wait for each other; PostgreSQL ends one of
 * them, which is then done again. */
static PGresult *pg_done(struct pg *p, const char *name, int count, const char *const *values)
{
    for (;;) {
        PGresult *r = PQexecPrepared(p->conn, name, count, values, NULL, NULL, 0);
        ExecStatusType status = PQresultStatus(r);
        if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK)
            return r;
        const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
        if (!state || strcmp(state, "40P01") != 0)
            fail(name, PQerrorMessage(p->conn));
        PQclear(r);
    }
}

static void pg_call(struct pg *p, const char *name, int count, const char *const *values)
{
    PGresult *r = pg_done(p, name, count, values);
    bool lists = PQresultStatus(r) == PGRES_TUPLES_OK;
    int rows = lists ? PQntuples(r) : atoi(PQcmdTuples(r));
    p->b->rows += lists ? rows : 0;
    p->b->nothing += rows == 0;
    PQclear(r);
}

enum { COLUMNS = 11, COLUMN = DATA + 8 };

static void field_text(enum field field, int64_t value, char *out)
{
    static const char *const names[] = {[OBJ] = "obj", [ACL] = "acl", [SRC] = "src"};
    if (field == TTL)
        snprintf(out, COLUMN, "%lld", (long long)(clock_now() / 1000 + ttls[value % 10]));
    else
        snprintf(out, COLUMN, "%s%d", names[field], (int)(value % (field == OBJ ? 100 : 10)));
}

static void row_texts(const struct bench *b, int64_t n, char out[COLUMNS][COLUMN])
{
    long long v = (long long)n;
    snprintf(out[0], COLUMN, "key%lld", v);
    snprintf(out[1], COLUMN, "purpose%lld", v % (long long)b->purposes);
    field_text(TTL, n, out[2]);
    snprintf(out[3], COLUMN, "user%lld", v % USERS);
    field_text(OBJ, n, out[4]);
    snprintf(out[5], COLUMN, "dec%lld", v % 2);
    field_text(ACL, n, out[6]);
    snprintf(out[7], COLUMN, "shr%lld", v % 10);
    field_text(SRC, n, out[8]);
    snprintf(out[9], COLUMN, "cat%lld", v % 10);
    fill_data(n, out[10]);
}

static void pg_set(struct pg *p, const struct step *s, const char *where)
{
    static const char *const columns[] = {"ttl", "obj", "acl", "src"};
    char name[32], value[COLUMN];
    field_text(s->field, s->value, value);
    snprintf(name, sizeof name, "%s_%s", s->operation == SET_USER ? "user" : "purpose",
             columns[s->field]);
    pg_call(p, name, 2, (const char *[]){where, value});
}

static void pg_step(void *ctx, const struct step *s)
{
    struct pg *p = ctx;
    char texts[COLUMNS][COLUMN], length[16];
    const char *row[COLUMNS];
    row_texts(p->b, s->n, texts);
    for (int i = 0; i < COLUMNS; i++)
        row[i] = texts[i];
    switch (s->operation) {
    case READ:
        pg_call(p, "read", 2, row);
        break;
    case READ_PURPOSE:
        pg_call(p, "by_purpose", 1, &row[1]);
        break;
    case READ_USER:
        pg_call(p, "by_user", 1, &row[3]);
        break;
    case UPDATE:
        pg_call(p, "update", COLUMNS, row);
        break;
    case INSERT:
        pg_call(p, "insert", COLUMNS, row);
        break;
    case DELETE:
        pg_call(p, "delete", 1, row);
        break;
    case LOG:
        snprintf(length, sizeof length, "%d", s->length);
        pg_call(p, "log", 1, (const char *[]){length});
        break;
    case SET_PURPOSE:
        pg_set(p, s, row[1]);
        break;
    case SET_USER:
        pg_set(p, s, row[3]);
        break;
    }
}

static void *pg_client(struct bench *b)
{
    struct pg *p = calloc(1, sizeof *p);
    p->b = b;
    p->conn = PQconnectdb(b->target);
    if (PQstatus(p->conn) != CONNECTION_OK)
        fail(b->target, PQerrorMessage(p->conn));
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++) {
        PGresult *r =
            PQprepare(p->conn, statements[i].name, statements[i].sql, statements[i].params, NULL);
        if (PQresultStatus(r) != PGRES_COMMAND_OK)
            fail(statements[i].name, PQerrorMessage(p->conn));
        PQclear(r);
    }
    return p;
}

static void pg_create(struct bench *b)
{
    static const char *const columns[] = {"pur", "ttl", "usr", "obj", "dec",
                                          "acl", "shr", "src", "cat"};
    PGconn *conn = PQconnectdb(b->target);
    char sql[128];
    pg_run(conn, "set client_min_messages = warning");
    pg_run(conn, "drop table if exists record, audit");
    pg_run(conn,
           "create table record (key text primary key, pur text not null, ttl bigint not null, "
           "usr text not null, obj text not null, dec text not null, acl text not null, "
           "shr text not null, src text not null, cat text not null, data text not null)");
    pg_run(conn, "create table audit (id bigserial primary key, at timestamptz not null, "
                 "operation text not null, key text not null)");
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
        snprintf(sql, sizeof sql, "create index record_%s on record (%s)", columns[i], columns[i]);
        pg_run(conn, sql);
    }
    PQfinish(conn);
}

/* What has expired is deleted each second. */
static void *pg_expire(void *ctx)
{
    struct bench *b = ctx;
    PGconn *conn = PQconnectdb(b->target);
    while (conn) {
        pg_run(conn, "delete from record where ttl <= extract(epoch from now())");
        sleep(1);
    }
    return NULL;
}

/* ---- running ---- */

struct client {
    struct bench *b;
    void *ctx;
    void (*step)(void *ctx, const struct step *s);
    pthread_t thread;
};

static void *run_client(void *ctx)
{
    struct client *c = ctx;
    for (;;) {
        int64_t i = atomic_fetch_add(&c->b->next, 1);
        if (i >= c->b->count)
            return NULL;
        c->step(c->ctx, &c->b->steps[i]);
    }
}

static void run(struct bench *b, bool lov)
{
    struct client clients[CLIENTS];
    for (int i = 0; i < CLIENTS; i++)
        clients[i] = (struct client){
            .b = b, .ctx = lov ? lov_client(b) : pg_client(b), .step = lov ? lov_step : pg_step};
    int64_t began = clock_monotonic();
    for (int i = 0; i < CLIENTS; i++)
        pthread_create(&clients[i].thread, NULL, run_client, &clients[i]);
    for (int i = 0; i < CLIENTS; i++)
        pthread_join(clients[i].thread, NULL);
    printf("%.3f %lld %lld\n", (double)(clock_monotonic() - began) / 1e9, (long long)b->nothing,
           (long long)b->rows);
}

int main(int argc, char **argv)
{
    bool lov = argc > 1 && strcmp(argv[1], "lov") == 0;
    char **arg = argv + (lov ? 4 : 3);
    if (argc < (lov ? 9 : 8))
        fail("usage", "see bench/gdpr.c");
    struct bench b = {.target = argv[2],
                      .key = lov ? argv[3] : NULL,
                      .records = atoll(arg[0]),
                      .purposes = atoll(arg[1]),
                      .count = atoll(arg[3])};
    for (size_t i = 0; i < sizeof workloads / sizeof *workloads; i++)
        if (strcmp(workloads[i].name, arg[2]) == 0)
            b.workload = &workloads[i];
    if (!b.workload)
        fail("workload", arg[2]);
    draw_steps(&b, strtoull(arg[4], NULL, 10), arg[5] != NULL);
    b.ids = calloc((size_t)(b.records + b.count), sizeof *b.ids);
    bool load = b.workload == &workloads[0];
    if (lov && !load)
        lov_find_ids(&b);
    if (!lov && load)
        pg_create(&b);
    pthread_t job;
    if (!lov && !load)
        pthread_create(&job, NULL, pg_expire, &b);
    run(&b, lov);
    free(b.steps);
    free(b.ids);
    return 0;
}
