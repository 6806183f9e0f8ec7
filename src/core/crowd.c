/*  crowd.c - a ring of sessions and an index into it
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "core/crowd.h"

#include "base/index.h"

#include <stdlib.h>

struct dn_crowd {
    uint64_t      seed;
    uint32_t      max;
    uint32_t      count;
    uint32_t      oldest; /* row that is taken next when all are */
    bool          overflowed;
    dn_index_t   *index;
    dn_session_t *row;
};

static uint64_t
hash_session (const dn_crowd_t *self, const dn_session_t *session)
{
    return dn_hash_key (self->seed, session->bytes, 0);
}

static bool
same_row (const void *table, uint32_t row, const void *key)
{
    return dn_session_eq (&((const dn_crowd_t *) table)->row[row], key);
}

static uint64_t
hash_row (const void *table, uint32_t row)
{
    const dn_crowd_t *self = table;
    return hash_session (self, &self->row[row]);
}

dn_crowd_t *
dn_crowd_new (uint32_t sessions_max, uint64_t seed)
{
    dn_crowd_t *self = calloc (1, sizeof *self);
    if (!self)
        return NULL;
    self->seed = seed;
    self->max = sessions_max;
    self->index = dn_index_new (sessions_max, self, same_row, hash_row);
    self->row = calloc (sessions_max, sizeof *self->row);
    if (!self->index || !self->row)
        dn_crowd_destroy (&self);
    return self;
}

void
dn_crowd_destroy (dn_crowd_t **self_p)
{
    dn_crowd_t *self = *self_p;
    if (!self)
        return;
    dn_index_destroy (&self->index);
    free (self->row);
    free (self);
    *self_p = NULL;
}

void
dn_crowd_add (dn_crowd_t *self, const dn_session_t *session)
{
    if (dn_crowd_has (self, session))
        return;
    uint32_t row = self->count;
    if (self->count == self->max) {
        row = self->oldest;
        self->oldest = (self->oldest + 1) % self->max;
        self->overflowed = true;
        dn_index_remove (self->index, hash_row (self, row), row);
    } else
        self->count++;
    self->row[row] = *session;
    dn_index_put (self->index, hash_session (self, session), row);
}

bool
dn_crowd_has (const dn_crowd_t *self, const dn_session_t *session)
{
    return dn_index_find (self->index, hash_session (self, session), session) != DN_INDEX_NONE;
}

uint32_t
dn_crowd_count (const dn_crowd_t *self)
{
    return self->count;
}

bool
dn_crowd_overflowed (const dn_crowd_t *self)
{
    return self->overflowed;
}

const dn_session_t *
dn_crowd_at (const dn_crowd_t *self, uint32_t i)
{
    return &self->row[i];
}
