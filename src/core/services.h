/*  services.h - the manager's records of services: who offers them, how long their tasks run
 *
 *  Owns: names, sets of workers, where its tasks are stuck, run times, offered load. A service that
 *  was offered once stays known until the manager ends, so that "nobody there now" and "never heard
 *  of" can be told apart. Must never know: tasks, peers beyond their numbers.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_SERVICES_H
#define DN_SERVICES_H

#include "core/effects.h"

#define DN_SERVICE_ROOM  128 /* bytes of a name with its end */
#define DN_SERVICE_NONE  UINT32_MAX
#define DN_RESULTS_KNOWN 8 /* results of a service until its mean is believed */

typedef struct {
    char     name[DN_SERVICE_ROOM];
    uint32_t workers;      /* that offer it now */
    uint32_t placed;       /* its tasks that hold a place */
    uint32_t waiting;      /* tasks that clients said they hold, over the last beat */
    uint32_t waiting_next; /* the same, while it is counted */
    uint32_t arrivals;     /* tasks submitted for the first time since the last beat */
    uint64_t results;      /* since boot */
    double   mean_run_us;  /* decaying: each result weighs 1/16, the first ones more */
    double   offered;      /* load in slots: arrivals a second times mean run time, decaying */
} dn_service_t;

typedef struct dn_services dn_services_t;

/*  Owned; NULL when memory is short. */
dn_services_t *dn_services_new (uint32_t services_max, uint32_t workers_max, uint64_t seed);
void           dn_services_destroy (dn_services_t **self_p);

/*  A service by its name, or DN_SERVICE_NONE. */
uint32_t dn_services_find (const dn_services_t *self, dn_str_t name);

/*  Borrowed. */
dn_service_t *dn_services_get (const dn_services_t *self, uint32_t service);
uint32_t      dn_services_count (const dn_services_t *self);

/*  Worker `number` offers this service: made if it is new. The service, or DN_SERVICE_NONE when the
 *  table is full. */
uint32_t dn_services_offer (dn_services_t *self, dn_str_t name, uint32_t number);

/*  Worker `number` offers nothing any more. */
void dn_services_withdraw (dn_services_t *self, uint32_t number);

bool dn_services_offers (const dn_services_t *self, uint32_t service, uint32_t number);

/*  Are tasks of it stuck at worker `number`? One has stood by there for too long, and none has run
 *  there to its end since. What a worker offers anew is not stuck. */
bool dn_services_stuck (const dn_services_t *self, uint32_t service, uint32_t number);
void dn_services_set_stuck (dn_services_t *self, uint32_t service, uint32_t number, bool stuck);

/*  The next worker at or after *number that offers the service: its number, *number moves behind
 *  it; DN_SERVICE_NONE at the end. */
uint32_t dn_services_next_worker (const dn_services_t *self, uint32_t service, uint32_t *number);

/*  A task of it ran for so long. */
void dn_services_ran (dn_services_t *self, uint32_t service, uint64_t run_us);

/*  The mean run time in microseconds, at least 1; 0 while fewer than DN_RESULTS_KNOWN are known. */
double dn_services_mean_us (const dn_services_t *self, uint32_t service);

/*  A beat has passed: fold the counts into the averages. */
void dn_services_beat (dn_services_t *self, uint32_t heartbeat_ms);

/*  Up to three names that look most like `name`, as a sentence in `text` ("the nearest are a, b"),
 *  or "no worker offers anything". Characters, cut to fit. */
size_t dn_services_nearest (const dn_services_t *self, dn_str_t name, char *text, size_t text_room);

/*  Assert what must hold of the sets. */
void dn_services_check (const dn_services_t *self);

#endif
