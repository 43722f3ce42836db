/*
 * decimal.h - decimal numbers as text, without loss. Thread-safe, no state.
 */
#ifndef LOV_BASE_DECIMAL_H
#define LOV_BASE_DECIMAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum { DECIMAL_ONE = 1000000 }; /* 1, in the unit of decimal_parse() */

/* -?(0|[1-9][0-9]{0,11})(\.[0-9]{1,6})?, in millionths, which 63 bits hold. False, and *out
 * untouched, on anything else. */
bool decimal_parse(struct str text, int64_t *out);
/* The shortest text that decimal_parse() reads as `millionths`, appended; at most 10^18 of them. */
void decimal_format(int64_t millionths, struct buf *out);

#endif
