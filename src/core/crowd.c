/*  crowd.c - a ring of sessions and an index into it
 *
 *  Number n stands in row (n - 1) modulo the size. Whoever is renewed leaves a row behind that
 *  holds the zero session and is not in the index.
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
    uint32_t      newest; /* number given last */
    uint32_t      lost;   /* the last one that went out for want of a place; 0: none */
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

static uint32_t
find (const dn_crowd_t *self, const dn_session_t *session)
{
    return dn_index_find (self->index, hash_session (self, session), session);
}

static void
clear (dn_crowd_t *self, uint32_t row)
{
    dn_index_remove (self->index, hash_row (self, row), row);
    self->row[row] = (dn_session_t){{0}};
    self->count--;
}

static void
put (dn_crowd_t *self, const dn_session_t *session)
{
    uint32_t row = self->newest++ % self->max;
    if (!dn_session_zero (&self->row[row])) {
        self->lost = self->newest - self->max;
        clear (self, row);
    }
    self->row[row] = *session;
    self->count++;
    dn_index_put (self->index, hash_session (self, session), row);
}

void
dn_crowd_add (dn_crowd_t *self, const dn_session_t *session)
{
    if (!dn_session_zero (session) && !dn_crowd_has (self, session))
        put (self, session);
}

void
dn_crowd_renew (dn_crowd_t *self, const dn_session_t *session)
{
    if (dn_session_zero (session))
        return;
    dn_session_t who = *session; /* it may be the row that is cleared */
    uint32_t     row = find (self, &who);
    if (row != DN_INDEX_NONE)
        clear (self, row);
    put (self, &who);
}

bool
dn_crowd_has (const dn_crowd_t *self, const dn_session_t *session)
{
    return find (self, session) != DN_INDEX_NONE;
}

uint32_t
dn_crowd_count (const dn_crowd_t *self)
{
    return self->count;
}

uint32_t
dn_crowd_newest (const dn_crowd_t *self)
{
    return self->newest;
}

uint32_t
dn_crowd_lost (const dn_crowd_t *self)
{
    return self->lost;
}

uint32_t
dn_crowd_number (const dn_crowd_t *self, const dn_session_t *session)
{
    uint32_t row = find (self, session);
    if (row == DN_INDEX_NONE)
        return 0;
    uint32_t last = (self->newest - 1) % self->max;
    return self->newest - (last + self->max - row) % self->max;
}

bool
dn_crowd_next (const dn_crowd_t *self, uint32_t *number, dn_session_t *session)
{
    uint32_t gone = self->newest > self->max ? self->newest - self->max : 0;
    uint32_t at = *number > gone ? *number : gone;
    while (at++ < self->newest) {
        *session = self->row[(at - 1) % self->max];
        if (dn_session_zero (session))
            continue;
        *number = at;
        return true;
    }
    return false;
}
