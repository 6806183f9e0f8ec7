/*  place.h - the policy of placement: which worker takes a task
 *
 *  Pure functions over what is known of the candidates. A task goes to a free slot, to the worker
 *  that has most of them free in proportion; only when no slot is free anywhere, and tasks of its
 *  service are short, it stands by behind the slots of the worker that has least to do.
 *
 *  A task that waits in a nested call lends its slot, but not to tasks of its own level: of each
 *  level there are no more than the worker has slots of its own, so that each finds some, however
 *  many tasks of the levels above wait for it.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_PLACE_H
#define DN_PLACE_H

#include <stdbool.h>
#include <stdint.h>

/*  Work that may stand by, in time: a task that stands waits about so long for its slot. Covers a
 *  round trip between worker and client many times over. */
#define DN_STANDBY_WORK_US 10000

typedef struct {
    uint32_t slots;       /* tasks at a time, lent slots among them, */
    uint32_t own;         /* and without those */
    uint32_t standby_max; /* that it takes beyond those */
    uint32_t placed;      /* tasks that hold a place there now, in slots or behind them */
    uint32_t level;       /* those of `placed` that are nested as deep as the task */
    uint32_t in_slots;    /* and those that can be in slots: of each level no more than `own` */
} dn_candidate_t;

/*  Tasks that may stand by at a worker, for a service whose tasks run `mean_us` (0: not known). The
 *  slots of tasks that wait come free when their calls end, so they do not count. */
uint32_t dn_place_standby (const dn_candidate_t *worker, double mean_us);

/*  Places for the task, if so many may stand by. Tasks of other levels that stand by take no slot
 *  from it. */
uint32_t dn_place_room (const dn_candidate_t *worker, uint32_t standby);

/*  Are all its slots for the task taken, so that one more stands by? */
bool dn_place_full (const dn_candidate_t *worker);

/*  Is `a` the better place than `b` for the next task? Both have room. */
bool dn_place_better (const dn_candidate_t *a, const dn_candidate_t *b);

#endif
