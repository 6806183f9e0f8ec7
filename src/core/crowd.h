/*  crowd.h - a bounded set of sessions that remembers in which order they came
 *
 *  For whom to remember when there is no record left: clients that were told to be forgotten,
 *  workers that are gone. When it is full the oldest goes, and that is known.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_CROWD_H
#define DN_CROWD_H

#include "wire/wire.h"

typedef struct dn_crowd dn_crowd_t;

/*  Owned; NULL when memory is short. */
dn_crowd_t *dn_crowd_new (uint32_t sessions_max, uint64_t seed);
void        dn_crowd_destroy (dn_crowd_t **self_p);

/*  Put it in, if it is not; the oldest goes out when all places are taken. */
void dn_crowd_add (dn_crowd_t *self, const dn_session_t *session);

bool     dn_crowd_has (const dn_crowd_t *self, const dn_session_t *session);
uint32_t dn_crowd_count (const dn_crowd_t *self);

/*  Has one gone out for want of a place? Then nobody can say who else was in. */
bool dn_crowd_overflowed (const dn_crowd_t *self);

/*  Number `i` of count, in no particular order. Borrowed. */
const dn_session_t *dn_crowd_at (const dn_crowd_t *self, uint32_t i);

#endif
