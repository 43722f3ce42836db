/*
 * sketch.h - what is usual: the distribution of a field's values in bins of 2 %, from which median
 * and spread are read. Private to the vault.
 *
 * Bins grow with the value (DDSketch; Masson, Rim and Lee, PVLDB 12(12), 2019), so that a quantile
 * is within 1 % of a value that was added, or within 1 of a small one. Two sketches are merged by
 * adding their bins, in any order with the same result; a value that was added can be taken out
 * again. A sketch holds counts and no values. Not thread-safe.
 */
#ifndef LOV_VAULT_SKETCH_H
#define LOV_VAULT_SKETCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct sketch;
struct sketch *sketch_new(void);
void sketch_free(struct sketch *s); /* NULL is nothing */

void sketch_add(struct sketch *s, int64_t value);
/* Nothing happens where its bin is empty. */
void sketch_remove(struct sketch *s, int64_t value);
void sketch_merge(struct sketch *into, const struct sketch *from);
int64_t sketch_count(const struct sketch *s);
/* The value of that rank, 0 <= q <= 1; 0 of an empty sketch. */
int64_t sketch_quantile(const struct sketch *s, double q);
/* The median of the distances from `center`: the MAD where that is the median. */
int64_t sketch_distance(const struct sketch *s, int64_t center);
/* Are values positive, but for one in twenty at most? sketch_ratio() is the median of
 * |ln(value / center)| of those that are. */
bool sketch_is_positive(const struct sketch *s);
double sketch_ratio(const struct sketch *s, int64_t center);

/* As bytes, appended: the same for the same counts. */
void sketch_write(const struct sketch *s, struct buf *out);
/* NULL unless `bytes` is what sketch_write() writes. */
struct sketch *sketch_read(struct str bytes);

#endif
