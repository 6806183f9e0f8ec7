/*  plan.h - a load on a number of slots: reckoned through, and printed
 *
 *  Owns: the figures of `denim plan`, as text and as JSON. Must never know: where the load comes
 *  from.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_PLAN_H
#define DN_PLAN_H

#include "base/erlang.h"
#include "cli/cli.h"

/*  What is known of one stream of tasks and the slots that serve it. */
typedef struct {
    bool       is_live;      /* the manager told it: services, workers and waiting are known */
    bool       is_known;     /* rate, run_ms and load are known */
    bool       is_mixed;     /* some workers have only some of the services */
    double     rate;         /* tasks a second */
    double     run_ms;       /* mean */
    double     load;         /* slots */
    double     refused;      /* share that may be refused */
    uint32_t   slots;        /* 0: none, or not given */
    uint32_t   workers;      /* that have them */
    uint32_t   worker_slots; /* of one more worker */
    json_int_t waiting;      /* tasks that clients hold */
    json_t    *services;     /* names; owned */
    json_t    *notes;        /* sentences; owned */
} dn_plan_t;

typedef struct {
    size_t      count;
    dn_plan_t **plan; /* owned, as each of them */
} dn_plans_t;

/*  Empty but for the share. Owned. */
dn_plan_t *dn_plan_new (double refused);

/*  A sentence more that the reader must know. */
__attribute__ ((format (printf, 2, 3))) void dn_plan_note (dn_plan_t *self, const char *format,
                                                           ...);

/*  Takes the plan. */
void dn_plans_add (dn_plans_t *self, dn_plan_t *plan);

/*  On standard output. */
void dn_plans_print (dn_plans_t *self, bool as_json);

void dn_plans_clear (dn_plans_t *self);

#endif
