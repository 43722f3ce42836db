/*
 * aggregate.h - sums over consumers, of which none can be told apart. Private.
 *
 * A view "aggregate" divides records by the values of its groups, by the currencies of its amounts,
 * and by which of its measured fields a record has. Out of each division blocks are made: the
 * records of at least k consumers, summed up once and never again. Every answer, whatever is asked,
 * adds whole blocks up. A record is in one block of a recipient at most, and a block never changes,
 * so that no two answers, nor any number of them at any times, differ by less than a block: there
 * is nothing else to find by subtracting them. Records that do not fill a block wait, and are in no
 * sum, nor in any total.
 */
#ifndef LOV_VAULT_AGGREGATE_H
#define LOV_VAULT_AGGREGATE_H

#include "vault/private.h"

/* Sums in millionths: 5,000 numbers of 2^53 do not fit in 64 bits. */
__extension__ typedef __int128 wide;

enum { MEASURES_MAX = 16, BLOCK_RECORDS = 5000, RUN_RECORDS = 100000 };

/* What a view measures and groups by. */
struct shape {
    const struct policy_activity *activity;
    const struct policy_category *category;
    const struct policy_view_part *part;
    const struct policy_view_field *groups[8], *measures[MEASURES_MAX];
    struct policy_view_field whole[MEASURES_MAX]; /* of a view that keeps everything */
    size_t group_count, measure_count;
    char form[33];
};
void shape_init(struct shape *s, const struct policy_activity *activity,
                const struct policy_category *category);
/* Name of the k-th key of a block: the groups, then "<field>.currency" of each measured amount;
 * appended. False beyond the last. */
bool shape_key_name(const struct shape *s, size_t k, struct buf *out);

/* ---- wide.c ---- */

void wide_write(wide n, struct buf *out);         /* as a whole number */
bool wide_read(struct str text, wide *out);       /* the reverse; false on anything else */
void wide_write_decimal(wide n, struct buf *out); /* millionths as "12.5" */

/* ---- noise.c ---- */

/* Discrete Laplace of scale t/s, exactly, with random bits of OpenSSL and no floating point
 * (Canonne, Kamath and Steinke 2020, algorithm 2). t and s are above 0, t below 2^62. */
int64_t noise_laplace(int64_t t, int64_t s);

#endif
