/*  index.h - a fixed open-addressing index from keys to rows of a table
 *
 *  Owns: an array of row numbers. The keys stay in the rows; the index asks `same` whether a row
 *  has a key, so it never holds a copy that could differ. Sized once for at most `rows_max` rows,
 *  kept at most half full, linear probing, deletion by shifting back: no tombstones, no growth, no
 *  allocation after _new. Must never know what the rows are.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_INDEX_H
#define DN_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DN_INDEX_NONE UINT32_MAX

typedef struct dn_index dn_index_t;

/*  Does row `row` of `table` have `key`? */
typedef bool (dn_index_same_fn) (const void *table, uint32_t row, const void *key);

/*  Hash of the key that row `row` has; the same as the caller gives to the functions below. */
typedef uint64_t (dn_index_hash_fn) (const void *table, uint32_t row);

/*  Owned; NULL when memory is short. `table` is borrowed and handed to the two functions. */
dn_index_t *dn_index_new (uint32_t rows_max, const void *table, dn_index_same_fn *same,
                          dn_index_hash_fn *hash);
void        dn_index_destroy (dn_index_t **self_p);

/*  The row with this key, or DN_INDEX_NONE. */
uint32_t dn_index_find (const dn_index_t *self, uint64_t hash, const void *key);

/*  Put a row whose key is not in yet. Asserts that fewer than rows_max are in. */
void dn_index_put (dn_index_t *self, uint64_t hash, uint32_t row);

/*  Take a row out while its key still stands in the table. Asserts that it is in. */
void dn_index_remove (dn_index_t *self, uint64_t hash, uint32_t row);

/*  Rows that are in. */
uint32_t dn_index_count (const dn_index_t *self);

/*  A good hash of a few bytes (FNV-1a, then the finisher of MurmurHash3, both public domain). Keys
 *  may be chosen by a peer: an attacker who collides them slows his manager, so sessions, which are
 *  random and checked for nothing else, are mixed with `seed`, a number that no peer is told. */
uint64_t dn_hash (uint64_t seed, const void *bytes, size_t n);

/*  The same for a session (16 bytes) with a number: one multiplication a word. Numbers in a row
 *  get places near each other, so that the next one is found in the processor's cache. */
uint64_t dn_hash_key (uint64_t seed, const uint8_t session[16], uint64_t number);

#endif
