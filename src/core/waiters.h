/*  waiters.h - the manager's records of clients that wait for their turn, and of the places that
 *  are reserved for them
 *
 *  A client that was refused for want of a place is a waiter: one row for client, service and rank,
 *  with a ticket. (Never the task, never the payload: those stay with the client.) The rank is the
 *  priority, and within it calls that are nested deeper go first. Rows stand in rings, one for each
 *  service and rank, in the order of their tickets. A grant is a reservation of places at one
 *  worker, with a lease. Owns both tables, the rings, and the counts of reserved places. Must never
 *  know: who is to be granted next, time beyond the leases' ends.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_WAITERS_H
#define DN_WAITERS_H

#include "core/effects.h"
#include "core/peers.h"

#define DN_CLIENT_WAITERS  16   /* rows of one client, at most */
#define DN_GRANTS_OUT_MAX  8192 /* grants that are not answered, at most; more wait */
#define DN_WAITERS_ALL_MAX 262144

#define DN_LEVELS_MAX (DENIM_NESTING_MAX + 1)         /* of nested calls, with that of clients */
#define DN_RANKS      (DN_PRIORITIES * DN_LEVELS_MAX) /* fewer than the bits of a word */

/*  The lower, the sooner it is served. */
static inline unsigned
dn_rank (unsigned priority, unsigned depth)
{
    return priority * DN_LEVELS_MAX + DENIM_NESTING_MAX - depth;
}

static inline unsigned
dn_rank_depth (unsigned rank)
{
    return DENIM_NESTING_MAX - rank % DN_LEVELS_MAX;
}

typedef struct dn_waiter {
    dn_handle_t self;
    dn_handle_t client;
    uint32_t    service;
    uint8_t     priority; /* 0 high, 1 normal, 2 low */
    uint8_t     depth;    /* of nested calls */
    bool        queued;   /* in its ring; else it has been granted all that it wants */
    uint64_t    ticket;   /* rising: the lower, the longer it waits */
    uint32_t    held;     /* tasks that the client holds for this, as it said last */
    uint32_t    granted;  /* places that are reserved for it */
    uint64_t    sweep;    /* number of the last OPEN that named it */
    uint64_t    mark;     /* of the last BEAT to the client when it was queued */
    dn_handle_t parent;   /* the task that makes these calls; DN_NONE: none, or not known */
    TAILQ_ENTRY (dn_waiter) of_ring;
    TAILQ_ENTRY (dn_waiter) of_client;
} dn_waiter_t;

typedef struct dn_reserve {
    dn_handle_t self;   /* the number of the grant */
    dn_handle_t waiter; /* alive as long as the grant is */
    dn_handle_t worker; /* where the places are */
    uint32_t    count;  /* places that are not taken up yet */
    unsigned    depth;  /* of the tasks that they are for */
    uint64_t    ticket; /* that the waiter had */
    int64_t     expires_ms;
    bool        alone; /* as GRANT says */
} dn_reserve_t;

typedef struct dn_waiters dn_waiters_t;

/*  Owned; NULL when memory is short. `peers` is borrowed: their lists and counts are kept here. */
dn_waiters_t *dn_waiters_new (uint32_t clients_max, uint32_t services_max, dn_peers_t *peers);
void          dn_waiters_destroy (dn_waiters_t **self_p);

/*  ---- waiters ---- */

dn_waiter_t *dn_waiters_get (const dn_waiters_t *self, dn_handle_t waiter);
dn_waiter_t *dn_waiters_find (const dn_waiters_t *self, const dn_peer_t *client, uint32_t service,
                              unsigned rank);

/*  The row of a client for a service and rank, made if need be, not queued. NULL when it has
 *  DN_CLIENT_WAITERS of them, or the table is full. Borrowed, until it is removed. */
dn_waiter_t *dn_waiters_take (dn_waiters_t *self, dn_peer_t *client, uint32_t service,
                              unsigned rank);

/*  Put it into its ring, at the place of that ticket; 0: at the tail, with a new one. One that is
 *  in its ring already only moves forward. */
void dn_waiters_queue (dn_waiters_t *self, dn_waiter_t *waiter, uint64_t ticket);

/*  Take it out of its ring; the row stays while places are reserved for it, and is gone otherwise:
 *  then true. */
bool dn_waiters_leave (dn_waiters_t *self, dn_waiter_t *waiter);

/*  A number for one that is served now, as if it had queued. */
uint64_t dn_waiters_ticket (dn_waiters_t *self);

/*  Queued waiters: of all services, of one, in one ring. */
uint32_t dn_waiters_count (const dn_waiters_t *self);
uint32_t dn_waiters_of (const dn_waiters_t *self, uint32_t service);
uint32_t dn_waiters_in (const dn_waiters_t *self, uint32_t service, unsigned rank);

/*  The first in the ring of a service and rank, and the next one; NULL at the end. */
dn_waiter_t *dn_waiters_first (const dn_waiters_t *self, uint32_t service, unsigned rank);
dn_waiter_t *dn_waiters_next (const dn_waiter_t *waiter);

/*  The first rank at or after `rank` in which somebody waits for the service; DN_RANKS past the
 *  last. */
unsigned dn_waiters_rank (const dn_waiters_t *self, uint32_t service, unsigned rank);

/*  The services that have queued waiters: number `i` of them, or DN_SERVICE_NONE past the last. */
uint32_t dn_waiters_service (const dn_waiters_t *self, uint32_t i);

/*  ---- grants ---- */

/*  Reserve `count` places at `worker`. NULL when too many grants are out. */
dn_reserve_t *dn_waiters_reserve (dn_waiters_t *self, dn_waiter_t *waiter, dn_peer_t *worker,
                                  uint32_t count);
dn_reserve_t *dn_waiters_grant (const dn_waiters_t *self, dn_handle_t grant);

/*  Reserve more, or (negative) give back. A grant without places is gone, and its waiter too if it
 *  is not queued and has no other: then false. */
bool dn_waiters_adjust (dn_waiters_t *self, dn_reserve_t *grant, int places);

/*  The grant at or after *row, which moves behind it; NULL at the end. */
dn_reserve_t *dn_waiters_next_grant (const dn_waiters_t *self, uint32_t *row);
uint32_t      dn_waiters_grants (const dn_waiters_t *self);

void dn_waiters_check (const dn_waiters_t *self);

#endif
