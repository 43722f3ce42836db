/* explain.c - a decision in words, as JSON, written into the caller's memory. */
#include "permit/handle.h"

struct writing {
    char *out;
    size_t size, n;
};

static void add(struct writing *w, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++, w->n++)
        if (w->n + 1 < w->size)
            w->out[w->n] = p[i];
}

static void add_text(struct writing *w, const char *text)
{
    add(w, text, strlen(text));
}

static void add_number(struct writing *w, int64_t v)
{
    char digits[24];
    int i = sizeof digits;
    uint64_t left = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    do
        digits[--i] = (char)('0' + left % 10);
    while (left /= 10);
    if (v < 0)
        digits[--i] = '-';
    add(w, digits + i, sizeof digits - (size_t)i);
}

/* Names and sentences of ours: nothing in them needs escaping but what image.c would refuse. */
static void add_member(struct writing *w, const char *name, const char *p, size_t n)
{
    add_text(w, ",\"");
    add_text(w, name);
    add_text(w, "\":");
    if (!p) {
        add_text(w, "null");
        return;
    }
    add_text(w, "\"");
    for (size_t i = 0; i < n; i++) {
        char c = p[i];
        if (c == '"' || c == '\\')
            add(w, "\\", 1);
        if ((unsigned char)c >= ' ')
            add(w, &c, 1);
    }
    add_text(w, "\"");
}

static void add_image_member(struct writing *w, const char *name, const struct image *image,
                             const struct image_text *t)
{
    const char *p = t ? (const char *)image + image->strings.offset + t->offset : NULL;
    add_member(w, name, p, t ? t->length : 0);
}

/* Numbers of a decision made under another version mean nothing now. */
static void add_policy(struct writing *w, const struct image *image, const struct lov_decision *d)
{
    const struct image_activity *a = NULL;
    const struct image_law *law = NULL;
    const struct image_text *basis = NULL;
    if (image && (int32_t)image->version == d->policy_version) {
        if (d->activity >= 0 && (uint32_t)d->activity < image->activities.count)
            a = IMAGE_AT(image, activities, struct image_activity) + d->activity;
        if (d->law >= 0 && (uint32_t)d->law < image->laws.count)
            law = IMAGE_AT(image, laws, struct image_law) + d->law;
        if (d->basis > 0 && d->basis < IMAGE_BASES)
            basis = &image->basis_names[d->basis];
    }
    add_image_member(w, "basis", image, basis);
    add_image_member(w, "law", image, law ? &law->id : NULL);
    add_image_member(w, "activity", image, a ? &a->id : NULL);
    if (a && d->permit == 1) {
        const struct image_text *t = &a->obligations[d->no_automated_decision != 0];
        add_text(w, ",\"obligations\":");
        add(w, (const char *)image + image->strings.offset + t->offset, t->length);
    }
}

size_t lov_explain(struct lov *lov, const struct lov_decision *d, char *out, size_t size)
{
    struct writing w = {out, out ? size : 0, 0};
    const struct reading_policy *policy = NULL;
    if (!d)
        return 0;
    struct mapping *m = lov ? atomic_load_explicit(&lov->mapping, memory_order_acquire) : NULL;
    if (m)
        policy = handle_policy(lov, m);
    const char *name = lov_reason_name(d->reason), *sentence = lov_reason_text(d->reason);
    add_text(&w, d->permit == 1 ? "{\"permit\":true" : "{\"permit\":false");
    add_member(&w, "reason", name, name ? strlen(name) : 0);
    add_member(&w, "reason_text", sentence, sentence ? strlen(sentence) : 0);
    add_policy(&w, policy ? policy->image : NULL, d);
    add_text(&w, ",\"consent\":");
    if (d->consent < 0)
        add_text(&w, "null");
    else
        add_number(&w, d->consent);
    add_text(&w, ",\"policy_version\":");
    add_number(&w, d->policy_version);
    add_text(&w, "}");
    if (w.size)
        w.out[w.n < w.size ? w.n : w.size - 1] = '\0';
    return w.n;
}
