/* import.c - lov import consents|consumers|records.
 *
 * Where this process holds the installation, consents go to the engine in bulks (import_bulk.c).
 * Otherwise rows go to the API in batches. A batch of consents is one call with an Idempotency-Key
 * made of the file's digest and the batch's first row; the API tells the items of a call apart by
 * their place, so a row that is refused here keeps its place as null, and a repetition never
 * doubles a row even where a corrected mapping turns a refused row into a good one. Consumers are
 * set one by one, which may be repeated freely; some threads do it, so that one durable commit
 * takes many. Records go in the same way, those of one consumer that follow each other in one call,
 * with a key made of the file's digest, the category and the first row; where one of them is
 * refused, each is sent alone. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "cli/import.h"
#include "consent/consent.h"

enum { SENDERS = 64 };

struct import {
    struct cli *c;
    enum import_kind kind;
    struct str text; /* the file, mapped */
    struct sha256 digest;
    struct mapping *mapping;
    struct rows rows;
    struct import_state state;
    struct rejects *rejects;
    struct progress progress;
    struct recorded recorded; /* beside a server */

    struct arena arena; /* of the batch */
    struct import_item *items;
    size_t count;
    bool *replayed; /* by item */
    pthread_mutex_t lock;
    size_t next;       /* under lock: the item that the next sender takes */
    struct err failed; /* under lock: why a sender stopped */
};

/* ---- what is read ---- */

static int map_file(const char *path, struct str *out, struct err *err)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        int rc = err_set(err, LOV_EIO, "cannot read %s: %s", path,
                         fd < 0 ? strerror(errno) : "it is not a file");
        if (fd >= 0)
            close(fd);
        return rc;
    }
    void *p = st.st_size ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
    close(fd);
    if (p == MAP_FAILED)
        return err_set(err, LOV_EIO, "cannot read %s: %s", path, strerror(errno));
    *out = (struct str){p ? p : "", (size_t)st.st_size};
    return 0;
}

static int read_mapping(struct import *im, struct sha256 *digest, struct err *err)
{
    _cleanup_buf struct buf yaml = {0};
    int rc = file_read(cli_value(im->c, "mapping"), MAPPING_MAX, &yaml, err);
    if (rc)
        return rc;
    *digest = sha256_of(buf_view(&yaml));
    return mapping_load(buf_view(&yaml), im->kind, &im->mapping, err);
}

/* They lie beside the file. */
static int load_lookups(struct import *im, struct err *err)
{
    char *copy = str_dup(str_of(im->c->args[0]));
    int rc = mapping_load_lookups(im->mapping, dirname(copy), err);
    free(copy);
    return rc;
}

/* What was imported while no server ran. */
static int read_recorded(struct import *im, const char *dir, struct err *err)
{
    struct db *lov;
    if (cli_engine(im->c) || im->kind != IMPORT_CONSENTS)
        return 0;
    int rc = engine_open_store(dir, "lov", &lov, err);
    if (rc)
        return rc;
    rc = recorded_load(&im->recorded, lov, &im->digest, err);
    db_close(lov);
    return rc;
}

static int open_import(struct import *im, struct err *err)
{
    const char *dir;
    struct sha256 mapping;
    int rc = cli_dir(im->c, &dir, err);
    if (rc == 0)
        rc = read_mapping(im, &mapping, err);
    if (rc == 0)
        rc = map_file(im->c->args[0], &im->text, err);
    if (rc == 0)
        rc = load_lookups(im, err);
    if (rc == 0)
        rc = rows_open(&im->rows, im->mapping, im->text, err);
    if (rc == 0)
        rc = cli_open(im->c, err);
    if (rc)
        return rc;
    im->digest = sha256_of(im->text);
    rc = read_recorded(im, dir, err);
    if (rc == 0)
        rc = import_state_open(&im->state, dir, &im->digest, &mapping, im->kind, err);
    if (rc == 0 && cli_value(im->c, "resume"))
        rc = import_state_load(&im->state, err);
    if (rc >= 0)
        rc = rejects_open(cli_value(im->c, "rejects"), im->state.rejects_bytes, &im->rejects, err);
    return rc;
}

static void close_import(struct import *im)
{
    arena_free(&im->arena);
    recorded_free(&im->recorded);
    rejects_close(im->rejects);
    import_state_close(&im->state);
    rows_close(&im->rows);
    mapping_free(im->mapping);
    if (im->text.n)
        munmap((void *)(uintptr_t)im->text.p, im->text.n);
    pthread_mutex_destroy(&im->lock);
}

/* False at the end of the file. */
static bool read_batch(struct import *im)
{
    arena_free(&im->arena);
    im->items = arena_array(&im->arena, BATCH_ROWS, sizeof *im->items);
    im->replayed = arena_array(&im->arena, BATCH_ROWS, sizeof *im->replayed);
    im->count = 0;
    while (im->count < BATCH_ROWS && rows_next(&im->rows, &im->arena, &im->items[im->count])) {
        struct import_item *item = &im->items[im->count];
        im->replayed[im->count] = recorded_has(&im->recorded, item->row);
        if (im->replayed[im->count])
            item->err = (struct err){0};
        im->count++;
    }
    return im->count > 0;
}

/* ---- what the API says ---- */

static void take_problem(struct import_item *item, const json_t *problem)
{
    const char *reason = json_cstr(problem, "reason");
    err_reason(&item->err, LOV_EINVAL, *reason ? reason : "refused", "%s", problem_detail(problem));
}

bool import_is_trouble(int status)
{
    return status >= 500 || status == 429 || status == 408 || status == 401 || status == 403;
}

int import_trouble(const json_t *problem, struct err *err)
{
    return err_reason(err, LOV_EUNAVAILABLE, "unavailable",
                      "the import stopped: %s (run it again with --resume)",
                      problem_detail(problem));
}

/* ---- consents ---- */

static void write_batch(const struct import *im, struct buf *out)
{
    buf_cstr(out, "{\"items\":[");
    for (size_t i = 0; i < im->count; i++) {
        if (i)
            buf_char(out, ',');
        buf_str(out, im->items[i].err.code || im->replayed[i] ? STR("null") : im->items[i].json);
    }
    buf_cstr(out, "]}");
}

static int take_results(struct import *im, const json_t *results, struct err *err)
{
    if (json_array_size(results) != im->count)
        return err_set(err, LOV_EIO, "the server answered for %zu rows and not for %zu",
                       json_array_size(results), im->count);
    for (size_t i = 0; i < im->count; i++) {
        const json_t *result = json_array_get(results, i);
        const json_t *problem = json_object_get(result, "problem");
        int status = (int)json_integer_value(json_object_get(result, "status"));
        if (im->items[i].err.code || im->replayed[i])
            continue;
        if (import_is_trouble(status))
            return import_trouble(problem, err);
        if (status < 200 || status > 299)
            take_problem(&im->items[i], problem);
        im->replayed[i] = json_is_true(json_object_get(result, "replayed"));
    }
    return 0;
}

static int send_consents(struct import *im, struct err *err)
{
    _cleanup_buf struct buf body = {0}, key = {0};
    _cleanup_answer struct cli_answer a = {0};
    write_batch(im, &body);
    hex_encode(im->digest.b, sizeof im->digest.b, &key);
    buf_printf(&key, "-%lld", (long long)im->items[0].row);
    struct cli_request request = {
        .method = "POST",
        .target = "/v1/consents/batch",
        .body = buf_view(&body),
        .idempotency_key = key.p,
    };
    int rc = cli_call(im->c, &request, &a, err);
    if (rc)
        return rc;
    if (a.status != 200)
        return import_trouble(a.json, err);
    return take_results(im, json_object_get(a.json, "items"), err);
}

/* ---- consumers ---- */

static int send_consumer(struct import *im, struct import_item *item, struct err *err)
{
    _cleanup_buf struct buf target = {0};
    _cleanup_answer struct cli_answer a = {0};
    buf_cstr(&target, "/v1/consumers/");
    target_add(&target, item->consumer);
    struct cli_request request = {.method = "PUT", .target = target.p, .body = item->json};
    int rc = cli_call(im->c, &request, &a, err);
    if (rc == 0 && import_is_trouble(a.status))
        rc = import_trouble(a.json, err);
    if (rc == 0 && (a.status < 200 || a.status > 299))
        take_problem(item, a.json);
    return rc;
}

/* ---- records ---- */

static int post_records(struct import *im, const struct import_item *items, size_t count,
                        struct cli_answer *a, struct err *err)
{
    _cleanup_buf struct buf target = {0}, key = {0}, body = {0};
    buf_cstr(&target, "/v1/consumers/");
    target_add(&target, items->consumer);
    buf_cstr(&target, "/records/");
    target_add(&target, items->category);
    hex_encode(im->digest.b, sizeof im->digest.b / 2, &key);
    buf_printf(&key, "-%.*s-%lld", STR_ARG(items->category), (long long)items->row);
    for (size_t i = 0; i < count; i++)
        buf_printf(&body, "%s%.*s", i ? "," : "{\"records\":[", STR_ARG(items[i].json));
    buf_cstr(&body, "]}");
    struct cli_request request = {
        .method = "POST", .target = target.p, .body = buf_view(&body), .idempotency_key = key.p};
    int rc = cli_call(im->c, &request, a, err);
    return rc == 0 && import_is_trouble(a->status) ? import_trouble(a->json, err) : rc;
}

static int send_records(struct import *im, struct import_item *items, size_t count, struct err *err)
{
    _cleanup_answer struct cli_answer a = {0};
    int rc = post_records(im, items, count, &a, err);
    if (rc || (a.status >= 200 && a.status <= 299))
        return rc;
    if (count == 1) {
        take_problem(items, a.json);
        return 0;
    }
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = send_records(im, &items[i], 1, err);
    return rc;
}

/* ---- one call a group ---- */

/* Items that go in one call: records of one consumer and category, side by side. */
static size_t group_end(const struct import *im, size_t from)
{
    const struct import_item *first = &im->items[from];
    size_t end = from + 1;
    while (im->kind == IMPORT_RECORDS && end < im->count && !first->err.code &&
           !im->items[end].err.code && str_eq(im->items[end].consumer, first->consumer) &&
           str_eq(im->items[end].category, first->category))
        end++;
    return end;
}

static bool take_group(struct import *im, size_t *from, size_t *end)
{
    pthread_mutex_lock(&im->lock);
    *from = im->next;
    if (*from < im->count)
        im->next = *end = group_end(im, *from);
    bool some = *from < im->count;
    pthread_mutex_unlock(&im->lock);
    return some;
}

static int send_group(struct import *im, size_t from, size_t end, struct err *err)
{
    if (im->items[from].err.code)
        return 0;
    if (im->kind == IMPORT_RECORDS)
        return send_records(im, &im->items[from], end - from, err);
    return send_consumer(im, &im->items[from], err);
}

static void *send_some(void *arg)
{
    struct import *im = arg;
    struct err err = {0};
    size_t from, end;
    while (take_group(im, &from, &end)) {
        if (send_group(im, from, end, &err) == 0)
            continue;
        pthread_mutex_lock(&im->lock);
        if (!im->failed.code)
            im->failed = err;
        pthread_mutex_unlock(&im->lock);
        break;
    }
    return NULL;
}

static int send_each(struct import *im, struct err *err)
{
    pthread_t threads[SENDERS];
    size_t started = 0;
    im->next = 0;
    while (started < SENDERS && pthread_create(&threads[started], NULL, send_some, im) == 0)
        started++;
    send_some(im);
    for (size_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    if (im->failed.code)
        *err = im->failed;
    return im->failed.code;
}

/* ---- the run ---- */

static int finish_batch(struct import *im, struct err *err)
{
    struct import_state *s = &im->state;
    for (size_t i = 0; i < im->count; i++) {
        const struct import_item *item = &im->items[i];
        if (item->err.code) {
            s->rejected++;
            rejects_add(im->rejects, item->row, item->line, item->err.reason, item->err.text);
        } else {
            s->accepted++;
            s->replayed += im->replayed[i];
        }
    }
    s->rows += (int64_t)im->count;
    int rc = rejects_sync(im->rejects, &s->rejects_bytes, err);
    return rc ? rc : import_state_save(s, err);
}

static int run_batches(struct import *im, struct err *err)
{
    progress_start(&im->progress, "rows");
    int rc = 0;
    while (rc == 0 && read_batch(im)) {
        /* Batches end at the same rows each time, so one is done or not as a whole. */
        if (im->items[im->count - 1].row <= im->state.rows)
            continue;
        rc = im->kind == IMPORT_CONSENTS ? send_consents(im, err) : send_each(im, err);
        if (rc == 0)
            rc = finish_batch(im, err);
        progress_show(&im->progress, (double)im->rows.csv.at / (double)im->text.n, im->state.rows);
    }
    progress_end(&im->progress);
    return rc;
}

static int run_bulk(struct import *im, struct err *err)
{
    struct import_run run = {
        .api = cli_api(im->c),
        .engine = cli_engine(im->c),
        .text = im->text,
        .digest = &im->digest,
        .rows = &im->rows,
        .state = &im->state,
        .rejects = im->rejects,
        .progress = &im->progress,
    };
    return import_bulk(&run, err);
}

static void print_summary(const struct import *im)
{
    const struct import_state *s = &im->state;
    const char *rejects = cli_value(im->c, "rejects");
    if (!im->c->json) {
        printf("%lld rows: %lld accepted (%lld of them were there), %lld rejected%s%s\n",
               (long long)s->rows, (long long)s->accepted, (long long)s->replayed,
               (long long)s->rejected, s->rejected && rejects ? ", see " : "",
               s->rejected && rejects ? rejects : "");
        return;
    }
    _cleanup_buf struct buf out = {0};
    struct jw w = {.out = &out};
    jw_object_start(&w);
    jw_int_member(&w, "rows", s->rows);
    jw_int_member(&w, "accepted", s->accepted);
    jw_int_member(&w, "replayed", s->replayed);
    jw_int_member(&w, "rejected", s->rejected);
    jw_object_end(&w);
    puts(out.p);
}

static int run_import(struct cli *c, enum import_kind kind)
{
    struct err err = {0};
    struct import im = {.c = c, .kind = kind};
    pthread_mutex_init(&im.lock, NULL);
    int rc = open_import(&im, &err);
    if (rc == 0)
        rc =
            kind == IMPORT_CONSENTS && cli_engine(c) ? run_bulk(&im, &err) : run_batches(&im, &err);
    int code = rc ? cli_fail(c, &err) : im.state.rejected ? CLI_NO : CLI_YES;
    if (rc == 0) {
        import_state_remove(&im.state);
        print_summary(&im);
    }
    close_import(&im);
    return code;
}

/* ---- the commands ---- */

static const struct cli_option options[] = {
    {"mapping", "FILE", "says which column is which member (YAML, docs/cli.md)", NULL, true},
    {"rejects", "FILE", "write the numbers of refused rows here, and why; CSV, or .jsonl", NULL,
     false},
    {"resume", NULL, "go on where an import of the same file was interrupted", NULL, false},
};

/* Records consents from a file. */
static int run_consents(struct cli *c)
{
    return run_import(c, IMPORT_CONSENTS);
}

const struct cli_command cmd_import_consents = {
    .name = "import consents",
    .arguments = "FILE",
    .least = 1,
    .most = 1,
    .summary = "import consents from CSV or JSON Lines",
    .text =
        "Each row is held to the same rules as a consent that is given now. A row that was\n"
        "imported before from the same file is not recorded twice, so the command may be\n"
        "repeated, also after a crash; --resume saves the time to look at the first rows again.\n"
        "The exit code is 1 when rows were refused.\n"
        "\n"
        "  lov import consents data/consents.example.csv \\\n"
        "      --mapping data/consents.example.yaml --rejects rejects.csv",
    CLI_OPTIONS(options),
    .run = run_consents,
};

/* Sets consumers from a file. */
static int run_consumers(struct cli *c)
{
    return run_import(c, IMPORT_CONSUMERS);
}

const struct cli_command cmd_import_consumers = {
    .name = "import consumers",
    .arguments = "FILE",
    .least = 1,
    .most = 1,
    .summary = "import consumers from CSV or JSON Lines",
    .text =
        "Adds consumers, or sets where they live, when they were born, and whether their data is\n"
        "restricted. The exit code is 1 when rows were refused.",
    CLI_OPTIONS(options),
    .run = run_consumers,
};

/* Stores records from a file. */
static int run_records(struct cli *c)
{
    return run_import(c, IMPORT_RECORDS);
}

const struct cli_command cmd_import_records = {
    .name = "import records",
    .arguments = "FILE",
    .least = 1,
    .most = 1,
    .summary = "import records from CSV, columns or JSON Lines",
    .text =
        "Stores each row as a record of its consumer, who is added where they are new. A row that\n"
        "was imported before from the same file is not stored twice. The exit code is 1 when rows\n"
        "were refused.\n"
        "\n"
        "  lov import records data/records.example.csv --mapping data/records.example.yaml",
    CLI_OPTIONS(options),
    .run = run_records,
};
