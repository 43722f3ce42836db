/* image.c - see image.h. */
#include "permit/image.h"

#include <string.h>

#include "permit/permit.h"

/* ---- checking ---- */

struct checking {
    const struct image *image;
    size_t size;
};

static bool list_fits(const struct checking *c, const struct image_list *l, size_t item)
{
    return l->offset % 8 == 0 && l->offset >= sizeof(struct image) && l->offset <= c->size &&
           l->count <= (c->size - l->offset) / item;
}

static bool text_fits(const struct checking *c, const struct image_text *t)
{
    uint32_t n = c->image->strings.count;
    return t->offset <= n && t->length <= n - t->offset;
}

/* A table of positions: a power of two, at least one empty, so that every search ends. */
static bool slots_fit(const struct checking *c, const struct image_list *slots, uint32_t items)
{
    const uint32_t *slot = (const void *)((const char *)c->image + slots->offset);
    bool empty = false;
    if (slots->count == 0 || (slots->count & (slots->count - 1)) != 0)
        return false;
    for (uint32_t i = 0; i < slots->count; i++) {
        if (slot[i] == IMAGE_EMPTY)
            empty = true;
        else if (slot[i] >= items)
            return false;
    }
    return empty;
}

static bool lists_fit(const struct checking *c)
{
    const struct image *i = c->image;
    return list_fits(c, &i->uses, sizeof(struct image_use)) &&
           list_fits(c, &i->use_slots, sizeof(uint32_t)) &&
           list_fits(c, &i->recipients, sizeof(struct image_recipient)) &&
           list_fits(c, &i->recipient_slots, sizeof(uint32_t)) &&
           list_fits(c, &i->laws, sizeof(struct image_law)) &&
           list_fits(c, &i->residences, sizeof(struct image_residence)) &&
           list_fits(c, &i->territories, sizeof(struct image_territory)) &&
           list_fits(c, &i->guardians, sizeof(struct image_guardian)) &&
           list_fits(c, &i->activities, sizeof(struct image_activity)) &&
           list_fits(c, &i->bases, 1) && list_fits(c, &i->strings, 1);
}

static bool is_law(const struct checking *c, int32_t law)
{
    return law >= 0 && (uint32_t)law < c->image->laws.count;
}

static bool is_age(int32_t years)
{
    return years >= 0 && years <= 200;
}

static bool uses_fit(const struct checking *c)
{
    const struct image *i = c->image;
    const struct image_use *u = IMAGE_AT(i, uses, struct image_use);
    for (uint32_t k = 0; k < i->uses.count; k++, u++)
        if (u->recipient >= i->recipients.count || u->activity >= i->activities.count ||
            u->bases > i->bases.count || i->laws.count > i->bases.count - u->bases ||
            !text_fits(c, &u->purpose) || !text_fits(c, &u->category))
            return false;
    const struct image_recipient *r = IMAGE_AT(i, recipients, struct image_recipient);
    for (uint32_t k = 0; k < i->recipients.count; k++)
        if (!text_fits(c, &r[k].name))
            return false;
    const struct image_activity *a = IMAGE_AT(i, activities, struct image_activity);
    for (uint32_t k = 0; k < i->activities.count; k++)
        if (!text_fits(c, &a[k].id) || !text_fits(c, &a[k].recipient) ||
            !text_fits(c, &a[k].purpose) || !text_fits(c, &a[k].obligations[0]) ||
            !text_fits(c, &a[k].obligations[1]))
            return false;
    const uint8_t *bases = IMAGE_AT(i, bases, uint8_t);
    for (uint32_t k = 0; k < i->bases.count; k++)
        if (bases[k] >= IMAGE_BASES)
            return false;
    return true;
}

static bool laws_fit(const struct checking *c)
{
    const struct image *i = c->image;
    const struct image_law *l = IMAGE_AT(i, laws, struct image_law);
    for (uint32_t k = 0; k < i->laws.count; k++)
        if (!text_fits(c, &l[k].id) || !is_age(l[k].guardian_below) || !is_age(l[k].opt_in_below))
            return false;
    const struct image_residence *r = IMAGE_AT(i, residences, struct image_residence);
    for (uint32_t k = 0; k < i->residences.count; k++)
        if (!is_law(c, r[k].law) || !is_age(r[k].guardian_below))
            return false;
    const struct image_territory *t = IMAGE_AT(i, territories, struct image_territory);
    for (uint32_t k = 0; k < i->territories.count; k++)
        if (!is_law(c, t[k].law))
            return false;
    const struct image_guardian *g = IMAGE_AT(i, guardians, struct image_guardian);
    for (uint32_t k = 0; k < i->guardians.count; k++)
        if (!is_law(c, g[k].law) || !is_age(g[k].years))
            return false;
    return is_law(c, i->default_law);
}

bool image_check(const void *bytes, size_t size)
{
    const struct image *i = bytes;
    const size_t covered = offsetof(struct image, uses);
    if (size < sizeof *i || memcmp(i->magic, IMAGE_MAGIC, sizeof i->magic) != 0 ||
        i->size < sizeof *i || i->size > size)
        return false;
    struct checking c = {i, i->size};
    if (i->checksum != permit_checksum((const char *)bytes + covered, i->size - covered) ||
        !lists_fit(&c))
        return false;
    for (int k = 0; k < IMAGE_BASES; k++)
        if (!text_fits(&c, &i->basis_names[k]))
            return false;
    return slots_fit(&c, &i->use_slots, i->uses.count) &&
           slots_fit(&c, &i->recipient_slots, i->recipients.count) && uses_fit(&c) && laws_fit(&c);
}
