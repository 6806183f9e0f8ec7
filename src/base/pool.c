/*  pool.c - a free list and a generation for each row
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "base/pool.h"

#include "base/check.h"

#include <stdlib.h>

#define IN_USE (DN_POOL_NONE - 1) /* instead of a link of the free list */

struct dn_pool {
    uint32_t rows_max;
    uint32_t used;
    uint32_t high;     /* rows that were ever in use: walks end here */
    uint32_t free_row; /* head of the free list, or DN_POOL_NONE */
    struct {
        uint32_t generation; /* 0 only before first use */
        uint32_t next;       /* of the free list, DN_POOL_NONE at its end, or IN_USE */
    } row[];
};

dn_pool_t *
dn_pool_new (uint32_t rows_max)
{
    dn_check (rows_max > 0 && rows_max <= 1u << 31);
    dn_pool_t *self = calloc (1, sizeof *self + rows_max * sizeof self->row[0]);
    if (!self)
        return NULL;
    self->rows_max = rows_max;
    for (uint32_t i = 0; i < rows_max; i++)
        self->row[i].next = i + 1 < rows_max ? i + 1 : DN_POOL_NONE;
    return self;
}

void
dn_pool_destroy (dn_pool_t **self_p)
{
    free (*self_p);
    *self_p = NULL;
}

static uint64_t
handle_of (const dn_pool_t *self, uint32_t row)
{
    return (uint64_t) self->row[row].generation << 32 | row;
}

uint64_t
dn_pool_take (dn_pool_t *self)
{
    uint32_t row = self->free_row;
    if (row == DN_POOL_NONE)
        return 0;
    self->free_row = self->row[row].next;
    self->row[row].next = IN_USE;
    if (++self->row[row].generation == 0)
        self->row[row].generation = 1;
    self->used++;
    if (row >= self->high)
        self->high = row + 1;
    return handle_of (self, row);
}

void
dn_pool_give (dn_pool_t *self, uint64_t handle)
{
    uint32_t row = dn_pool_row (self, handle);
    dn_check (row != DN_POOL_NONE);
    self->row[row].next = self->free_row;
    self->free_row = row;
    self->used--;
}

uint32_t
dn_pool_row (const dn_pool_t *self, uint64_t handle)
{
    uint32_t row = (uint32_t) handle;
    if (handle == 0 || row >= self->rows_max || self->row[row].next != IN_USE ||
        self->row[row].generation != handle >> 32)
        return DN_POOL_NONE;
    return row;
}

uint64_t
dn_pool_handle (const dn_pool_t *self, uint32_t row)
{
    return row < self->rows_max && self->row[row].next == IN_USE ? handle_of (self, row) : 0;
}

uint32_t
dn_pool_used (const dn_pool_t *self)
{
    return self->used;
}

uint32_t
dn_pool_rows_max (const dn_pool_t *self)
{
    return self->rows_max;
}

uint32_t
dn_pool_next (const dn_pool_t *self, uint32_t row)
{
    while (row < self->high && self->row[row].next != IN_USE)
        row++;
    return row < self->high ? row : DN_POOL_NONE;
}
