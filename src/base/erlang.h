/*  erlang.h - how many find no slot, and how long they wait: Erlang's formulas B and C
 *
 *  Owns: the arithmetic of `slots` that a `load` is offered to, and nothing else. A load is tasks
 *  per second times the mean run time in seconds: the slots that are busy when there are enough.
 *  Tasks arrive one by one and know nothing of each other. A share is from 0 to 1. Must never
 *  know: where the numbers come from.
 *
 *  B: a task that finds no free slot goes away. True for any run times with that mean.
 *  C: it waits and is served in turn. True for run times that vary as those of a memoryless
 *     process do; when all are equal, waits are about half as long.
 *
 *  The recurrences stay exact for any number of slots: no factorial, no power. No allocation, no
 *  clock, no libm; any thread. A number that makes no sense (a negative load, a share outside 0 to
 *  1) is a bug of the caller's.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_ERLANG_H
#define DN_ERLANG_H

#include <stdint.h>

#define DN_ERLANG_SLOTS_MAX 1000000 /* as far as dn_erlang_slots counts */

typedef struct {
    double share;   /* of tasks that wait at all */
    double mean_ms; /* over all tasks, also those that do not wait */
    double p99_ms;  /* one task in a hundred waits longer */
} dn_erlang_wait_t;

/*  The share of tasks that is refused. 1 without slots. A step for each slot. */
double dn_erlang_b (uint32_t slots, double load);

/*  The share of tasks that waits. 1 when the load is as much as the slots or more. */
double dn_erlang_c (uint32_t slots, double load);

/*  How tasks of `run_ms` wait. 0, or -1 and nothing written when the load is as much as the slots
 *  or more: what waits then grows without end. */
int dn_erlang_wait (uint32_t slots, double load, double run_ms, dn_erlang_wait_t *wait);

/*  The fewest slots, one or more, that refuse at most that share; 0 when DN_ERLANG_SLOTS_MAX are
 *  too few. */
uint32_t dn_erlang_slots (double load, double refused);

/*  The largest load of which at most that share is refused; `refused` is below 1. Some 50 times the
 *  work of dn_erlang_b. */
double dn_erlang_load (uint32_t slots, double refused);

#endif
