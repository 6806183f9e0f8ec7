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

/*  Put it in, if it is not; the oldest goes out when all places are taken. _renew: whoever is in
 *  becomes the newest, and its old place is lost until all others have had their turn. The zero
 *  session is nobody and is not put in. */
void dn_crowd_add (dn_crowd_t *self, const dn_session_t *session);
void dn_crowd_renew (dn_crowd_t *self, const dn_session_t *session);

bool     dn_crowd_has (const dn_crowd_t *self, const dn_session_t *session);
uint32_t dn_crowd_count (const dn_crowd_t *self);

/*  Whoever is put in is given a number, from 1 on. The number given last; that of a session, 0 when
 *  it is not in; the highest one that went out for want of a place, 0: none did. After that nobody
 *  can say who else was in up to there. */
uint32_t dn_crowd_newest (const dn_crowd_t *self);
uint32_t dn_crowd_number (const dn_crowd_t *self, const dn_session_t *session);
uint32_t dn_crowd_lost (const dn_crowd_t *self);

/*  Walk over those that are in, in order: the next one after *number, which moves there. */
bool dn_crowd_next (const dn_crowd_t *self, uint32_t *number, dn_session_t *session);

#endif
