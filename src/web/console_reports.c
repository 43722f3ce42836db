/* console_reports.c - reports: a document is made once, as JSON of sections with pairs and tables,
 * and written as a page that prints well or as PDF. */
#include <string.h>

#include "base/pdf.h"
#include "web/console.h"

/* ---- a document ---- */

static json_t *add_section(json_t *doc, struct str heading, int level)
{
    json_t *section = json_object();
    set_text(section, "heading", heading);
    set_true(section, "small", level > 2);
    json_object_set_new(section, "texts", json_array());
    json_object_set_new(section, "pairs", json_array());
    json_object_set_new(section, "head", json_array());
    json_object_set_new(section, "rows", json_array());
    json_array_append_new(json_object_get(doc, "sections"), section);
    return section;
}

static void add_string(json_t *list, struct str text)
{
    json_array_append_new(list, json_stringn(text.p ? text.p : "", text.n));
}

static void add_text(json_t *section, struct str text)
{
    add_string(json_object_get(section, "texts"), text);
}

static void add_pair(json_t *section, struct str name, struct str value)
{
    if (!value.n)
        return;
    set_true(section, "has_pairs", true);
    json_t *pair = json_object();
    set_text(pair, "name", name);
    set_text(pair, "value", value);
    json_array_append_new(json_object_get(section, "pairs"), pair);
}

static void add_head(const struct visit *v, json_t *section, const char *const *words)
{
    set_true(section, "has_table", true);
    for (; *words; words++)
        add_string(json_object_get(section, "head"), word(v, *words));
}

/* The first cell names the row. */
static void add_row(json_t *section, const struct str *cells, size_t count)
{
    json_t *row = json_object(), *rest = json_array();
    set_text(row, "name", cells[0]);
    for (size_t i = 1; i < count; i++)
        add_string(rest, cells[i]);
    json_object_set_new(row, "cells", rest);
    json_array_append_new(json_object_get(section, "rows"), row);
}

static struct str number(const struct visit *v, int64_t n)
{
    return arena_printf(v->arena, "%lld", (long long)n);
}

static json_t *new_document(struct visit *v, const char *title, const char *lead)
{
    json_t *doc = json_object();
    set_text(doc, "title", word(v, title));
    set_text(doc, "lead", word(v, lead));
    set_text(doc, "made", moment_text(v, v->now));
    json_object_set_new(doc, "sections", json_array());
    return doc;
}

/* ---- records of processing activities (GDPR art. 30) ---- */

static struct str categories_of(const struct visit *v, const struct policy_activity *a)
{
    _cleanup_buf struct buf text = {0};
    for (size_t i = 0; i < a->category_count; i++) {
        buf_cstr(&text, i ? ", " : "");
        buf_str(&text, policy_text_in(v->policy, &a->categories[i]->label, v->language));
        if (a->categories[i]->sensitive)
            buf_printf(&text, " (%.*s)", STR_ARG(word(v, "ropa_sensitive")));
    }
    return arena_str(v->arena, buf_view(&text));
}

static struct str bases_of(const struct visit *v, const struct policy_activity *a)
{
    _cleanup_buf struct buf text = {0};
    for (size_t i = 0; i < v->policy->law_count; i++) {
        if (a->basis[i] == BASIS_NONE)
            continue;
        buf_cstr(&text, text.n ? "; " : "");
        buf_printf(&text, "%.*s: %.*s", STR_ARG(v->policy->laws[i].name),
                   STR_ARG(word_of(v, "basis_", str_of(policy_basis_name(a->basis[i])))));
    }
    return arena_str(v->arena, buf_view(&text));
}

static void add_activity(const struct visit *v, json_t *doc, const struct policy_activity *a)
{
    struct str purpose = policy_text_in(v->policy, &a->purpose->label, v->language);
    struct str recipient = policy_text_in(v->policy, &a->recipient->label, v->language);
    json_t *section = add_section(
        doc, arena_printf(v->arena, "%.*s – %.*s", STR_ARG(purpose), STR_ARG(recipient)), 3);
    add_pair(section, word(v, "ropa_purpose"),
             policy_text_in(v->policy, &a->purpose->description, v->language));
    add_pair(section, word(v, "ropa_subjects"), word(v, "ropa_subjects_are"));
    add_pair(section, word(v, "ropa_categories"), categories_of(v, a));
    add_pair(section, word(v, "ropa_recipients"),
             arena_printf(
                 v->arena, "%.*s (%.*s)", STR_ARG(recipient),
                 STR_ARG(word_of(v, "kind_", str_of(recipient_kind_name(a->recipient->kind))))));
    add_pair(section, word(v, "bond_contract"), a->recipient->contract);
    add_pair(section, word(v, "bond_safeguards"), a->recipient->safeguards);
    add_pair(section, word(v, "ropa_basis"), bases_of(v, a));
    add_pair(section, word(v, "form"), word_of(v, "form_", str_of(view_form_name(a->view))));
    add_pair(section, word(v, "ropa_erased"),
             arena_printf(v->arena, "%d %.*s", a->retention_days, STR_ARG(word(v, "days"))));
}

static json_t *make_processing(struct visit *v)
{
    json_t *doc = new_document(v, "report_processing", "report_processing_lead");
    if (!v->policy)
        return doc;
    json_t *who = add_section(doc, word(v, "ropa_controller"), 2);
    add_pair(who, word(v, "desk_name"), v->policy->controller_name);
    add_pair(who, word(v, "contact"), v->policy->contact);
    add_pair(who, word(v, "policy_version"), number(v, v->policy->version));
    json_t *security = add_section(doc, word(v, "ropa_security"), 2);
    add_text(security, word(v, "ropa_security_is"));
    add_section(doc, word(v, "policy_activities"), 2);
    for (size_t i = 0; i < v->policy->activity_count; i++)
        add_activity(v, doc, &v->policy->activities[i]);
    return doc;
}

/* ---- consents and uses ---- */

static struct str percent(const struct visit *v, int64_t part, int64_t whole)
{
    int64_t rate = permille(part, whole);
    return arena_printf(v->arena, "%lld.%lld %%", (long long)rate / 10, (long long)rate % 10);
}

static void add_rates(const struct visit *v, json_t *doc, const json_t *overview)
{
    static const char *const head[] = {"purpose", "who", "consumers", "share", NULL};
    const json_t *a;
    size_t i;
    int64_t all = member_int(overview, "consumers");
    json_t *section = add_section(doc, word(v, "rates_title"), 2);
    add_text(section,
             arena_printf(v->arena, "%.*s %lld.", STR_ARG(word(v, "rates_lead")), (long long)all));
    add_head(v, section, head);
    json_array_foreach(json_object_get(overview, "activities"), i, a) {
        bool known = json_is_integer(json_object_get(a, "permitted"));
        int64_t permitted = member_int(a, "permitted");
        struct str cells[] = {
            purpose_label(v, member(a, "purpose")), recipient_label(v, member(a, "recipient")),
            known ? number(v, permitted) : STR("–"), known ? percent(v, permitted, all) : STR("–")};
        add_row(section, cells, 4);
    }
}

static void add_days(const struct visit *v, json_t *doc, const json_t *uses)
{
    static const char *const head[] = {"day", "uses_permitted", "uses_denied", NULL};
    const json_t *day;
    size_t i;
    json_t *section = add_section(doc, word(v, "uses_title"), 2);
    add_head(v, section, head);
    json_array_foreach(json_object_get(uses, "days"), i, day) {
        int32_t date = 0;
        date_parse(member(day, "day"), &date);
        struct str cells[] = {day_text(v, date), number(v, member_int(day, "permitted")),
                              number(v, member_int(day, "denied"))};
        add_row(section, cells, 3);
    }
}

static void add_denials(const struct visit *v, json_t *doc, json_t *denied)
{
    static const char *const head[] = {"reason", "count", NULL};
    const char *reason;
    const json_t *count;
    json_t *section = add_section(doc, word(v, "denials_title"), 2);
    add_head(v, section, head);
    json_object_foreach(denied, reason, count) {
        struct str cells[] = {word_of(v, "reason_", str_of(reason)),
                              number(v, json_integer_value(count))};
        add_row(section, cells, 2);
    }
    if (json_object_size(denied) == 0)
        add_text(section, word(v, "denials_none"));
}

static json_t *make_consents(struct visit *v)
{
    int status;
    const json_t *overview = desk_ask(v, "GET", STR("/v1/overview"), NULL, &status);
    const json_t *uses = json_object_get(overview, "uses");
    json_t *doc = new_document(v, "report_consents", "report_consents_lead");
    add_rates(v, doc, overview);
    add_days(v, doc, uses);
    add_denials(v, doc, json_object_get(uses, "denied"));
    return doc;
}

/* ---- requests ---- */

static struct str days_of(const struct visit *v, const json_t *hours)
{
    if (!json_is_integer(hours))
        return STR("–");
    int64_t tenths = json_integer_value(hours) * 10 / 24;
    return arena_printf(v->arena, "%lld.%lld", (long long)tenths / 10, (long long)tenths % 10);
}

static json_t *make_times(struct visit *v)
{
    static const char *const counts[] = {"right",
                                         "times_received",
                                         "times_waiting",
                                         "times_overdue",
                                         "times_fulfilled",
                                         "times_refused",
                                         NULL};
    static const char *const lengths[] = {"right",        "times_answered", "times_in_time",
                                          "times_median", "times_longest",  NULL};
    int status;
    size_t i;
    const json_t *t;
    const json_t *answer = desk_ask(v, "GET", STR("/v1/response-times"), NULL, &status);
    json_t *doc = new_document(v, "report_times", "report_times_lead");
    json_t *how_many = add_section(doc, word(v, "times_counts"), 2);
    json_t *how_long = add_section(doc, word(v, "times_lengths"), 2);
    add_head(v, how_many, counts);
    add_head(v, how_long, lengths);
    json_array_foreach(json_object_get(answer, "items"), i, t) {
        int64_t answered = member_int(t, "fulfilled") + member_int(t, "refused");
        struct str right = word_of(v, "right_", member(t, "right"));
        struct str one[] = {right,
                            number(v, member_int(t, "received")),
                            number(v, member_int(t, "waiting")),
                            number(v, member_int(t, "overdue")),
                            number(v, member_int(t, "fulfilled")),
                            number(v, member_int(t, "refused"))};
        struct str two[] = {right, number(v, answered),
                            percent(v, member_int(t, "in_time"), answered),
                            days_of(v, json_object_get(t, "median_hours")),
                            days_of(v, json_object_get(t, "longest_hours"))};
        add_row(how_many, one, 6);
        add_row(how_long, two, 5);
    }
    return doc;
}

/* ---- PDF ---- */

static void write_row(struct pdf *pdf, const json_t *first, const json_t *rest, bool head)
{
    struct str cells[PDF_CELLS_MAX];
    size_t n = 0, i;
    const json_t *cell;
    if (first)
        cells[n++] = json_text(first);
    json_array_foreach(rest, i, cell)
        if (n < PDF_CELLS_MAX)
            cells[n++] = json_text(cell);
    if (n)
        pdf_row(pdf, cells, n, head);
}

static void write_section(struct pdf *pdf, const json_t *section)
{
    size_t i;
    const json_t *item;
    pdf_heading(pdf, json_is_true(json_object_get(section, "small")) ? 3 : 2,
                member(section, "heading"));
    json_array_foreach(json_object_get(section, "texts"), i, item)
        pdf_text(pdf, json_text(item));
    json_array_foreach(json_object_get(section, "pairs"), i, item)
        pdf_pair(pdf, member(item, "name"), member(item, "value"));
    write_row(pdf, NULL, json_object_get(section, "head"), true);
    json_array_foreach(json_object_get(section, "rows"), i, item)
        write_row(pdf, json_object_get(item, "name"), json_object_get(item, "cells"), false);
}

static int answer_pdf(struct visit *v, const json_t *doc, struct str name)
{
    _cleanup_buf struct buf out = {0};
    struct err err = {0};
    struct http_call *call = v->call;
    size_t i;
    const json_t *section;
    struct str company = v->policy ? v->policy->controller_name : STR("Lov");
    struct pdf *pdf = pdf_new(&out, member(doc, "title"), company);
    pdf_heading(pdf, 1, member(doc, "title"));
    pdf_text(pdf, member(doc, "lead"));
    pdf_text(pdf, arena_printf(v->arena, "%.*s %.*s", STR_ARG(word(v, "report_made")),
                               STR_ARG(member(doc, "made"))));
    json_array_foreach(json_object_get(doc, "sections"), i, section)
        write_section(pdf, section);
    int rc = pdf_finish(pdf, &err);
    pdf_free(pdf);
    if (rc)
        return visit_error(v, &err);
    visit_headers(call);
    call->status = 200;
    call->content_type = "application/pdf";
    http_answer_header(call, "Content-Disposition",
                       arena_printf(v->arena, "attachment; filename=\"%.*s.pdf\"", STR_ARG(name)));
    buf_str(&call->out, buf_view(&out));
    return 0;
}

/* ---- the pages ---- */

static const struct report {
    const char *name, *title, *lead;
    json_t *(*make)(struct visit *v);
} reports[] = {
    {"processing", "report_processing", "report_processing_lead", make_processing},
    {"consents", "report_consents", "report_consents_lead", make_consents},
    {"response-times", "report_times", "report_times_lead", make_times},
};
enum { REPORTS = sizeof reports / sizeof *reports };

int console_reports(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    if (!console_begin(call, &v))
        return 0;
    json_t *list = json_array();
    for (size_t i = 0; i < REPORTS; i++) {
        json_t *view = json_object();
        set_text(view, "name", str_of(reports[i].name));
        set_text(view, "label", word(&v, reports[i].title));
        set_text(view, "what", word(&v, reports[i].lead));
        json_array_append_new(list, view);
    }
    json_object_set_new(v.view, "reports", list);
    return visit_page(&v, 200, "console_reports.html", "reports");
}

int console_report(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    struct str format = {0};
    const struct report *report = NULL;
    if (!console_begin(call, &v))
        return 0;
    for (size_t i = 0; i < REPORTS; i++)
        if (str_is(call->param[0], reports[i].name))
            report = &reports[i];
    if (!report)
        return visit_trouble(&v, 404, "oops_missing");
    json_t *doc = report->make(&v);
    json_object_set_new(v.view, "doc", doc);
    set_text(v.view, "name", str_of(report->name));
    set_text(v.view, "title", member(doc, "title"));
    if (http_query(call, "format", &format) && str_is(format, "pdf"))
        return answer_pdf(&v, doc, str_of(report->name));
    return visit_page(&v, 200, "console_report.html", "reports");
}
