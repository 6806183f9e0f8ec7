/*  waiters.c - rings of waiters by service and rank, and a table of grants
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "core/waiters.h"

#include "base/check.h"
#include "base/pool.h"
#include "core/services.h"

#include <stdlib.h>
#include <string.h>

TAILQ_HEAD (dn_ring, dn_waiter);

#define AT_NONE UINT32_MAX

typedef struct {
    struct dn_ring ring[DN_RANKS];
    uint32_t       in_ring[DN_RANKS];
    uint32_t       ranks; /* a bit for each ring that is not empty, the lowest for rank 0 */
    uint32_t       count; /* in all of them */
    uint32_t       at;    /* in the list of services with waiters; AT_NONE: not on it */
} dn_queue_t;

struct dn_waiters {
    dn_peers_t   *peers; /* borrowed */
    dn_pool_t    *pool;
    dn_waiter_t  *row;
    dn_pool_t    *grants;
    dn_reserve_t *grant;
    dn_queue_t   *queue;   /* by service */
    uint32_t     *waiting; /* services whose queue is not empty */
    uint32_t      waiting_count;
    uint32_t      services_max;
    uint32_t      count; /* queued */
    uint64_t      ticket;
};

dn_waiters_t *
dn_waiters_new (uint32_t clients_max, uint32_t services_max, dn_peers_t *peers)
{
    dn_waiters_t *self = calloc (1, sizeof *self);
    if (!self)
        return NULL;
    uint64_t rows = (uint64_t) clients_max * DN_CLIENT_WAITERS;
    if (rows > DN_WAITERS_ALL_MAX)
        rows = DN_WAITERS_ALL_MAX;
    self->peers = peers;
    self->services_max = services_max;
    self->pool = dn_pool_new ((uint32_t) rows);
    self->row = calloc (rows, sizeof *self->row);
    self->grants = dn_pool_new (DN_GRANTS_OUT_MAX);
    self->grant = calloc (DN_GRANTS_OUT_MAX, sizeof *self->grant);
    self->queue = calloc (services_max, sizeof *self->queue);
    self->waiting = calloc (services_max, sizeof *self->waiting);
    if (!self->pool || !self->row || !self->grants || !self->grant || !self->queue ||
        !self->waiting) {
        dn_waiters_destroy (&self);
        return NULL;
    }
    for (uint32_t i = 0; i < services_max; i++) {
        self->queue[i].at = AT_NONE;
        for (unsigned j = 0; j < DN_RANKS; j++)
            TAILQ_INIT (&self->queue[i].ring[j]);
    }
    return self;
}

void
dn_waiters_destroy (dn_waiters_t **self_p)
{
    dn_waiters_t *self = *self_p;
    if (!self)
        return;
    dn_pool_destroy (&self->pool);
    dn_pool_destroy (&self->grants);
    free (self->row);
    free (self->grant);
    free (self->queue);
    free (self->waiting);
    free (self);
    *self_p = NULL;
}

/*  ---- waiters ---- */

static unsigned
rank_of (const dn_waiter_t *waiter)
{
    return dn_rank (waiter->priority, waiter->depth);
}

dn_waiter_t *
dn_waiters_get (const dn_waiters_t *self, dn_handle_t waiter)
{
    uint32_t row = dn_pool_row (self->pool, waiter);
    return row == DN_POOL_NONE ? NULL : &self->row[row];
}

dn_waiter_t *
dn_waiters_find (const dn_waiters_t *self, const dn_peer_t *client, uint32_t service, unsigned rank)
{
    (void) self;
    dn_waiter_t *waiter;
    TAILQ_FOREACH (waiter, &client->u.client.waiters, of_client)
    if (waiter->service == service && rank_of (waiter) == rank)
        return waiter;
    return NULL;
}

dn_waiter_t *
dn_waiters_take (dn_waiters_t *self, dn_peer_t *client, uint32_t service, unsigned rank)
{
    dn_check (service < self->services_max && rank < DN_RANKS);
    dn_waiter_t *waiter = dn_waiters_find (self, client, service, rank);
    if (waiter)
        return waiter;
    if (client->u.client.waiters_count == DN_CLIENT_WAITERS)
        return NULL;
    dn_handle_t handle = dn_pool_take (self->pool);
    if (!handle)
        return NULL;
    waiter = &self->row[dn_pool_row (self->pool, handle)];
    memset (waiter, 0, sizeof *waiter);
    waiter->self = handle;
    waiter->client = client->self;
    waiter->service = service;
    waiter->priority = (uint8_t) (rank / DN_LEVELS_MAX);
    waiter->depth = (uint8_t) dn_rank_depth (rank);
    TAILQ_INSERT_TAIL (&client->u.client.waiters, waiter, of_client);
    client->u.client.waiters_count++;
    return waiter;
}

uint64_t
dn_waiters_ticket (dn_waiters_t *self)
{
    return ++self->ticket;
}

static void
note_queued (dn_waiters_t *self, uint32_t service, unsigned rank)
{
    dn_queue_t *queue = &self->queue[service];
    self->count++;
    queue->in_ring[rank]++;
    queue->ranks |= UINT32_C (1) << rank;
    if (queue->count++)
        return;
    queue->at = self->waiting_count;
    self->waiting[self->waiting_count++] = service;
}

static void
note_left (dn_waiters_t *self, uint32_t service, unsigned rank)
{
    dn_queue_t *queue = &self->queue[service];
    self->count--;
    if (--queue->in_ring[rank] == 0)
        queue->ranks &= ~(UINT32_C (1) << rank);
    if (--queue->count)
        return;
    uint32_t last = self->waiting[--self->waiting_count];
    self->waiting[queue->at] = last;
    self->queue[last].at = queue->at;
    queue->at = AT_NONE;
}

static void
leave_ring (dn_waiters_t *self, dn_waiter_t *waiter)
{
    if (!waiter->queued)
        return;
    waiter->queued = false;
    TAILQ_REMOVE (&self->queue[waiter->service].ring[rank_of (waiter)], waiter, of_ring);
    note_left (self, waiter->service, rank_of (waiter));
}

void
dn_waiters_queue (dn_waiters_t *self, dn_waiter_t *waiter, uint64_t ticket)
{
    if (waiter->queued && (!ticket || ticket >= waiter->ticket))
        return;
    leave_ring (self, waiter);
    struct dn_ring *ring = &self->queue[waiter->service].ring[rank_of (waiter)];
    waiter->ticket = ticket ? ticket : dn_waiters_ticket (self);
    waiter->queued = true;
    note_queued (self, waiter->service, rank_of (waiter));
    dn_waiter_t *before;
    TAILQ_FOREACH (before, ring, of_ring) /* an old ticket stands near the head */
    {
        if (!ticket || before->ticket > waiter->ticket)
            break;
    }
    if (!ticket || !before)
        TAILQ_INSERT_TAIL (ring, waiter, of_ring);
    else
        TAILQ_INSERT_BEFORE (before, waiter, of_ring);
}

static void
remove_waiter (dn_waiters_t *self, dn_waiter_t *waiter)
{
    dn_peer_t *client = dn_peers_get (self->peers, waiter->client);
    dn_check (client && client->role == DN_ROLE_CLIENT);
    TAILQ_REMOVE (&client->u.client.waiters, waiter, of_client);
    client->u.client.waiters_count--;
    dn_pool_give (self->pool, waiter->self);
}

bool
dn_waiters_leave (dn_waiters_t *self, dn_waiter_t *waiter)
{
    leave_ring (self, waiter);
    if (waiter->granted)
        return false;
    remove_waiter (self, waiter);
    return true;
}

uint32_t
dn_waiters_count (const dn_waiters_t *self)
{
    return self->count;
}

uint32_t
dn_waiters_of (const dn_waiters_t *self, uint32_t service)
{
    return service < self->services_max ? self->queue[service].count : 0;
}

uint32_t
dn_waiters_in (const dn_waiters_t *self, uint32_t service, unsigned rank)
{
    dn_check (service < self->services_max && rank < DN_RANKS);
    return self->queue[service].in_ring[rank];
}

dn_waiter_t *
dn_waiters_first (const dn_waiters_t *self, uint32_t service, unsigned rank)
{
    return TAILQ_FIRST (&self->queue[service].ring[rank]);
}

unsigned
dn_waiters_rank (const dn_waiters_t *self, uint32_t service, unsigned rank)
{
    uint32_t ranks = self->queue[service].ranks >> rank;
    return ranks ? rank + (unsigned) __builtin_ctz (ranks) : DN_RANKS;
}

dn_waiter_t *
dn_waiters_next (const dn_waiter_t *waiter)
{
    return TAILQ_NEXT (waiter, of_ring);
}

uint32_t
dn_waiters_service (const dn_waiters_t *self, uint32_t i)
{
    return i < self->waiting_count ? self->waiting[i] : DN_SERVICE_NONE;
}

/*  ---- grants ---- */

dn_reserve_t *
dn_waiters_reserve (dn_waiters_t *self, dn_waiter_t *waiter, dn_peer_t *worker, uint32_t count)
{
    dn_handle_t handle = dn_pool_take (self->grants);
    if (!handle)
        return NULL;
    dn_reserve_t *grant = &self->grant[dn_pool_row (self->grants, handle)];
    memset (grant, 0, sizeof *grant);
    grant->self = handle;
    grant->waiter = waiter->self;
    grant->worker = worker->self;
    grant->ticket = waiter->ticket;
    grant->depth = waiter->depth;
    grant->expires_ms = DN_NEVER;
    dn_waiters_adjust (self, grant, (int) count);
    return grant;
}

dn_reserve_t *
dn_waiters_grant (const dn_waiters_t *self, dn_handle_t grant)
{
    uint32_t row = dn_pool_row (self->grants, grant);
    return row == DN_POOL_NONE ? NULL : &self->grant[row];
}

bool
dn_waiters_adjust (dn_waiters_t *self, dn_reserve_t *grant, int places)
{
    dn_peer_t   *worker = dn_peers_get (self->peers, grant->worker);
    dn_waiter_t *waiter = dn_waiters_get (self, grant->waiter);
    dn_check (worker && waiter && (int) grant->count + places >= 0);
    dn_peer_t *client = dn_peers_get (self->peers, waiter->client);
    dn_check (client != NULL);
    grant->count += (uint32_t) places;
    waiter->granted += (uint32_t) places;
    client->u.client.granted += (uint32_t) places;
    worker->u.worker.reserved += (uint32_t) places;
    worker->u.worker.at_depth[grant->depth] += (uint32_t) places;
    if (grant->count)
        return true;
    dn_pool_give (self->grants, grant->self);
    if (!waiter->granted && !waiter->queued)
        remove_waiter (self, waiter);
    return false;
}

dn_reserve_t *
dn_waiters_next_grant (const dn_waiters_t *self, uint32_t *row)
{
    uint32_t at = dn_pool_next (self->grants, *row);
    if (at == DN_POOL_NONE)
        return NULL;
    *row = at + 1;
    return &self->grant[at];
}

uint32_t
dn_waiters_grants (const dn_waiters_t *self)
{
    return dn_pool_used (self->grants);
}

/*  ---- checking ---- */

static uint32_t
check_ring (const dn_waiters_t *self, uint32_t service, unsigned rank)
{
    uint64_t           ticket = 0;
    uint32_t           count = 0;
    const dn_waiter_t *waiter;
    TAILQ_FOREACH (waiter, &self->queue[service].ring[rank], of_ring)
    {
        dn_check (waiter->queued && waiter->service == service && rank_of (waiter) == rank);
        dn_check (waiter->ticket > ticket && waiter->ticket <= self->ticket);
        ticket = waiter->ticket;
        count++;
    }
    dn_check (count == self->queue[service].in_ring[rank]);
    dn_check ((count > 0) == (self->queue[service].ranks >> rank & 1));
    return count;
}

void
dn_waiters_check (const dn_waiters_t *self)
{
    uint32_t      all = 0, granted = 0, reserved = 0, of_clients = 0, rows = 0;
    dn_reserve_t *grant;
    dn_peer_t    *peer;

    for (uint32_t i = 0; i < self->services_max; i++) {
        uint32_t count = 0;
        for (unsigned j = 0; j < DN_RANKS; j++)
            count += check_ring (self, i, j);
        dn_check (count == self->queue[i].count);
        dn_check ((count > 0) == (self->queue[i].at != AT_NONE));
        dn_check (count == 0 || self->waiting[self->queue[i].at] == i);
        all += count;
    }
    dn_check (all == self->count);
    for (uint32_t row = dn_pool_next (self->pool, 0); row != DN_POOL_NONE;
         row = dn_pool_next (self->pool, row + 1)) {
        const dn_waiter_t *waiter = &self->row[row];
        dn_check (waiter->queued || waiter->granted);
        dn_check (dn_peers_get (self->peers, waiter->client));
        granted += waiter->granted;
        rows++;
    }
    for (uint32_t row = 0; (grant = dn_waiters_next_grant (self, &row));) {
        dn_check (grant->count && dn_waiters_get (self, grant->waiter));
        granted -= grant->count;
        reserved += grant->count;
        of_clients += grant->count;
    }
    dn_check (granted == 0);
    for (uint32_t row = 0; (peer = dn_peers_next (self->peers, &row));) {
        if (peer->role == DN_ROLE_WORKER)
            reserved -= peer->u.worker.reserved;
        else {
            rows -= peer->u.client.waiters_count;
            of_clients -= peer->u.client.granted;
        }
    }
    dn_check (reserved == 0 && of_clients == 0 && rows == 0);
}
