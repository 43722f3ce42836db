/*
 * image.h - a compiled policy as one run of bytes that can lie at any address: what a decision
 * needs, found by offsets. Made by consent/image.c, checked once by image_check(), then trusted.
 */
#ifndef LOV_PERMIT_IMAGE_H
#define LOV_PERMIT_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define IMAGE_MAGIC "LOVRULE"
enum { IMAGE_BASES = 8, IMAGE_CODE = 8 };
static const uint32_t IMAGE_EMPTY = UINT32_MAX;

struct image_list {
    uint32_t offset, count; /* in bytes from the start; of items */
};
struct image_text {
    uint32_t offset, length; /* in `strings` */
};

struct image {
    char magic[8];
    uint32_t size, version; /* of the whole, with this header; the policy's */
    uint64_t checksum;      /* of the bytes from `uses` on */
    struct image_list uses, use_slots, recipients, recipient_slots, laws, residences, territories,
        guardians, activities, bases, strings;
    int32_t default_law; /* of residences that no law names */
    uint32_t spare;
    struct image_text basis_names[IMAGE_BASES];
};

/* One (recipient, purpose, category) that policy allows at all. */
struct image_use {
    uint32_t hash;
    uint32_t recipient;  /* position in `recipients` */
    uint32_t activity;   /* position in `activities` */
    uint32_t key;        /* the index's number of it */
    uint32_t notice;     /* the index's number of the notice's id */
    int32_t notice_from; /* the oldest version that suffices; INT32_MAX: there is no notice */
    uint32_t bases;      /* position in `bases` of one byte for each law */
    uint32_t spare;
    struct image_text purpose, category;
};
struct image_recipient {
    int64_t contract_end, safeguards_end, training_end; /* TIME_NONE (INT64_MIN): was not asked */
    int64_t begins;                                     /* the same: long ago */
    struct image_text name;
    uint32_t suspended, hash;
};
struct image_law {
    struct image_text id;
    int32_t guardian_below, opt_in_below; /* years; 0: no rule */
};
struct image_residence { /* by the index's number of the residence */
    int32_t law, guardian_below;
};
/* For residences that came after the image: the first that is the code, or the country in it. */
struct image_territory {
    char code[IMAGE_CODE]; /* zero-padded */
    int32_t law, spare;
};
struct image_guardian {
    char code[IMAGE_CODE];
    int32_t law, years;
};
struct image_activity {
    struct image_text id, recipient, purpose;
    struct image_text obligations[2]; /* [1]: of consumers with no_automated_decision */
};

/* A well-formed image of at most `size` bytes: every offset and number in it leads inside. */
bool image_check(const void *bytes, size_t size);
/* Of a name: its length, its first and its last eight bytes, which is enough to tell a company's
 * own names apart, and takes no loop. */
static inline uint64_t image_word(const char *p, size_t n)
{
    uint64_t first = 0, last = 0;
    if (n >= 8) {
        memcpy(&first, p, 8);
        memcpy(&last, p + n - 8, 8);
    } else if (n >= 4) {
        memcpy(&first, p, 4);
        memcpy(&last, p + n - 4, 4);
    } else if (n) {
        first =
            (uint64_t)(uint8_t)p[0] << 16 | (uint64_t)(uint8_t)p[n / 2] << 8 | (uint8_t)p[n - 1];
    }
    return (first ^ (last << 23 | last >> 41) ^ n) * 0x9E3779B97F4A7C15u;
}
/* How slots are found: slot = hash & (count - 1), then the next. */
static inline uint32_t image_hash(const char *recipient, size_t recipient_n, const char *purpose,
                                  size_t purpose_n, const char *category, size_t category_n)
{
    uint64_t h = image_word(recipient, recipient_n);
    h = (h << 21 | h >> 43) + image_word(purpose, purpose_n);
    h = (h << 21 | h >> 43) + image_word(category, category_n);
    h *= 0xBF58476D1CE4E5B9u;
    return (uint32_t)(h >> 32);
}

#define IMAGE_AT(image, list, type)                                                                \
    ((const type *)(const void *)((const char *)(image) + (image)->list.offset))

#endif
