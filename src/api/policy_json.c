/* policy_json.c - the compiled policy as JSON, from top to bottom. Texts are objects by language.
 */
#include "api/policy_json.h"

static void write_text(struct jw *w, const char *member, const struct policy *p,
                       const struct policy_text *text)
{
    jw_key(w, member);
    jw_object_start(w);
    for (size_t i = 0; i < p->language_count; i++) {
        /* A name from the policy, of an arena: it ends in NUL. */
        jw_key_str(w, p->languages[i]);
        jw_str(w, text->in[i]);
    }
    jw_object_end(w);
}

/* null where there is none, and where it has no end: the text beside it tells which. */
static void write_validity(struct jw *w, const char *member, int64_t end)
{
    jw_key(w, member);
    if (end == TIME_NONE || end == INT64_MAX)
        jw_null(w);
    else
        jw_time(w, end);
}

static void write_category(struct jw *w, const struct policy *p, const struct policy_category *c)
{
    jw_object_start(w);
    jw_str_member(w, "id", c->id);
    write_text(w, "label", p, &c->label);
    jw_bool_member(w, "sensitive", c->sensitive);
    jw_str_member(w, "dpv", c->dpv);
    jw_optional_member(w, "fdx", c->fdx);
    jw_int_member(w, "retention_days", policy_retention_days(p, c));
    jw_array_member(w, "fields");
    for (size_t i = 0; i < c->field_count; i++) {
        const struct policy_field *f = &c->fields[i];
        jw_object_start(w);
        jw_str_member(w, "name", f->name);
        if (f->label.in[0].n)
            write_text(w, "label", p, &f->label);
        jw_cstr_member(w, "type", field_type_name(f->type));
        jw_bool_member(w, "required", f->required);
        jw_bool_member(w, "sensitive", f->sensitive);
        if (f->value_count)
            jw_strs_member(w, "values", f->values, f->value_count);
        jw_object_end(w);
    }
    jw_array_end(w);
    jw_object_end(w);
}

static void write_purpose(struct jw *w, const struct policy *p, const struct policy_purpose *u)
{
    jw_object_start(w);
    jw_str_member(w, "id", u->id);
    write_text(w, "label", p, &u->label);
    write_text(w, "description", p, &u->description);
    jw_str_member(w, "dpv", u->dpv);
    jw_object_end(w);
}

static void write_recipient(struct jw *w, const struct policy *p, const struct policy_recipient *r)
{
    jw_object_start(w);
    jw_str_member(w, "id", r->id);
    write_text(w, "label", p, &r->label);
    jw_cstr_member(w, "kind", recipient_kind_name(r->kind));
    jw_bool_member(w, "suspended", r->suspended);
    jw_optional_member(w, "contract", r->contract);
    write_validity(w, "contract_end", r->contract_end);
    jw_optional_member(w, "safeguards", r->safeguards);
    write_validity(w, "safeguards_end", r->safeguards_end);
    write_validity(w, "training_end", r->training_end);
    write_validity(w, "transfer_announced", r->announced);
    write_validity(w, "transfer_begins", r->begins);
    jw_optional_member(w, "contact", r->contact);
    jw_object_end(w);
}

static void write_basis(struct jw *w, const struct policy *p, const struct policy_activity *a)
{
    jw_object_member(w, "basis");
    for (size_t i = 0; i < p->law_count; i++) {
        if (a->basis[i] == BASIS_NONE)
            continue;
        jw_key_str(w, p->laws[i].id);
        jw_str(w, str_of(policy_basis_name(a->basis[i])));
    }
    jw_object_end(w);
}

static void write_activity(struct jw *w, const struct policy *p, const struct policy_activity *a)
{
    jw_object_start(w);
    jw_str_member(w, "id", a->id);
    jw_str_member(w, "purpose", a->purpose->id);
    jw_str_member(w, "recipient", a->recipient->id);
    jw_array_member(w, "categories");
    for (size_t i = 0; i < a->category_count; i++)
        jw_str(w, a->categories[i]->id);
    jw_array_end(w);
    write_basis(w, p, a);
    jw_optional_member(w, "notice", a->notice ? a->notice->id : (struct str){0});
    jw_object_member(w, "view");
    jw_cstr_member(w, "form", view_form_name(a->view));
    jw_strs_member(w, "fields", a->view_fields, a->view_field_count);
    if (a->view == VIEW_AGGREGATE)
        jw_int_member(w, "k", a->aggregate_k);
    jw_object_end(w);
    jw_bool_member(w, "no_automated_decision", a->no_automated_decision);
    jw_bool_member(w, "record_always", a->record_always);
    jw_int_member(w, "retention_days", a->retention_days);
    jw_int_member(w, "consent_days", a->consent_days);
    jw_object_end(w);
}

static void write_deadlines(struct jw *w, const struct policy_law *law)
{
    jw_array_member(w, "deadlines");
    for (size_t i = 0; i < law->deadline_count; i++) {
        const struct policy_deadline *d = &law->deadlines[i];
        jw_object_start(w);
        jw_str_member(w, "right", d->right);
        jw_int_member(w, "months", d->months);
        jw_int_member(w, "days", d->days);
        jw_int_member(w, "extend_months", d->extend_months);
        jw_int_member(w, "extend_days", d->extend_days);
        jw_str_member(w, "source", d->source);
        jw_object_end(w);
    }
    jw_array_end(w);
}

static void write_refusals(struct jw *w, const struct policy_law *law)
{
    jw_array_member(w, "refusals");
    for (size_t i = 0; i < law->refusal_count; i++) {
        const struct policy_refusal *r = &law->refusals[i];
        jw_object_start(w);
        jw_str_member(w, "reason", r->reason);
        jw_strs_member(w, "rights", r->rights, r->right_count);
        jw_str_member(w, "source", r->source);
        jw_object_end(w);
    }
    jw_array_end(w);
    jw_optional_member(w, "opt_out_signal", law->opt_out_signal);
    jw_optional_member(w, "suppression_list", law->suppression_list);
    jw_array_member(w, "changes");
    for (size_t i = 0; i < law->pending_count; i++) {
        jw_object_start(w);
        jw_time_member(w, "from", law->pending[i].from);
        jw_str_member(w, "source", law->pending[i].source);
        jw_object_end(w);
    }
    jw_array_end(w);
}

static void write_law(struct jw *w, const struct policy_law *law)
{
    jw_object_start(w);
    jw_str_member(w, "id", law->id);
    jw_str_member(w, "name", law->name);
    jw_str_member(w, "citation", law->citation);
    jw_strs_member(w, "territories", law->territories, law->territory_count);
    jw_cstr_member(w, "consent", law->opt_out_model ? "opt_out" : "opt_in");
    jw_int_member(w, "guardian_below", law->guardian_below);
    jw_object_member(w, "guardian_by_territory");
    for (size_t i = 0; i < law->guardian_by_territory_count; i++) {
        jw_key_str(w, law->guardian_by_territory[i].territory);
        jw_int(w, law->guardian_by_territory[i].years);
    }
    jw_object_end(w);
    jw_int_member(w, "opt_in_below", law->opt_in_below);
    jw_int_member(w, "consent_max_days", law->consent_max_days);
    jw_int_member(w, "reask_after_days", law->reask_after_days);
    write_deadlines(w, law);
    write_refusals(w, law);
    jw_object_end(w);
}

static void write_notice(struct jw *w, const struct policy_notice *n)
{
    jw_object_start(w);
    jw_str_member(w, "id", n->id);
    jw_int_member(w, "version", n->version);
    jw_bool_member(w, "material", n->material);
    jw_int_member(w, "sufficient_from", n->sufficient_from);
    jw_str_member(w, "purpose", n->purpose);
    jw_array_member(w, "texts");
    for (size_t i = 0; i < n->text_count; i++) {
        const struct policy_notice_text *t = &n->texts[i];
        jw_object_start(w);
        jw_str_member(w, "language", t->language);
        jw_str_member(w, "title", t->title);
        jw_hex_member(w, "hash", t->hash.b, sizeof t->hash.b);
        jw_object_end(w);
    }
    jw_array_end(w);
    jw_object_end(w);
}

static void write_head(struct jw *w, const struct policy *p)
{
    jw_int_member(w, "version", p->version);
    jw_hex_member(w, "hash", p->hash.b, sizeof p->hash.b);
    jw_object_member(w, "controller");
    jw_str_member(w, "id", p->controller);
    jw_str_member(w, "name", p->controller_name);
    jw_optional_member(w, "contact", p->contact);
    jw_str_member(w, "default_residence", p->default_residence);
    jw_object_end(w);
    jw_strs_member(w, "languages", p->languages, p->language_count);
}

void policy_write(const struct policy *p, struct jw *w)
{
    jw_object_start(w);
    write_head(w, p);
    jw_array_member(w, "categories");
    for (size_t i = 0; i < p->category_count; i++)
        write_category(w, p, &p->categories[i]);
    jw_array_end(w);
    jw_array_member(w, "purposes");
    for (size_t i = 0; i < p->purpose_count; i++)
        write_purpose(w, p, &p->purposes[i]);
    jw_array_end(w);
    jw_array_member(w, "recipients");
    for (size_t i = 0; i < p->recipient_count; i++)
        write_recipient(w, p, &p->recipients[i]);
    jw_array_end(w);
    jw_array_member(w, "activities");
    for (size_t i = 0; i < p->activity_count; i++)
        write_activity(w, p, &p->activities[i]);
    jw_array_end(w);
    jw_array_member(w, "laws");
    for (size_t i = 0; i < p->law_count; i++)
        write_law(w, &p->laws[i]);
    jw_array_end(w);
    jw_array_member(w, "notices");
    for (size_t i = 0; i < p->notice_count; i++)
        write_notice(w, &p->notices[i]);
    jw_array_end(w);
    jw_object_end(w);
}

void findings_write(const struct policy_findings *f, struct jw *w)
{
    jw_array_member(w, "findings");
    for (size_t i = 0; i < f->count; i++) {
        const struct policy_finding *item = &f->items[i];
        jw_object_start(w);
        jw_cstr_member(w, "severity", item->severity == POLICY_ERROR ? "error" : "warning");
        jw_str_member(w, "file", item->file);
        jw_int_member(w, "line", item->line);
        jw_cstr_member(w, "rule", item->rule);
        jw_str_member(w, "text", item->text);
        jw_object_end(w);
    }
    jw_array_end(w);
}

static void detail_write(const struct policy_detail *d, struct jw *w)
{
    static const char *const kinds[] = {[POLICY_D_SET] = "set",
                                        [POLICY_D_IS] = "is",
                                        [POLICY_D_ADDED] = "added",
                                        [POLICY_D_REMOVED] = "removed",
                                        [POLICY_D_CHANGED] = "changed"};
    jw_object_start(w);
    jw_cstr_member(w, "kind", kinds[d->kind]);
    jw_cstr_member(w, "field", d->field);
    jw_optional_member(w, "part", d->part);
    jw_optional_member(w, "name", d->name);
    jw_optional_member(w, "before", d->before);
    jw_optional_member(w, "after", d->after);
    jw_optional_member(w, "unit", str_of(d->unit));
    jw_object_end(w);
}

void change_write(const struct policy_change *c, const struct policy_effect *effect, struct jw *w)
{
    static const char *const kinds[] = {
        [POLICY_ADDED] = "added", [POLICY_REMOVED] = "removed", [POLICY_CHANGED] = "changed"};
    jw_object_start(w);
    jw_cstr_member(w, "kind", kinds[c->kind]);
    jw_cstr_member(w, "what", c->what);
    jw_str_member(w, "id", c->id);
    jw_optional_member(w, "recipient", c->recipient);
    jw_optional_member(w, "purpose", c->purpose);
    jw_str_member(w, "detail", c->detail);
    jw_array_member(w, "details");
    for (size_t i = 0; i < c->detail_count; i++)
        detail_write(&c->details[i], w);
    jw_array_end(w);
    jw_bool_member(w, "material", c->material);
    jw_int_member(w, "consumers", effect->consumers);
    jw_int_member(w, "consents", effect->consents);
    jw_int_member(w, "permits_lost", effect->permits_lost);
    jw_int_member(w, "permits_won", effect->permits_won);
    jw_int_member(w, "covered", effect->covered);
    jw_object_end(w);
}
