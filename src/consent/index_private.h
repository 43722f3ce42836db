/*
 * index_private.h - what the files of the index's writer share.
 */
#ifndef LOV_CONSENT_INDEX_PRIVATE_H
#define LOV_CONSENT_INDEX_PRIVATE_H

#include <pthread.h>

#include "consent/index.h"
#include "consent/sets.h"

enum { CLASSES = 24, CID_WORDS = 5, CIDS_AT = 64 };

/* Positions of items by hash: open addressing, a power of two. */
struct table {
    uint32_t *slot;
    size_t size;
};

struct name_table {
    char **text;
    size_t *length;
    uint32_t *number; /* what the name stands for */
    uint32_t count;
    struct table table;
};

/* A place for blocks of one capacity that are free again. */
struct free_list {
    uint32_t *ref;
    size_t count, cap;
};

struct entry_place {
    uint64_t line;
    int entry;
};

/* A permit as it is packed: a term, its end and its consent. */
struct packed {
    struct permit_term term;
    int64_t expires_at, consent;
};

struct working {
    struct index_consumer out; /* first: what callers hold */
    bool open, is_new;
    uint64_t tag, tag_before; /* tag_before: what the table that is being filled has it under */
    uint32_t address, number, block, block_room; /* block_room 0: none */
    struct entry_place place;
    struct packed *packed;
    size_t count, cap;
    int64_t permits_before;
};

/* The table that is being filled to take over from the one in use. */
struct growth {
    bool active;
    uint64_t lines, cursor; /* lines of the old one before `cursor` are in the new one too */
};

struct index {
    pthread_mutex_t lock; /* writers */
    int fd, cid_fd;
    struct log *log;
    uint8_t *base, *cid_base;
    size_t size, cid_size;
    struct permit_header *h;
    struct permit_map map;
    _Atomic uint32_t *cids;
    uint64_t cid_limit;
    uint32_t shards;
    uint64_t allocated[SECTION_COUNT], cid_allocated; /* bytes that the disk has given */
    struct name_table residences, notices, keys, groups;
    uint32_t group_count;
    struct table terms;
    struct free_list free_blocks[CLASSES];
    struct working work;
    struct growth growth;
    struct sets *sets;
    struct table by_cid;
    bool was_clean, touched;
    pthread_t beat;
    bool beating;
    pthread_mutex_t beat_lock;
    pthread_cond_t beat_wake;
    bool stopping; /* under beat_lock */
};

/* ---- index_file.c ---- */

/* Makes sure that `bytes` of the section can be written; false: the index is broken now. */
bool index_room(struct index *ix, enum permit_section_id section, uint64_t bytes);
bool index_cid_room(struct index *ix, uint64_t count);
void index_break(struct index *ix, const char *what);
/* Gives the section's memory and disk back: it reads as zero. False where the file system can't. */
bool index_release(struct index *ix, enum permit_section_id section);
/* Asks for huge pages where the table is large enough to gain from them. */
void index_want_huge(struct index *ix, enum permit_section_id section, uint64_t bytes);
bool index_fresh_cids(struct index *ix, struct err *err);

/* ---- index_names.c ---- */

void table_init(struct table *t, size_t size);
void table_put(struct table *t, uint64_t hash, uint32_t position);
void index_names_load(struct index *ix);
void index_names_free(struct index *ix);

/* ---- index_pack.c ---- */

/* Reads the entry at w->place into w->out and w->packed. */
void index_unpack(struct index *ix, struct working *w);
/* Writes w into its entry, as one change for readers. */
void index_pack(struct index *ix, struct working *w);
void index_terms_load(struct index *ix);
void index_pack_free(struct index *ix);
uint32_t index_number_at(const struct index *ix, const _Atomic uint64_t *line, int entry);

/* ---- index_table.c ---- */

bool index_seek(const struct index *ix, uint32_t address, uint64_t tag, struct entry_place *out);
bool index_seek_number(const struct index *ix, uint32_t address, uint32_t number,
                       struct entry_place *out);
/* After what `turn` counts: readers look at that alone. */
static inline void index_turn(struct index *ix)
{
    atomic_fetch_add_explicit(&ix->h->turn, 1, memory_order_acq_rel);
}
/* Where a new consumer goes; false: the index is broken. */
bool index_place(struct index *ix, uint32_t address, struct entry_place *out);
_Atomic uint64_t *index_line(const struct index *ix, uint64_t line);
/* After a change: keeps the table that is being filled alike, and moves a part over. */
void index_mirror(struct index *ix, const struct working *w);
void index_grow(struct index *ix);
bool index_first_table(struct index *ix, uint64_t lines);

#endif
