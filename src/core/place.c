/*  place.c - which worker takes a task
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "core/place.h"

static uint32_t
beyond (uint32_t limit, uint32_t count)
{
    return limit > count ? limit - count : 0;
}

uint32_t
dn_place_standby (const dn_candidate_t *worker, double mean_us)
{
    uint32_t lent = beyond (worker->slots, worker->own);
    if (mean_us <= 0)
        return 0;
    double tasks = (double) DN_STANDBY_WORK_US * beyond (worker->own, lent) / mean_us;
    return tasks < worker->standby_max ? (uint32_t) tasks : worker->standby_max;
}

static uint32_t
least (uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

uint32_t
dn_place_room (const dn_candidate_t *worker, uint32_t standby)
{
    uint32_t slots =
        least (beyond (worker->slots, worker->in_slots), beyond (worker->own, worker->level));
    uint32_t all = least (beyond (worker->slots + standby, worker->placed),
                          beyond (worker->own + standby, worker->level));
    return slots > all ? slots : all;
}

bool
dn_place_full (const dn_candidate_t *worker)
{
    return dn_place_room (worker, 0) == 0;
}

bool
dn_place_better (const dn_candidate_t *a, const dn_candidate_t *b)
{
    /* placed / slots, compared without a division; a free slot is always below 1 */
    return (uint64_t) a->placed * b->slots < (uint64_t) b->placed * a->slots;
}
