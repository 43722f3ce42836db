/* image.c - a compiled policy as permit/image.h lays it out: lists one after the other, names in
 * one run of text at the end, and the index's numbers where decisions compare them. */
#include <stdlib.h>

#include "consent/engine.h"

struct writing {
    struct index *ix;
    const struct policy *policy;
    const struct obligations *obligations;
    struct image head;
    struct buf bytes; /* lists, from the end of the head on */
    struct buf strings, bases;
};

static struct image_text text(struct writing *w, struct str s)
{
    struct image_text t = {(uint32_t)w->strings.n, (uint32_t)s.n};
    buf_str(&w->strings, s);
    return t;
}

static void list(struct writing *w, struct image_list *out, const void *items, size_t count,
                 size_t size)
{
    static const char zero[8] = {0};
    if (w->bytes.n % 8)
        buf_add(&w->bytes, zero, 8 - w->bytes.n % 8);
    *out = (struct image_list){(uint32_t)(sizeof w->head + w->bytes.n), (uint32_t)count};
    if (count)
        buf_add(&w->bytes, items, count * size);
}

static uint32_t hash_of(struct str a, struct str b, struct str c)
{
    return image_hash(a.p, a.n, b.p, b.n, c.p, c.n);
}

static void slots(struct writing *w, struct image_list *out, const uint32_t *hashes, size_t count)
{
    size_t size = 4;
    while (size < count * 2 + 1)
        size *= 2;
    uint32_t *slot = mem_alloc(size * sizeof *slot);
    memset(slot, 0xFF, size * sizeof *slot);
    for (size_t i = 0; i < count; i++) {
        size_t at = hashes[i] & (size - 1);
        while (slot[at] != IMAGE_EMPTY)
            at = (at + 1) & (size - 1);
        slot[at] = (uint32_t)i;
    }
    list(w, out, slot, size, sizeof *slot);
    free(slot);
}

/* ---- recipients and activities ---- */

static void write_recipients(struct writing *w)
{
    size_t count = w->policy->recipient_count;
    struct image_recipient *items = mem_zero((count + 1) * sizeof *items);
    uint32_t *hashes = mem_zero((count + 1) * sizeof *hashes);
    for (size_t i = 0; i < count; i++) {
        const struct policy_recipient *r = &w->policy->recipients[i];
        hashes[i] = hash_of(r->id, STR(""), STR(""));
        items[i] = (struct image_recipient){
            .contract_end = r->contract_end,
            .safeguards_end = r->safeguards_end,
            .training_end = r->training_end,
            .begins = r->begins,
            .name = text(w, r->id),
            .suspended = r->suspended,
            .hash = hashes[i],
        };
    }
    list(w, &w->head.recipients, items, count, sizeof *items);
    slots(w, &w->head.recipient_slots, hashes, count);
    free(items);
    free(hashes);
}

static void write_activities(struct writing *w)
{
    size_t count = w->policy->activity_count;
    struct image_activity *items = mem_zero((count + 1) * sizeof *items);
    for (size_t i = 0; i < count; i++) {
        const struct policy_activity *a = &w->policy->activities[i];
        items[i] = (struct image_activity){
            .id = text(w, a->id),
            .recipient = text(w, a->recipient->id),
            .purpose = text(w, a->purpose->id),
            .obligations = {text(w, buf_view(&w->obligations[i].text[0])),
                            text(w, buf_view(&w->obligations[i].text[1]))},
        };
    }
    list(w, &w->head.activities, items, count, sizeof *items);
    free(items);
}

static struct image_use use_of(struct writing *w, const struct policy_activity *a,
                               struct str category, uint32_t bases)
{
    struct str recipient = a->recipient->id, purpose = a->purpose->id;
    return (struct image_use){
        .hash = hash_of(recipient, purpose, category),
        .recipient = a->recipient->index,
        .activity = a->index,
        .key = index_key(w->ix, recipient, purpose, category),
        .notice = a->notice ? index_notice(w->ix, a->notice->id) : 0,
        .notice_from = a->notice ? a->notice->sufficient_from : INT32_MAX,
        .bases = bases,
        .purpose = text(w, purpose),
        .category = text(w, category),
    };
}

static void write_uses(struct writing *w)
{
    const struct policy *p = w->policy;
    size_t most = 0, count = 0;
    for (size_t i = 0; i < p->activity_count; i++)
        most += p->activities[i].category_count;
    struct image_use *items = mem_zero((most + 1) * sizeof *items);
    uint32_t *hashes = mem_zero((most + 1) * sizeof *hashes);
    for (size_t i = 0; i < p->activity_count; i++) {
        const struct policy_activity *a = &p->activities[i];
        uint32_t bases = (uint32_t)w->bases.n;
        for (size_t k = 0; k < p->law_count; k++)
            buf_char(&w->bases, (char)a->basis[k]);
        for (size_t k = 0; k < a->category_count; k++, count++) {
            items[count] = use_of(w, a, a->categories[k]->id, bases);
            hashes[count] = items[count].hash;
        }
    }
    list(w, &w->head.uses, items, count, sizeof *items);
    slots(w, &w->head.use_slots, hashes, count);
    list(w, &w->head.bases, w->bases.p, w->bases.n, 1);
    free(items);
    free(hashes);
}

/* ---- laws ---- */

static void code(char out[IMAGE_CODE], struct str territory)
{
    if (territory.n > IMAGE_CODE)
        bug("territory of %zu bytes", territory.n);
    memset(out, 0, IMAGE_CODE);
    memcpy(out, territory.p, territory.n);
}

static void write_territories(struct writing *w)
{
    struct buf territories = {0}, guardians = {0};
    for (size_t i = 0; i < w->policy->law_count; i++) {
        const struct policy_law *l = &w->policy->laws[i];
        for (size_t k = 0; k < l->territory_count; k++) {
            struct image_territory t = {.law = (int32_t)i};
            code(t.code, l->territories[k]);
            buf_add(&territories, &t, sizeof t);
        }
        for (size_t k = 0; k < l->guardian_by_territory_count; k++) {
            struct image_guardian g = {.law = (int32_t)i,
                                       .years = l->guardian_by_territory[k].years};
            code(g.code, l->guardian_by_territory[k].territory);
            buf_add(&guardians, &g, sizeof g);
        }
    }
    list(w, &w->head.territories, territories.p, territories.n / sizeof(struct image_territory),
         sizeof(struct image_territory));
    list(w, &w->head.guardians, guardians.p, guardians.n / sizeof(struct image_guardian),
         sizeof(struct image_guardian));
    buf_free(&territories);
    buf_free(&guardians);
}

static void write_laws(struct writing *w)
{
    const struct policy *p = w->policy;
    struct image_law *laws = mem_zero((p->law_count + 1) * sizeof *laws);
    for (size_t i = 0; i < p->law_count; i++)
        laws[i] = (struct image_law){text(w, p->laws[i].id), p->laws[i].guardian_below,
                                     p->laws[i].opt_in_below};
    list(w, &w->head.laws, laws, p->law_count, sizeof *laws);
    free(laws);
    size_t known = index_residence_count(w->ix);
    struct image_residence *residences = mem_zero((known + 1) * sizeof *residences);
    for (size_t i = 0; i < known; i++) {
        struct str name = index_residence_name(w->ix, (uint32_t)i);
        const struct policy_law *law = policy_law_of(p, name);
        residences[i] =
            (struct image_residence){(int32_t)law->index, policy_guardian_below(law, name)};
    }
    list(w, &w->head.residences, residences, known, sizeof *residences);
    free(residences);
    w->head.default_law = (int32_t)policy_law_of(p, STR(""))->index;
}

void image_write(struct index *ix, const struct policy *policy,
                 const struct obligations *obligations, struct buf *out)
{
    struct writing w = {.ix = ix, .policy = policy, .obligations = obligations};
    memcpy(w.head.magic, IMAGE_MAGIC, sizeof w.head.magic);
    w.head.version = (uint32_t)policy->version;
    for (int i = 0; i < IMAGE_BASES; i++)
        w.head.basis_names[i] = text(&w, str_of(policy_basis_name((enum policy_basis)i)));
    write_recipients(&w);
    write_activities(&w);
    write_uses(&w);
    write_laws(&w);
    write_territories(&w);
    list(&w, &w.head.strings, w.strings.p, w.strings.n, 1);
    w.head.size = (uint32_t)(sizeof w.head + w.bytes.n);
    size_t start = out->n, covered = offsetof(struct image, uses);
    buf_add(out, &w.head, sizeof w.head);
    buf_str(out, buf_view(&w.bytes));
    struct image *made = (struct image *)(void *)(out->p + start);
    made->checksum = permit_checksum((const char *)made + covered, made->size - covered);
    buf_free(&w.bytes);
    buf_free(&w.strings);
    buf_free(&w.bases);
    if (!image_check(made, made->size))
        bug("a compiled policy does not pass its own check");
}
