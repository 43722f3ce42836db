/* test_vault_model.c - random views, consents and records: what comes out of a read is held against
 * a second, plainer way to cut a record, and its bytes are searched for every value that the view
 * does not let through. LOV_SEED repeats a run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "test_api_fixture.h"
#include "test_seed.h"

enum { ROUNDS = 60, CONSUMERS = 4, RECORDS = 3, FIELDS_MAX = 16 };

static uint64_t seed;

static uint64_t draw(uint64_t below)
{
    return seed_below(&seed, below);
}

/* ---- the categories of the demo company, as this test knows them ---- */

enum kind { TEXT, WHOLE, DECIMAL, DATE, TIME, YESNO, WORD, MAIL, PHONE, LAND, AMOUNT };

struct field {
    const char *name;
    enum kind kind;
};
struct category {
    const char *name;
    struct field fields[FIELDS_MAX];
};
static const struct category categories[] = {
    {"contact",
     {{"name", TEXT},
      {"email", MAIL},
      {"phone", PHONE},
      {"street", TEXT},
      {"postal_code", TEXT},
      {"city", TEXT},
      {"country", LAND}}},
    {"purchases",
     {{"order_id", TEXT},
      {"bought_at", TIME},
      {"product", TEXT},
      {"department", WORD},
      {"quantity", WHOLE},
      {"amount", AMOUNT},
      {"store", TEXT},
      {"returned", YESNO}}},
    {"profile",
     {{"birth_date", DATE},
      {"language", TEXT},
      {"household_size", WHOLE},
      {"interests", TEXT},
      {"customer_since", DATE}}},
    {"browsing", {{"at", TIME}, {"page", TEXT}, {"seconds", DECIMAL}, {"device", WORD}}},
};
enum { CONTACT, PURCHASES, PROFILE, BROWSING };

/* The activities whose views are drawn, and the line that each has in the demo's file. */
static const struct activity {
    const char *purpose, *recipient, *line;
    bool pseudonymous;
    int uses[3], use_count;
    bool consent;
} activities[] = {
    {"customer_support",
     "customer_service",
     "    notice: customer_support\n    view: {form: identified}",
     false,
     {CONTACT, PURCHASES},
     2,
     false},
    {"product_development",
     "product",
     "    notice: product_development\n    view: {form: pseudonymous}",
     true,
     {PURCHASES, BROWSING},
     2,
     true},
    {"fraud_prevention",
     "risk",
     "    notice: fraud_prevention\n    view: {form: identified}",
     false,
     {PROFILE},
     1,
     false},
};
enum { ACTIVITIES = 3 };

/* ---- views ---- */

enum cut { DROP, KEEP, YEAR, MONTH, DAY, HOUR, BAND, PREFIX, CODE, YEARS, LEAST, ONE_OF, CUTS };

struct cutting {
    enum cut cut;
    int n;
    char name[40];
};
struct view {
    bool whole;
    struct cutting cuts[FIELDS_MAX];
};

static bool fits(enum cut cut, enum kind kind)
{
    switch (cut) {
    case YEAR:
    case MONTH:
        return kind == DATE || kind == TIME;
    case DAY:
    case HOUR:
        return kind == TIME;
    case BAND:
    case LEAST:
        return kind == WHOLE || kind == DECIMAL || kind == AMOUNT;
    case PREFIX:
        return kind == TEXT || kind == PHONE;
    case CODE:
        return kind == TEXT || kind == WHOLE || kind == MAIL || kind == PHONE;
    case YEARS:
        return kind == DATE;
    case ONE_OF:
        return kind == TEXT || kind == WORD || kind == LAND;
    default:
        return true;
    }
}

static void draw_cut(const struct field *f, bool pseudonymous, struct cutting *out)
{
    static const int numbers[CUTS] = {[PREFIX] = 3, [YEARS] = 18, [LEAST] = 500, [BAND] = 100};
    do
        out->cut = (enum cut)draw(CUTS);
    while (!fits(out->cut, f->kind) ||
           (pseudonymous && out->cut == KEEP && (f->kind == MAIL || f->kind == PHONE)));
    out->n = numbers[out->cut];
    bool renamed = out->cut >= YEARS || draw(4) == 0;
    snprintf(out->name, sizeof out->name, "%s%s", renamed ? "as_" : "", f->name);
}

static void write_cut(const char *category, const struct field *f, const struct cutting *c,
                      struct buf *out)
{
    static const char *const to[CUTS] = {
        [YEAR] = "year", [MONTH] = "month", [DAY] = "day", [HOUR] = "hour", [CODE] = "pseudonym"};
    if (c->cut == DROP)
        return;
    buf_printf(out, "%s{field: %s.%s, name: %s", out->n && out->p[out->n - 1] != '[' ? ", " : "",
               category, f->name, c->name);
    if (to[c->cut])
        buf_printf(out, ", to: %s", to[c->cut]);
    else if (c->cut == BAND)
        buf_printf(out, ", band: %d", c->n);
    else if (c->cut == PREFIX)
        buf_printf(out, ", prefix: %d", c->n);
    else if (c->cut == YEARS)
        buf_printf(out, ", at_least_years: %d", c->n);
    else if (c->cut == LEAST)
        buf_printf(out, ", at_least: %d", c->n);
    else if (c->cut == ONE_OF)
        buf_cstr(out, ", one_of: [home, SE, garden]");
    buf_char(out, '}');
}

static void draw_view(const struct activity *a, struct view *views, struct buf *out)
{
    bool whole = draw(6) == 0;
    /* A view that keeps e-mail addresses is none without an id. */
    buf_printf(out, "view: {form: %s", a->pseudonymous ? "pseudonymous" : "identified");
    if (!whole)
        buf_cstr(out, ", fields: [");
    bool any = false;
    for (int u = 0; u < a->use_count; u++) {
        const struct category *c = &categories[a->uses[u]];
        views[u].whole = whole;
        for (int i = 0; !whole && i < FIELDS_MAX && c->fields[i].name; i++) {
            draw_cut(&c->fields[i], a->pseudonymous, &views[u].cuts[i]);
            /* An empty list is refused. */
            if (u + 1 == a->use_count && !any && views[u].cuts[i].cut == DROP)
                views[u].cuts[i].cut = c->fields[i].kind == TEXT ? CODE : KEEP;
            any |= views[u].cuts[i].cut != DROP;
            write_cut(c->name, &c->fields[i], &views[u].cuts[i], out);
        }
    }
    buf_cstr(out, whole ? "}" : "]}");
}

static void replace(struct policy_file *file, struct policy_bundle *bundle, const char *from,
                    const char *to)
{
    const char *start = strstr(file->text.p, from);
    assert_non_null(start);
    file->text = arena_printf(&bundle->arena, "%.*s%s%s", (int)(start - file->text.p), file->text.p,
                              to, start + strlen(from));
}

static void apply_views(struct world *w, struct view views[ACTIVITIES][3])
{
    struct err err = {0};
    struct policy_bundle bundle = {0};
    _cleanup_arena struct arena arena = {0};
    assert_int_equal(policy_bundle_read("policy", &bundle, &err), 0);
    for (size_t i = 0; i < bundle.count; i++) {
        if (!str_is(bundle.files[i].path, "activities.yaml"))
            continue;
        for (int a = 0; a < ACTIVITIES; a++) {
            _cleanup_buf struct buf text = {0}, line = {0};
            draw_view(&activities[a], views[a], &text);
            buf_cstr(&line, activities[a].line);
            line.n = (size_t)(strstr(line.p, "view:") - line.p);
            line.p[line.n] = '\0';
            buf_str(&line, buf_view(&text));
            replace(&bundle.files[i], &bundle, activities[a].line, line.p);
        }
    }
    struct engine_write write = {
        .kind = WRITE_POLICY, .actor = STR("test"), .arena = &arena, .bundle = &bundle};
    if (engine_run(w->e, &write, &err))
        fail_msg("%s: %s", err.text, write.findings.count ? write.findings.items[0].text.p : "");
    policy_unref(write.policy);
    policy_findings_free(&write.findings);
    policy_bundle_free(&bundle);
}

/* ---- records ---- */

/* Long enough that no other value, hash or id holds it by chance. */
static void draw_text(char *out, size_t n)
{
    snprintf(out, n, "q%012llxz", (unsigned long long)draw(UINT64_C(1) << 48));
}

static json_t *draw_value(const struct field *f)
{
    static const char *const departments[] = {"food", "clothes", "home", "electronics", "garden"};
    static const char *const lands[] = {"SE", "NO", "DK", "FI"};
    static const char *const devices[] = {"phone", "tablet", "computer"};
    char text[80], tail[24];
    /* So that no date of one field is one of another. */
    int year = (int)((strcmp(f->name, "birth_date") == 0 ? 1974 : 1920) + draw(36));
    draw_text(tail, sizeof tail);
    switch (f->kind) {
    case WHOLE:
        /* Never the end of a band. */
        return json_integer((json_int_t)(1000000001 + 100 * draw(10000000) + draw(99)) *
                            (draw(2) ? 1 : -1));
    case DECIMAL:
        snprintf(text, sizeof text, "%s%d.%06d", draw(2) ? "-" : "", (int)(1000 + draw(900000)),
                 (int)draw(1000000));
        break;
    case DATE:
        snprintf(text, sizeof text, "%d-%02d-%02d", year, (int)(1 + draw(12)), (int)(1 + draw(28)));
        break;
    case TIME:
        snprintf(text, sizeof text, "20%02d-%02d-%02dT%02d:%02d:%02d.%03dZ", (int)(10 + draw(16)),
                 (int)(1 + draw(12)), (int)(1 + draw(28)), (int)draw(24), (int)draw(60),
                 (int)draw(60), (int)(1 + draw(999)));
        break;
    case YESNO:
        return json_boolean(draw(2));
    case WORD:
        return json_string(strcmp(f->name, "device") == 0 ? devices[draw(3)]
                                                          : departments[draw(5)]);
    case LAND:
        return json_string(lands[draw(4)]);
    case MAIL:
        snprintf(text, sizeof text, "%s@mail.example", tail);
        break;
    case PHONE:
        snprintf(text, sizeof text, "+46 %012llu", (unsigned long long)draw(1000000000000ULL));
        break;
    case AMOUNT:
        snprintf(text, sizeof text, "%d.%02d", (int)(1000000 + draw(9000000)), (int)draw(100));
        return json_pack("{s:s,s:s}", "amount", text, "currency", "SEK");
    default:
        snprintf(text, sizeof text, "%s", tail);
    }
    return json_string(text);
}

static bool is_required(const char *field)
{
    static const char *const required[] = {"name",   "order_id", "bought_at", "product",
                                           "amount", "at",       "page"};
    for (size_t i = 0; i < sizeof required / sizeof *required; i++)
        if (strcmp(required[i], field) == 0)
            return true;
    return false;
}

static json_t *draw_record(const struct category *c)
{
    json_t *data = json_object();
    for (int i = 0; i < FIELDS_MAX && c->fields[i].name; i++)
        if (is_required(c->fields[i].name) || draw(4))
            json_object_set_new(data, c->fields[i].name, draw_value(&c->fields[i]));
    return data;
}

/* ---- the plainer way ---- */

static long long whole_part(const struct field *f, const json_t *v)
{
    if (f->kind == WHOLE)
        return json_integer_value(v);
    const char *text = json_string_value(f->kind == AMOUNT ? json_object_get(v, "amount") : v);
    long long n = atoll(text);
    const char *dot = strchr(text, '.');
    bool rest = dot && strspn(dot + 1, "0") != strlen(dot + 1);
    return *text == '-' && rest ? n - 1 : n; /* -0.5 is between -1 and 0 */
}

static json_t *plain_band(const struct field *f, const json_t *v, int n)
{
    long long whole = whole_part(f, v), from = whole / n;
    if (whole % n < 0)
        from--;
    char text[80];
    snprintf(text, sizeof text, "%lld..%lld%s", from * n, (from + 1) * n,
             f->kind == AMOUNT ? " SEK" : "");
    return json_string(text);
}

static bool is_years_ago(const char *date, int years)
{
    char text[24];
    _cleanup_buf struct buf today = {0};
    date_format((int32_t)(clock_now() / DAY_MS), &today);
    snprintf(text, sizeof text, "%04d%s", atoi(today.p) - years, today.p + 4);
    return strcmp(date, text) <= 0;
}

/* NULL: left out. Of a code only that it is one. */
static json_t *plain_cut(const struct field *f, const struct cutting *c, json_t *v)
{
    const char *text = json_string_value(v);
    switch (c->cut) {
    case KEEP:
        return json_incref(v);
    case YEAR:
        return json_stringn(text, 4);
    case MONTH:
        return json_stringn(text, 7);
    case DAY:
        return json_stringn(text, 10);
    case HOUR:
        return json_stringn(text, 13);
    case BAND:
        return plain_band(f, v, c->n);
    case PREFIX:
        return json_stringn(text, (size_t)c->n);
    case CODE:
        return json_string("*");
    case YEARS:
        return json_boolean(is_years_ago(text, c->n));
    case LEAST:
        return json_boolean(whole_part(f, v) >= c->n);
    case ONE_OF:
        return json_boolean(strcmp(text, "home") == 0 || strcmp(text, "SE") == 0 ||
                            strcmp(text, "garden") == 0);
    default:
        return NULL;
    }
}

static bool is_code(const json_t *json)
{
    const char *text = json_string_value(json);
    return text && strlen(text) == 32 && strspn(text, "0123456789abcdef") == 32;
}

/* ---- comparing ---- */

/* The text by which a value would be known, where it is one that nothing else is. */
static const char *mark_of(const struct field *f, const json_t *v, char *room, size_t n)
{
    switch (f->kind) {
    case WHOLE:
        snprintf(room, n, "%lld", (long long)llabs(json_integer_value(v)));
        return room;
    case AMOUNT:
        return json_string_value(json_object_get(v, "amount"));
    case YESNO:
    case WORD:
    case LAND:
        return NULL;
    case DATE:
    case TIME:
        return json_string_value(v);
    default:
        return json_string_value(v);
    }
}

static void check_marks(const struct category *c, const struct view *view, const json_t *record,
                        const char *bytes, bool permitted)
{
    for (int i = 0; i < FIELDS_MAX && c->fields[i].name; i++) {
        const struct field *f = &c->fields[i];
        const json_t *v = json_object_get(record, f->name);
        char room[40];
        const char *mark = v ? mark_of(f, v, room, sizeof room) : NULL;
        bool shown = permitted && (view->whole || view->cuts[i].cut == KEEP);
        if (mark && !shown && strstr(bytes, mark))
            fail_msg("%s.%s came out: %s in %s", c->name, f->name, mark, bytes);
    }
}

static void check_data(const struct category *c, const struct view *view, const json_t *record,
                       const json_t *data)
{
    size_t expected = 0;
    if (view->whole) {
        assert_true(json_equal(record, data));
        return;
    }
    for (int i = 0; i < FIELDS_MAX && c->fields[i].name; i++) {
        const struct cutting *cut = &view->cuts[i];
        json_t *v = json_object_get(record, c->fields[i].name);
        _cleanup_json json_t *wanted = v ? plain_cut(&c->fields[i], cut, v) : NULL;
        const json_t *got = cut->cut == DROP ? NULL : json_object_get(data, cut->name);
        if (cut->cut != DROP && !wanted != !got)
            fail_msg("%s.%s: %s", c->name, cut->name, wanted ? "is missing" : "is too much");
        expected += wanted != NULL;
        if (wanted && cut->cut == CODE ? !is_code(got) : wanted && !json_equal(wanted, got))
            fail_msg("%s.%s is not as the view says", c->name, cut->name);
    }
    assert_int_equal(json_object_size(data), expected);
}

/* ---- a round ---- */

struct person {
    char id[24];
    bool consents;
    json_t *records[4][RECORDS]; /* by category */
};

static char *ask_bytes(struct world *w, const char *target, int *status)
{
    struct http_call *call = http_call_new("GET", target, STR(""));
    http_dispatch(api_app(w->api), call);
    *status = call->status;
    char *bytes = str_dup(buf_view(&call->out));
    http_call_free(call);
    return bytes;
}

static void read_and_check(struct world *w, const struct activity *a, int use,
                           const struct view *view, const struct person *p)
{
    char target[200];
    int status;
    const struct category *c = &categories[a->uses[use]];
    snprintf(target, sizeof target, "/v1/consumers/%s/records/%s?purpose=%s&recipient=%s", p->id,
             c->name, a->purpose, a->recipient);
    char *bytes = ask_bytes(w, target, &status);
    bool permitted = !a->consent || p->consents;
    assert_int_equal(status, permitted ? 200 : 403);
    for (int i = 0; i < RECORDS; i++)
        check_marks(c, view, p->records[a->uses[use]][i], bytes, permitted);
    /* Nothing of other categories at all. */
    for (int k = 0; k < 4; k++)
        for (int i = 0; k != a->uses[use] && i < RECORDS; i++)
            check_marks(&categories[k], view, p->records[k][i], bytes, false);
    if (a->pseudonymous && strstr(bytes, p->id))
        fail_msg("the id came out: %s", bytes);
    _cleanup_json json_t *json = json_loads(bytes, 0, NULL);
    const json_t *items = json_object_get(json, "items");
    assert_int_equal(json_array_size(items), permitted ? RECORDS : 0);
    for (size_t i = 0; i < json_array_size(items); i++)
        check_data(c, view, p->records[a->uses[use]][i],
                   json_object_get(json_array_get(items, i), "data"));
    free(bytes);
}

static void make_person(struct world *w, unsigned number, struct person *p)
{
    snprintf(p->id, sizeof p->id, "who-%08x-%u", (unsigned)draw(UINT32_MAX), number);
    for (int k = 0; k < 4; k++) {
        for (int i = 0; i < RECORDS; i++) {
            char target[1000];
            p->records[k][i] = draw_record(&categories[k]);
            _cleanup_json json_t *body = json_pack("{s:O}", "data", p->records[k][i]);
            char *text = json_dumps(body, JSON_COMPACT);
            snprintf(target, sizeof target, "/v1/consumers/%s/records/%s", p->id,
                     categories[k].name);
            _cleanup_answer struct answer a = ask(w, NULL, "POST", target, text);
            if (a.status != 201)
                fail_msg("%s: %s", text, a.text);
            free(text);
        }
    }
    p->consents = draw(2);
    if (!p->consents)
        return;
    char body[1000];
    snprintf(body, sizeof body,
             "{\"consumer\":\"%s\",\"purpose\":\"product_development\",\"recipient\":\"product\","
             "\"categories\":[\"purchases\",\"browsing\"],\"decision\":\"give\",\"notice\":{\"id\":"
             "\"product_development\",\"version\":1,\"language\":\"sv\"},\"channel\":\"web\"}",
             p->id);
    _cleanup_answer struct answer a = ask(w, NULL, "POST", "/v1/consents", body);
    assert_status(a, 201);
}

static void test_nothing_comes_out_but_what_the_view_allows(void **state)
{
    struct world *w = *state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct view views[ACTIVITIES][3] = {0};
        struct person people[CONSUMERS] = {0};
        apply_views(w, views);
        for (unsigned i = 0; i < CONSUMERS; i++)
            make_person(w, i, &people[i]);
        /* Records that came under one policy are read under another, too. */
        if (draw(2))
            apply_views(w, views);
        for (int i = 0; i < CONSUMERS; i++)
            for (int a = 0; a < ACTIVITIES; a++)
                for (int u = 0; u < activities[a].use_count; u++)
                    read_and_check(w, &activities[a], u, &views[a][u], &people[i]);
        for (int i = 0; i < CONSUMERS; i++)
            for (int k = 0; k < 4; k++)
                for (int r = 0; r < RECORDS; r++)
                    json_decref(people[i].records[k][r]);
    }
}

int main(void)
{
    seed = seed_start();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_nothing_comes_out_but_what_the_view_allows,
                                        world_begin, world_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
