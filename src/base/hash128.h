/*
 * hash128.h - 16 bytes that a keyed hash gives.
 */
#ifndef LOV_BASE_HASH128_H
#define LOV_BASE_HASH128_H

#include <stdint.h>

struct hash128 {
    uint8_t b[16];
};

#endif
