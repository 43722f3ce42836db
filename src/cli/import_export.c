/* import_export.c - lov import export: the file that a consumer got of all that there is of them,
 * into an installation that does not know them.
 *
 * It goes in step by step, each a call of the API with a key made of the file's digest and the
 * step's number; after each the state file says so, and --resume goes on behind it. Consents go in
 * the order in which they were given, so that later ones take the place of earlier ones again. What
 * this installation has not seen itself is said to be imported, with what the file says in the
 * evidence. */
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/zip.h"
#include "cli/import.h"

enum {
    FILE_MAX = 64 << 20, /* what an export may be, as a file and unpacked */
    RECORDS_A_CALL = 100,
    RECORDS_BYTES = 1 << 20,
};

struct taking {
    struct cli *c;
    struct buf zip;
    struct arena arena;
    struct zip_file *files;
    size_t file_count;
    struct sha256 digest;
    struct import_state state; /* rows: the steps that are done */
    struct progress progress;
    json_t *consumer, *consents;
    struct str id;       /* the consumer's */
    int64_t step, steps; /* the step at hand, and how many there are */
    json_t *refused;     /* [{"what", "reason", "detail"}], of this run */
    struct err *err;
};

/* ---- the file ---- */

static const struct zip_file *find_file(const struct taking *x, struct str name)
{
    size_t from = 0, to = x->file_count;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        int order = str_cmp(name, x->files[middle].name);
        if (order == 0)
            return &x->files[middle];
        if (order < 0)
            to = middle;
        else
            from = middle + 1;
    }
    return NULL;
}

static int damaged(struct err *err, const char *name)
{
    return err_reason(
        err, LOV_EINVAL, "invalid_export",
        "not a whole export of a consumer: %s is missing, or is not what the manifest "
        "says",
        name);
}

static int check_listed(const struct taking *x, const json_t *listed)
{
    const json_t *name = json_object_get(listed, "name");
    const json_t *hex = json_object_get(listed, "sha256");
    const struct zip_file *file = json_is_string(name) ? find_file(x, json_text(name)) : NULL;
    struct sha256 claimed, hash;
    if (!file || !json_is_string(hex) || !hex_decode(json_text(hex), claimed.b, sizeof claimed.b))
        return damaged(x->err, "a file of the manifest");
    hash = sha256_of(file->content);
    return memcmp(hash.b, claimed.b, sizeof hash.b) == 0 ? 0 : damaged(x->err, file->name.p);
}

/* Every file is as the manifest says, and there is no other. */
static int check_manifest(const struct taking *x)
{
    const struct zip_file *file = find_file(x, STR("manifest.json"));
    _cleanup_json json_t *manifest = NULL;
    if (!file || json_read(file->content, &manifest, x->err))
        return damaged(x->err, "manifest.json");
    const json_t *files = json_object_get(manifest, "files"), *listed;
    if (strcmp(json_cstr(manifest, "format"), "lov export 1") != 0)
        return err_reason(x->err, LOV_EINVAL, "invalid_export",
                          "not an export of a consumer that this version of Lov knows");
    if (json_array_size(files) + 1 != x->file_count)
        return damaged(x->err, "a file");
    size_t i;
    int rc = 0;
    json_array_foreach((json_t *)files, i, listed)
        if (rc == 0)
            rc = check_listed(x, listed);
    return rc;
}

static int read_json(const struct taking *x, const char *name, json_type type, json_t **out)
{
    const struct zip_file *file = find_file(x, str_of(name));
    if (!file || json_read(file->content, out, x->err) || json_typeof(*out) != type)
        return damaged(x->err, name);
    return 0;
}

/* The category whose records the file holds; empty: it holds none. */
static struct str category_of(const struct zip_file *file)
{
    struct str name = file->name, folder = STR("records/"), end = STR(".json");
    if (!str_starts(name, folder) || name.n <= folder.n + end.n)
        return (struct str){0};
    name = (struct str){name.p + folder.n, name.n - folder.n};
    struct str category = {name.p, name.n - end.n};
    bool plain = memchr(category.p, '.', category.n) == NULL;
    return plain && memcmp(category.p + category.n, end.p, end.n) == 0 ? category : (struct str){0};
}

static int read_export(struct taking *x)
{
    int rc = file_read(x->c->args[0], FILE_MAX, &x->zip, x->err);
    if (rc == 0)
        rc = zip_read(buf_view(&x->zip), FILE_MAX, &x->arena, &x->files, &x->file_count, x->err);
    if (rc == 0)
        rc = check_manifest(x);
    if (rc == 0)
        rc = read_json(x, "consumer.json", JSON_OBJECT, &x->consumer);
    if (rc == 0)
        rc = read_json(x, "consents.json", JSON_ARRAY, &x->consents);
    if (rc)
        return rc;
    const json_t *id = json_object_get(x->consumer, "consumer");
    if (!json_is_string(id) || json_string_length(id) == 0)
        return damaged(x->err, "consumer.json");
    x->id = json_text(id);
    x->digest = sha256_of(buf_view(&x->zip));
    return 0;
}

/* ---- a step ---- */

struct sending {
    const char *method;
    struct buf target, body;
    const char *what; /* "key": calls of one step have each their own */
};

static void sending_free(struct sending *s)
{
    buf_free(&s->target);
    buf_free(&s->body);
}

/* 1: it was taken. 0: refused, and why is in *answer. */
static int send(struct taking *x, struct sending *s, struct cli_answer *answer)
{
    _cleanup_buf struct buf key = {0};
    hex_encode(x->digest.b, sizeof x->digest.b / 2, &key);
    buf_printf(&key, "-%lld-%s", (long long)x->step, s->what);
    struct cli_request request = {.method = s->method,
                                  .target = s->target.p,
                                  .body = buf_view(&s->body),
                                  .idempotency_key = strcmp(s->method, "POST") ? NULL : key.p};
    int rc = cli_call(x->c, &request, answer, x->err);
    if (rc)
        return rc;
    if (import_is_trouble(answer->status))
        return import_trouble(answer->json, x->err);
    return answer->status >= 200 && answer->status <= 299;
}

/* Kept, since a refusal ends nothing. */
static void refuse(struct taking *x, struct str what, const struct cli_answer *answer)
{
    const char *reason = json_cstr(answer->json, "reason");
    json_t *refused = json_object();
    json_object_set_new(refused, "what", json_stringn(what.p, what.n));
    json_object_set_new(refused, "reason", json_string(*reason ? reason : "refused"));
    json_object_set_new(refused, "detail", json_string(problem_detail(answer->json)));
    json_array_append_new(x->refused, refused);
}

/* ---- the consumer ---- */

static void consumer_target(const struct taking *x, struct buf *out)
{
    buf_cstr(out, "/v1/consumers/");
    target_add(out, x->id);
}

static int put_consumer(struct taking *x)
{
    static const char *const members[] = {"residence", "birth_date", "restricted", "opt_out_signal",
                                          "no_automated_decision"};
    struct sending s = {.method = "PUT"};
    _cleanup_answer struct cli_answer answer = {0};
    _cleanup_json json_t *body = json_object();
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        json_t *value = json_object_get(x->consumer, members[i]);
        if (value && !json_is_null(value))
            json_object_set(body, members[i], value);
    }
    consumer_target(x, &s.target);
    json_canonical(body, &s.body);
    int rc = send(x, &s, &answer);
    if (rc == 0)
        rc = err_reason(x->err, LOV_EINVAL, "invalid_export", "the consumer is refused: %s",
                        problem_detail(answer.json));
    sending_free(&s);
    return rc < 0 ? rc : 0;
}

/* ---- consents ---- */

/* What came by import or on paper comes so again; how anything else came is evidence now. */
static void set_channel(const json_t *from, json_t *body)
{
    const char *channel = json_cstr(from, "channel");
    json_t *evidence = json_object_get(from, "evidence");
    if (strcmp(channel, "import") == 0 || strcmp(channel, "paper") == 0) {
        json_object_set_new(body, "channel", json_string(channel));
        if (evidence && !json_is_null(evidence))
            json_object_set(body, "evidence", evidence);
        return;
    }
    json_t *exported = json_pack("{s:s, s:s}", "id", json_cstr(from, "id"), "channel", channel);
    if (exported && evidence)
        json_object_set(exported, "evidence", evidence);
    json_object_set_new(body, "channel", json_string("import"));
    json_object_set_new(body, "evidence", json_pack("{s:o*}", "exported", exported));
}

static json_t *answer_of(const struct taking *x, const json_t *from)
{
    static const char *const members[] = {"purpose",  "recipient",  "categories", "notice",
                                          "given_at", "expires_at", "guardian"};
    bool refusal = strcmp(json_cstr(from, "status"), "refused") == 0;
    json_t *body = json_object();
    json_object_set_new(body, "consumer", json_stringn(x->id.p, x->id.n));
    json_object_set_new(body, "decision", json_string(refusal ? "refuse" : "give"));
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        json_t *value = json_object_get(from, members[i]);
        if (value && !json_is_null(value))
            json_object_set_new(body, members[i], json_deep_copy(value));
    }
    json_array_extend(json_object_get(body, "categories"), json_object_get(from, "narrowed"));
    set_channel(from, body);
    return body;
}

/* What the consumer did with the yes that was just taken: `to` is the answer to it. */
static int change_consent(struct taking *x, const struct cli_answer *given, const char *what,
                          const json_t *body, struct cli_answer *answer)
{
    struct sending s = {.method = "POST", .what = what};
    buf_printf(&s.target, "/v1/consents/%s/%s", json_cstr(given->json, "id"), what);
    json_canonical(body, &s.body);
    int rc = send(x, &s, answer);
    sending_free(&s);
    return rc;
}

static int follow_consent(struct taking *x, const json_t *from, const struct cli_answer *given,
                          struct cli_answer *answer)
{
    _cleanup_json json_t *amend = json_pack(
        "{s:O, s:s}", "categories", json_object_get(from, "categories"), "channel", "import");
    _cleanup_json json_t *withdraw = json_pack("{s:s}", "channel", "import");
    bool narrowed = json_array_size(json_object_get(from, "narrowed")) > 0;
    int rc = 1;
    if (narrowed)
        rc = change_consent(x, given, "amend", amend, answer);
    if (rc != 1 || strcmp(json_cstr(from, "status"), "withdrawn") != 0)
        return rc;
    cli_answer_free(answer);
    *answer = (struct cli_answer){0};
    return change_consent(x, given, "withdraw", withdraw, answer);
}

static int post_consent(struct taking *x, const json_t *from)
{
    struct sending s = {.method = "POST", .what = "give"};
    _cleanup_answer struct cli_answer given = {0}, answer = {0};
    _cleanup_json json_t *body = answer_of(x, from);
    buf_cstr(&s.target, "/v1/consents");
    json_canonical(body, &s.body);
    int rc = send(x, &s, &given);
    sending_free(&s);
    bool taken = rc == 1;
    if (taken)
        rc = follow_consent(x, from, &given, &answer);
    if (rc == 0) {
        struct str what = arena_printf(&x->arena, "consent %s", json_cstr(from, "id"));
        refuse(x, what, taken ? &answer : &given);
    }
    x->state.accepted += rc == 1;
    x->state.rejected += rc == 0;
    return rc < 0 ? rc : 0;
}

/* ---- records ---- */

static json_t *record_of(const json_t *from)
{
    static const char *const members[] = {"data", "source", "observed_at", "retention_end",
                                          "limits"};
    json_t *record = json_object();
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        json_t *value = json_object_get(from, members[i]);
        if (value && !json_is_null(value))
            json_object_set(record, members[i], value);
    }
    return record;
}

struct record_group {
    struct str category;
    const json_t *items;
    size_t first, count;
};

static int post_records(struct taking *x, const struct record_group *g)
{
    struct sending s = {.method = "POST"};
    _cleanup_answer struct cli_answer answer = {0};
    consumer_target(x, &s.target);
    buf_cstr(&s.target, "/records/");
    target_add(&s.target, g->category);
    s.what = arena_printf(&x->arena, "%zu", g->first).p;
    buf_cstr(&s.body, "{\"records\":[");
    for (size_t i = g->first; i < g->first + g->count; i++) {
        _cleanup_json json_t *record = record_of(json_array_get(g->items, i));
        if (i > g->first)
            buf_char(&s.body, ',');
        json_canonical(record, &s.body);
    }
    buf_cstr(&s.body, "]}");
    int rc = send(x, &s, &answer);
    sending_free(&s);
    if (rc == 0 && g->count == 1) {
        const char *id = json_cstr(json_array_get(g->items, g->first), "id");
        refuse(x, arena_printf(&x->arena, "record %s", id), &answer);
        x->state.rejected++;
    }
    x->state.accepted += rc == 1 ? (int64_t)g->count : 0;
    if (rc != 0 || g->count == 1)
        return rc < 0 ? rc : 0;
    struct record_group one = {.category = g->category, .items = g->items, .count = 1};
    for (size_t i = 0; rc == 0 && i < g->count; i++) {
        one.first = g->first + i;
        rc = post_records(x, &one);
    }
    return rc;
}

static int post_file(struct taking *x, const struct zip_file *file)
{
    _cleanup_json json_t *items = NULL;
    int rc = read_json(x, file->name.p, JSON_ARRAY, &items);
    struct record_group g = {.category = category_of(file), .items = items};
    size_t n = rc ? 0 : json_array_size(items);
    size_t largest = n ? file->content.n / n + 1 : 1;
    size_t most = RECORDS_BYTES / largest;
    most = most < 1 ? 1 : most > RECORDS_A_CALL ? RECORDS_A_CALL : most;
    for (g.first = 0; rc == 0 && g.first < n; g.first += g.count) {
        g.count = n - g.first < most ? n - g.first : most;
        rc = post_records(x, &g);
    }
    return rc;
}

/* ---- all of it ---- */

static int finish_step(struct taking *x, int rc)
{
    if (rc)
        return rc;
    x->state.rows = ++x->step;
    progress_show(&x->progress, (double)x->step / (double)x->steps, x->step);
    return import_state_save(&x->state, x->err);
}

/* Is the step at hand done already? Then it is passed over. */
static bool was_done(struct taking *x)
{
    bool done = x->step < x->state.rows;
    x->step += done;
    return done;
}

static int take_all(struct taking *x)
{
    int rc = was_done(x) ? 0 : finish_step(x, put_consumer(x));
    size_t i;
    json_t *consent;
    json_array_foreach(x->consents, i, consent)
        if (rc == 0 && !was_done(x))
            rc = finish_step(x, post_consent(x, consent));
    for (size_t k = 0; rc == 0 && k < x->file_count; k++)
        if (category_of(&x->files[k]).n && !was_done(x))
            rc = finish_step(x, post_file(x, &x->files[k]));
    return rc;
}

/* Into what is there already nothing is mixed: an answer of then would take the place of one of
 * now. */
static int begin(struct taking *x)
{
    static const struct sha256 no_mapping;
    const char *dir;
    int rc = cli_dir(x->c, &dir, x->err);
    if (rc == 0)
        rc = cli_open(x->c, x->err);
    if (rc == 0)
        rc = import_state_open(&x->state, dir, &x->digest, &no_mapping, IMPORT_EXPORT, x->err);
    bool begun = false;
    if (rc == 0 && cli_value(x->c, "resume")) {
        rc = import_state_load(&x->state, x->err);
        begun = rc == 1;
    }
    if (rc < 0 || begun)
        return rc < 0 ? rc : 0;
    struct sending s = {.method = "GET"};
    _cleanup_answer struct cli_answer answer = {0};
    consumer_target(x, &s.target);
    rc = send(x, &s, &answer);
    sending_free(&s);
    if (rc == 1)
        return err_reason(x->err, LOV_ECONFLICT, "consumer_exists",
                          "the consumer is there already, and an export is not mixed with what is; "
                          "an import of it that was interrupted goes on with --resume");
    if (rc == 0 && answer.status != 404)
        return err_reason(x->err, LOV_ECONFLICT, "refused", "%s", problem_detail(answer.json));
    return rc < 0 ? rc : import_state_save(&x->state, x->err);
}

static void count_steps(struct taking *x)
{
    x->steps = 1 + (int64_t)json_array_size(x->consents);
    for (size_t i = 0; i < x->file_count; i++)
        x->steps += category_of(&x->files[i]).n > 0;
}

static void print_summary(const struct taking *x)
{
    const struct import_state *s = &x->state;
    size_t i;
    json_t *refused;
    if (x->c->json) {
        _cleanup_json json_t *out =
            json_pack("{s:I, s:I, s:O}", "accepted", (json_int_t)s->accepted, "rejected",
                      (json_int_t)s->rejected, "refused", x->refused);
        _cleanup_buf struct buf text = {0};
        json_canonical(out, &text);
        puts(text.p);
        return;
    }
    json_array_foreach(x->refused, i, refused)
        fprintf(stderr, "%s: %s: %s\n", json_cstr(refused, "what"), json_cstr(refused, "reason"),
                json_cstr(refused, "detail"));
    printf("%lld consents and records: %lld accepted, %lld rejected\n",
           (long long)(s->accepted + s->rejected), (long long)s->accepted, (long long)s->rejected);
}

static int run_export(struct cli *c)
{
    struct err err = {0};
    struct taking x = {.c = c, .refused = json_array(), .err = &err};
    int rc = read_export(&x);
    if (rc == 0)
        rc = begin(&x);
    if (rc == 0) {
        count_steps(&x);
        progress_start(&x.progress, "steps");
        rc = take_all(&x);
        progress_end(&x.progress);
    }
    int code = rc ? cli_fail(c, &err) : x.state.rejected ? CLI_NO : CLI_YES;
    if (rc == 0) {
        import_state_remove(&x.state);
        print_summary(&x);
    }
    json_decref(x.consumer);
    json_decref(x.consents);
    json_decref(x.refused);
    import_state_close(&x.state);
    arena_free(&x.arena);
    buf_free(&x.zip);
    return code;
}

static const struct cli_option options[] = {
    {"resume", NULL, "go on where an import of the same file was interrupted", NULL, false},
};
const struct cli_command cmd_import_export = {
    .name = "import export",
    .arguments = "FILE.zip",
    .least = 1,
    .most = 1,
    .summary = "import the export of a consumer",
    .text =
        "Takes the consumer, their answers and their records from what lov request export saved,\n"
        "after every file was compared with the hash in its manifest. The consumer must be new\n"
        "here, and the policy must have the notices, activities and categories that the file\n"
        "names: what it does not admit is named and left out, and the exit code is 1. History,\n"
        "requests and receipts stay what they are, evidence of the installation that made them.",
    CLI_OPTIONS(options),
    .run = run_export,
};
