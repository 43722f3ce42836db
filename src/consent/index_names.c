/* index_names.c - the names that the index knows by number. Numbers stand in permits, so a name
 * keeps its number for the life of the file: names are appended to a section of it and read back
 * into tables in memory at opening. A key is its group's number and one of 16 positions: the
 * categories of one recipient and purpose, so that a consent for several of them is one permit with
 * a mask. When a group's positions are used up the next category opens another one. */
#include <stdlib.h>

#include "consent/index_private.h"

enum kind { KIND_RESIDENCE, KIND_NOTICE, KIND_KEY };
enum { FIRST_TABLE = 256, POSITIONS = 1 << GROUP_BITS, LONGEST = 255 };
static const uint32_t EMPTY = UINT32_MAX;

struct record {
    uint8_t kind, length; /* of the text that follows, padded to 8 */
    uint16_t spare;
    uint32_t number;
};

void table_init(struct table *t, size_t size)
{
    t->size = size;
    t->slot = mem_alloc(size * sizeof *t->slot);
    memset(t->slot, 0xFF, size * sizeof *t->slot);
}

void table_put(struct table *t, uint64_t hash, uint32_t position)
{
    size_t i = hash & (t->size - 1);
    while (t->slot[i] != EMPTY)
        i = (i + 1) & (t->size - 1);
    t->slot[i] = position;
}

static struct str text_at(const struct name_table *names, uint32_t position)
{
    return (struct str){names->text[position], names->length[position]};
}

/* The name's number where it is known. */
static uint32_t *find(struct name_table *names, struct str name)
{
    if (!names->table.slot)
        return NULL;
    size_t mask = names->table.size - 1;
    for (size_t i = hash64(name) & mask;; i = (i + 1) & mask) {
        uint32_t position = names->table.slot[i];
        if (position == EMPTY)
            return NULL;
        if (str_eq(name, text_at(names, position)))
            return &names->number[position];
    }
}

static void grow(struct name_table *names)
{
    size_t size = names->table.slot ? names->table.size * 2 : FIRST_TABLE;
    free(names->table.slot);
    table_init(&names->table, size);
    for (uint32_t i = 0; i < names->count; i++)
        table_put(&names->table, hash64(text_at(names, i)), i);
}

static void add(struct name_table *names, struct str name, uint32_t number)
{
    if ((size_t)names->count * 2 >= names->table.size)
        grow(names);
    uint32_t n = names->count++;
    names->text = mem_grow(names->text, names->count, sizeof *names->text);
    names->length = mem_grow(names->length, names->count, sizeof *names->length);
    names->number = mem_grow(names->number, names->count, sizeof *names->number);
    names->text[n] = str_dup(name);
    names->length[n] = name.n;
    names->number[n] = number;
    table_put(&names->table, hash64(name), n);
}

static void name_table_free(struct name_table *names)
{
    for (uint32_t i = 0; i < names->count; i++)
        free(names->text[i]);
    free(names->text);
    free(names->length);
    free(names->number);
    free(names->table.slot);
    *names = (struct name_table){0};
}

void index_names_free(struct index *ix)
{
    name_table_free(&ix->residences);
    name_table_free(&ix->notices);
    name_table_free(&ix->keys);
    name_table_free(&ix->groups);
    ix->group_count = 0;
}

/* ---- in the file ---- */

static size_t record_size(size_t length)
{
    return (sizeof(struct record) + length + 7) & ~(size_t)7;
}

static void append(struct index *ix, enum kind kind, struct str text, uint32_t number)
{
    if (text.n > LONGEST)
        bug("name of %zu bytes", text.n);
    uint64_t used = word_get(&ix->h->names_used);
    struct record r = {.kind = (uint8_t)kind, .length = (uint8_t)text.n, .number = number};
    if (!index_room(ix, SECTION_NAMES, used + record_size(text.n)))
        return;
    uint8_t *to = ix->base + ix->h->fixed.section[SECTION_NAMES].offset + used;
    memcpy(to, &r, sizeof r);
    memcpy(to + sizeof r, text.p, text.n);
    /* Counted last: a name is there or it is not, whenever this process ends. */
    atomic_store_explicit(&ix->h->names_used, used + record_size(text.n), memory_order_release);
}

/* "recipient/purpose/" of "recipient/purpose/category/". */
static struct str group_text(struct str key)
{
    struct str rest = key;
    str_cut(&rest, '/');
    str_cut(&rest, '/');
    return (struct str){key.p, (size_t)(rest.p - key.p)};
}

/* groups: a recipient and purpose, and the next free key of its newest group. */
static void note_group(struct index *ix, struct str key, uint32_t number)
{
    struct str text = group_text(key);
    uint32_t *next = find(&ix->groups, text);
    if (next)
        *next = number + 1;
    else
        add(&ix->groups, text, number + 1);
    if (number >> GROUP_BITS >= ix->group_count)
        ix->group_count = (number >> GROUP_BITS) + 1;
}

void index_names_load(struct index *ix)
{
    const uint8_t *from = ix->base + ix->h->fixed.section[SECTION_NAMES].offset;
    uint64_t used = word_get(&ix->h->names_used);
    for (uint64_t at = 0; at + sizeof(struct record) <= used;) {
        struct record r;
        memcpy(&r, from + at, sizeof r);
        struct str text = {(const char *)from + at + sizeof r, r.length};
        if (r.kind == KIND_RESIDENCE)
            add(&ix->residences, text, r.number);
        else if (r.kind == KIND_NOTICE)
            add(&ix->notices, text, r.number);
        else
            add(&ix->keys, text, r.number);
        if (r.kind == KIND_KEY)
            note_group(ix, text, r.number);
        at += record_size(r.length);
    }
}

/* ---- numbers ---- */

uint32_t index_residence(struct index *ix, struct str code)
{
    char padded[8] = {0};
    uint64_t word;
    uint32_t *known = find(&ix->residences, code);
    if (known)
        return *known;
    uint32_t number = ix->residences.count;
    if (code.n > sizeof padded || number >= ix->map.residence_limit)
        bug("residence %.*s has no place in the index", STR_ARG(code));
    if (code.n)
        memcpy(padded, code.p, code.n);
    memcpy(&word, padded, sizeof word);
    add(&ix->residences, code, number);
    append(ix, KIND_RESIDENCE, code, number);
    if (index_room(ix, SECTION_RESIDENCES, ((uint64_t)number + 1) * 8))
        word_set((_Atomic uint64_t *)(uintptr_t)(ix->map.residences + number), word);
    atomic_store_explicit(&ix->h->residences, (uint64_t)number + 1, memory_order_release);
    return number;
}

uint32_t index_notice(struct index *ix, struct str id)
{
    uint32_t *known = find(&ix->notices, id);
    if (known)
        return *known;
    uint32_t number = ix->notices.count;
    add(&ix->notices, id, number);
    append(ix, KIND_NOTICE, id, number);
    return number;
}

uint32_t index_key(struct index *ix, struct str recipient, struct str purpose, struct str category)
{
    char bytes[256];
    size_t n = 0;
    struct str parts[3] = {recipient, purpose, category};
    for (int i = 0; i < 3; i++) {
        if (parts[i].n > 80)
            bug("name too long");
        memcpy(bytes + n, parts[i].p, parts[i].n);
        n += parts[i].n;
        bytes[n++] = '/';
    }
    struct str text = {bytes, n};
    uint32_t *known = find(&ix->keys, text);
    if (known)
        return *known;
    uint32_t *next = find(&ix->groups, group_text(text));
    uint32_t number = next && *next % POSITIONS != 0 ? *next : ix->group_count << GROUP_BITS;
    add(&ix->keys, text, number);
    note_group(ix, text, number);
    append(ix, KIND_KEY, text, number);
    return number;
}

uint32_t index_residence_count(const struct index *ix)
{
    return (uint32_t)atomic_load_explicit(&ix->h->residences, memory_order_acquire);
}

struct str index_residence_name(const struct index *ix, uint32_t number)
{
    if (number >= ix->residences.count)
        bug("unknown residence %u", number);
    return text_at(&ix->residences, number);
}
