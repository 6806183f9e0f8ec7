/*  rosters.h - who the workers were, epoch by epoch
 *
 *  A manager tells its workers who all of them are. A worker remembers that for the last epochs and
 *  brings it along in HELLO, so that a manager that has just booted knows whom to wait for before
 *  it says that a task never ran. Owns: one list of sessions for each epoch, the newest version of
 *  it; and, for the manager, how many on it have not come back.
 *
 *  A roster that proves nothing ends with the zero session, which never comes back: it cannot name
 *  everybody, or it is not known any more which clients were forgotten in its time or later. One
 *  version with it is enough.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_ROSTERS_H
#define DN_ROSTERS_H

#include "wire/wire.h"

#define DN_ROSTER_MAX       2000 /* workers on one; four of them find room in a HELLO */
#define DN_ROSTER_ROW_BYTES 28   /* of each in a HELLO */
#define DN_ROSTERS_TOLD     4    /* epochs that a worker brings along */

typedef struct dn_rosters dn_rosters_t;

/*  Owned; NULL when memory is short. */
dn_rosters_t *dn_rosters_new (uint32_t epochs_max);
void          dn_rosters_destroy (dn_rosters_t **self_p);

/*  The list of sessions (row_session) is the roster of that epoch, unless a newer version is known.
 *  The epoch that was learnt first goes when there are too many. `since`: number of the client that
 *  was forgotten last before, and kept if the epoch is known. */
void dn_rosters_learn (dn_rosters_t *self, uint64_t epoch, uint32_t version, dn_list_t workers,
                       uint32_t since);

/*  None of those that are known proves anything. */
void dn_rosters_doubt (dn_rosters_t *self);

/*  Write all of them as rows for a HELLO (row_roster). Asserts that they find room. `lost`: number
 *  of the last client that was forgotten and is not remembered any more: rosters of before that
 *  prove nothing. */
void     dn_rosters_tell (const dn_rosters_t *self, dn_rows_t *rows, uint32_t lost);
uint32_t dn_rosters_rows (const dn_rosters_t *self, uint32_t lost);

/*  Has this worker said HELLO to the manager that asks? */
typedef bool (dn_roster_back_fn) (const void *arg, const dn_session_t *worker);

/*  Learn what came in a HELLO; rows of `own_epoch` are passed over. */
void dn_rosters_merge (dn_rosters_t *self, dn_list_t rows, uint64_t own_epoch,
                       dn_roster_back_fn *back, const void *arg);

/*  This worker has said HELLO. */
void dn_rosters_back (dn_rosters_t *self, const dn_session_t *worker);

/*  Is the roster of that epoch known, and has everybody on it come back? */
bool dn_rosters_all_back (const dn_rosters_t *self, uint64_t epoch);

#endif
