/*
 * stats.h - what is usual for the numbers of each category, kept while records come in. Private to
 * the vault; any thread.
 *
 * A value is unusual when it is more than four robust standard deviations (1.4826 MAD) from the
 * median: of the logarithm where values are positive, as amounts of money are, which spread by
 * factors; there nothing at all is never unusual, and less than nothing is. Nothing is unusual
 * among fewer than a hundred.
 *
 * Statistics are not the truth about anybody: they are saved now and then, so that a crash forgets
 * the last minute, and what was written and erased stays counted.
 */
#ifndef LOV_VAULT_STATS_H
#define LOV_VAULT_STATS_H

#include "vault/check.h"

struct stats;
int stats_open(struct db *lov, struct stats **out, struct err *err);
void stats_close(struct stats *s);
/* Looks at each number of the record, adds what is unusual to the findings, and counts the record
 * where `count`. */
void stats_check(struct stats *s, const struct parsed *p, bool count, struct findings *out);
/* Writes what changed since the last time; in a write job. */
int stats_save(struct stats *s, struct db *lov, uint32_t shard, int64_t now, struct err *err);

#endif
