/*  pool.h - rows of a fixed table, handed out as handles that go stale instead of wrong
 *
 *  Owns: which rows are in use and the generation of each. The rows themselves are an array of the
 *  caller's. A handle is generation and row; after _give it finds nothing, however often the row is
 *  used again (2^32 times). Zero is no handle. No allocation after _new.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_POOL_H
#define DN_POOL_H

#include <stdbool.h>
#include <stdint.h>

#define DN_POOL_NONE UINT32_MAX

typedef struct dn_pool dn_pool_t;

/*  Owned; NULL when memory is short. 1 to 2^31 rows. */
dn_pool_t *dn_pool_new (uint32_t rows_max);
void       dn_pool_destroy (dn_pool_t **self_p);

/*  A free row; 0 when all are in use. The row given back last comes first: it is warm. */
uint64_t dn_pool_take (dn_pool_t *self);

/*  Give a row back. Asserts that the handle is current. */
void dn_pool_give (dn_pool_t *self, uint64_t handle);

/*  The row of a handle, or DN_POOL_NONE when it is stale or zero. */
uint32_t dn_pool_row (const dn_pool_t *self, uint64_t handle);

/*  The current handle of a row in use; 0 when the row is free. */
uint64_t dn_pool_handle (const dn_pool_t *self, uint32_t row);

uint32_t dn_pool_used (const dn_pool_t *self);
uint32_t dn_pool_rows_max (const dn_pool_t *self);

/*  The next row in use at or after `row`, or DN_POOL_NONE: for walks over the table. */
uint32_t dn_pool_next (const dn_pool_t *self, uint32_t row);

#endif
