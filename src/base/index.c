/*  index.c - linear probing over row numbers
 *
 *  Deletion shifts the rows behind the gap back (Knuth, The Art of Computer Programming, vol. 3,
 *  6.4, algorithm R), so a look-up ends at the first empty place however long the table has lived.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "base/index.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

#define NEAR 8 /* numbers that share a group of places: half a line of a processor's cache */

struct dn_index {
    const void       *table; /* borrowed */
    dn_index_same_fn *same;
    dn_index_hash_fn *hash;
    uint32_t          rows_max;
    uint32_t          count;
    uint32_t          mask;    /* places - 1; places are a power of two >= 2 * rows_max */
    uint32_t          place[]; /* row, or DN_INDEX_NONE */
};

dn_index_t *
dn_index_new (uint32_t rows_max, const void *table, dn_index_same_fn *same, dn_index_hash_fn *hash)
{
    uint32_t places = 8;
    while (places < 2ull * rows_max && places < 1u << 31)
        places *= 2;
    dn_index_t *self = malloc (sizeof *self + places * sizeof self->place[0]);
    if (!self)
        return NULL;

    *self = (dn_index_t){table, same, hash, rows_max, 0, places - 1};
    memset (self->place, 0xff, places * sizeof self->place[0]);
    return self;
}

void
dn_index_destroy (dn_index_t **self_p)
{
    free (*self_p);
    *self_p = NULL;
}

uint32_t
dn_index_find (const dn_index_t *self, uint64_t hash, const void *key)
{
    for (uint32_t i = (uint32_t) hash & self->mask; self->place[i] != DN_INDEX_NONE;
         i = (i + 1) & self->mask)
        if (self->same (self->table, self->place[i], key))
            return self->place[i];
    return DN_INDEX_NONE;
}

void
dn_index_put (dn_index_t *self, uint64_t hash, uint32_t row)
{
    dn_check (self->count < self->rows_max);
    uint32_t i = (uint32_t) hash & self->mask;
    while (self->place[i] != DN_INDEX_NONE)
        i = (i + 1) & self->mask;
    self->place[i] = row;
    self->count++;
}

void
dn_index_remove (dn_index_t *self, uint64_t hash, uint32_t row)
{
    uint32_t gap = (uint32_t) hash & self->mask;
    while (self->place[gap] != row) {
        dn_check (self->place[gap] != DN_INDEX_NONE);
        gap = (gap + 1) & self->mask;
    }
    self->place[gap] = DN_INDEX_NONE;
    self->count--;

    for (uint32_t i = (gap + 1) & self->mask; self->place[i] != DN_INDEX_NONE;
         i = (i + 1) & self->mask) {
        uint32_t home = (uint32_t) self->hash (self->table, self->place[i]) & self->mask;
        bool     stays = ((i - home) & self->mask) < ((i - gap) & self->mask);
        if (stays)
            continue;
        self->place[gap] = self->place[i];
        self->place[i] = DN_INDEX_NONE;
        gap = i;
    }
}

uint32_t
dn_index_count (const dn_index_t *self)
{
    return self->count;
}

static uint64_t
finish (uint64_t h)
{
    h ^= h >> 33;
    h *= 0xff51afd7ed558ccdull;
    h ^= h >> 33;
    h *= 0xc4ceb9fe1a85ec53ull;
    return h ^ h >> 33;
}

uint64_t
dn_hash (uint64_t seed, const void *bytes, size_t n)
{
    const uint8_t *at = bytes;
    uint64_t       h = 0xcbf29ce484222325ull ^ seed;
    for (size_t i = 0; i < n; i++)
        h = (h ^ at[i]) * 0x100000001b3ull;
    return finish (h);
}

uint64_t
dn_hash_key (uint64_t seed, const uint8_t session[16], uint64_t number)
{
    uint64_t a, b;
    memcpy (&a, session, 8);
    memcpy (&b, session + 8, 8);
    uint64_t group = finish (b + number / NEAR * 0x9e3779b97f4a7c15ull);
    return finish (finish (a ^ seed) + group) ^ number % NEAR;
}
