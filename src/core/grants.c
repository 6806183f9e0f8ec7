/*  grants.c - whose turn it is: places that come free are offered to the clients that wait
 *
 *  A place is reserved for the waiter with the oldest ticket among the services of its worker, the
 *  higher priority first, and every eighth by age alone, so that none starves. The client answers
 *  with SUBMITs, or with PASS; a grant that it does not take up in time passes on, and it is passed
 *  over until it is heard again, with the ticket that it had.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "core/manager_private.h"

#include "base/check.h"

#define BY_AGE       8   /* every so many grants go by age alone */
#define ROUND_MAX    128 /* grants made in one go */
#define LEASE_ROUNDS 4   /* a lease is at least so many round trips of the client */
#define DEAF_BEATS   2   /* own beats of silence after which a client is passed over */
#define LOOKED_AT    64  /* rows of a ring from which it is told how many can answer */

/*  ---- who may be granted a place, and where ---- */

/*  Can it answer? */
static bool
is_heard (const dn_peer_t *client)
{
    return !client->gone && client->link && client->silent_beats < DEAF_BEATS &&
           !client->u.client.late;
}

static dn_peer_t *
client_of (const dn_manager_t *self, const dn_waiter_t *waiter)
{
    dn_peer_t *client = dn_peers_get (self->peers, waiter->client);
    dn_check (client != NULL);
    return client;
}

/*  Bytes of what a client has out: answers that it has not acknowledged, and what its tasks are
 *  going to carry. */
static double
bytes_of (const dn_client_part_t *client)
{
    return (double) client->answer_bytes + client->task_bytes * (client->placed + client->granted);
}

uint32_t
dn_manager_share_left (const dn_manager_t *self, const dn_peer_t *client, unsigned depth,
                       uint32_t coming)
{
    uint32_t records = client->tasks_count + coming, places = client->u.client.placed + coming;
    uint64_t share = ((uint64_t) self->config.client_share * self->slots + 99) / 100;
    uint32_t left = records < DN_CLIENT_TASKS_MAX ? DN_CLIENT_TASKS_MAX - records : 0;
    if (!self->config.client_share || depth)
        return left;
    if (share == 0)
        share = 1;
    if (places >= share)
        return 0;
    return left < share - places ? left : (uint32_t) (share - places);
}

bool
dn_manager_takes (const dn_manager_t *self, const dn_peer_t *client, unsigned depth, bool standby)
{
    const dn_client_part_t *part = &client->u.client;
    return dn_manager_share_left (self, client, depth, part->granted) > 0 &&
           part->answer_bytes < self->config.client_bytes &&
           (!standby || bytes_of (part) < 2.0 * (double) self->config.client_bytes);
}

/*  The first in a ring that can answer and takes such a place; `but`: it is not this client. */
static dn_waiter_t *
first_heard (const dn_manager_t *self, uint32_t service, unsigned rank, bool standby,
             dn_handle_t but)
{
    dn_waiter_t *waiter = dn_waiters_first (self->waiters, service, rank);
    for (; waiter; waiter = dn_waiters_next (waiter)) {
        const dn_peer_t *client = client_of (self, waiter);
        if (client->self != but && is_heard (client) &&
            dn_manager_takes (self, client, waiter->depth, standby))
            break;
    }
    return waiter;
}

/*  Tasks that can be in slots there: of each level no more than it has of its own. */
static uint32_t
in_slots (const dn_worker_part_t *part, uint32_t own)
{
    uint32_t count = 0;
    if (part->at_depth[0] == part->placed + part->reserved)
        return part->at_depth[0] < own ? part->at_depth[0] : own; /* nothing is nested */
    for (unsigned i = 0; i < DN_LEVELS_MAX; i++)
        count += part->at_depth[i] < own ? part->at_depth[i] : own;
    return count;
}

dn_candidate_t
dn_manager_candidate (const dn_peer_t *worker, unsigned depth)
{
    const dn_worker_part_t *part = &worker->u.worker;
    uint32_t                own = dn_manager_own_slots (worker);
    return (dn_candidate_t){.slots = part->slots,
                            .own = own,
                            .standby_max = part->standby,
                            .placed = part->placed + part->reserved,
                            .level = part->at_depth[depth],
                            .in_slots = in_slots (part, own)};
}

static bool
is_full (const dn_peer_t *worker, unsigned depth)
{
    dn_candidate_t place = dn_manager_candidate (worker, depth);
    return dn_place_full (&place);
}

uint32_t
dn_manager_room (const dn_manager_t *self, const dn_peer_t *worker, dn_need_t need)
{
    const dn_worker_part_t *part = &worker->u.worker;
    dn_candidate_t          place = dn_manager_candidate (worker, need.depth);
    uint32_t                standby = 0;
    if (!dn_manager_ready (self, worker) || part->refused || !part->named)
        return 0;
    if (!dn_services_stuck (self->services, need.service, part->number))
        standby = dn_place_standby (&place, dn_services_mean_us (self->services, need.service));
    return dn_place_room (&place, standby);
}

/*  ---- who must give way ---- */

/*  Is `a` to be served before `b`? */
static bool
is_before (const dn_waiter_t *a, const dn_waiter_t *b, bool by_age)
{
    unsigned rank_a = dn_rank (a->priority, a->depth), rank_b = dn_rank (b->priority, b->depth);
    if (!by_age && rank_a != rank_b)
        return rank_a < rank_b;
    return a->ticket < b->ticket;
}

/*  Could somebody of this ring (`but` not that client) have a place at the worker, or would they
 *  wait for longer if the slots there were `full` and one task more stood by? */
static bool
is_wanted (const dn_manager_t *self, dn_handle_t but, const dn_peer_t *worker, bool full,
           uint32_t service, unsigned rank)
{
    unsigned depth = dn_rank_depth (rank);
    if (!full && !dn_manager_room (self, worker, (dn_need_t){service, depth}))
        return false;
    return first_heard (self, service, rank, is_full (worker, depth), but) != NULL;
}

/*  Does the first of this ring wait for a slot of the worker, and is it before that one? */
static bool
is_claimed (const dn_manager_t *self, const dn_asker_t *asker, const dn_peer_t *worker,
            uint32_t service, unsigned rank)
{
    if (dn_manager_room (self, worker, (dn_need_t){service, dn_rank_depth (rank)}))
        return false;
    const dn_waiter_t *waiter = first_heard (self, service, rank, false, DN_NONE);
    return waiter && waiter != asker->waiter && is_before (waiter, asker->waiter, asker->by_age);
}

bool
dn_manager_gives_way (const dn_manager_t *self, const dn_asker_t *asker, dn_need_t need,
                      const dn_peer_t *worker, bool full)
{
    uint32_t service;
    if (asker->waiter && !full)
        return false;
    for (uint32_t i = 0; (service = dn_waiters_service (self->waiters, i)) != DN_SERVICE_NONE;
         i++) {
        if (!dn_services_offers (self->services, service, worker->u.worker.number))
            continue;
        /* of its own service a client knows itself which task goes first */
        dn_handle_t but = asker->client && service == need.service ? asker->client->self : DN_NONE;
        for (unsigned rank = 0; (rank = dn_waiters_rank (self->waiters, service, rank)) < DN_RANKS;
             rank++)
            if (asker->waiter ? is_claimed (self, asker, worker, service, rank)
                              : is_wanted (self, but, worker, full, service, rank))
                return true;
    }
    return false;
}

/*  Of a long ring only the first rows are looked at: clients that are dead and not yet gone stand
 *  there, so it is not taken for longer than it is. */
static double
heard_in (const dn_manager_t *self, uint32_t service, unsigned rank)
{
    uint32_t           looked = 0, heard = 0;
    const dn_waiter_t *waiter = dn_waiters_first (self->waiters, service, rank);
    for (; waiter && looked < LOOKED_AT; waiter = dn_waiters_next (waiter)) {
        looked++;
        heard += is_heard (client_of (self, waiter));
    }
    return looked ? (double) dn_waiters_in (self->waiters, service, rank) * heard / looked : 0;
}

double
dn_manager_before (const dn_manager_t *self, const dn_peer_t *client, uint32_t service,
                   unsigned rank)
{
    const dn_waiter_t *own = dn_waiters_find (self->waiters, client, service, rank);
    double             before = 0;
    if (own && own->queued)
        return 0;
    for (unsigned i = 0; (i = dn_waiters_rank (self->waiters, service, i)) <= rank && i < DN_RANKS;
         i++)
        before += heard_in (self, service, i);
    return before;
}

/*  Whose turn it is, as far as was looked, and at which worker. */
typedef struct {
    bool         by_age; /* this one goes by age alone */
    dn_waiter_t *waiter;
    dn_peer_t   *worker;
} next_t;

/*  Is `waiter` to be served before the one that was found? */
static bool
is_sooner (const next_t *next, const dn_waiter_t *waiter)
{
    return !next->waiter || is_before (waiter, next->waiter, next->by_age);
}

/*  A worker with a place for this one; if it is behind the slots and *waiter takes none there, as
 *  it has many bytes out, it is for the next one of its ring that does. NULL: there is none. */
static dn_peer_t *
find_place (const dn_manager_t *self, bool by_age, dn_waiter_t **waiter)
{
    dn_need_t      need = {(*waiter)->service, (*waiter)->depth};
    dn_asker_t     asker = {.waiter = *waiter, .by_age = by_age};
    denim_reason_t reason;
    dn_peer_t     *worker = dn_manager_choose (self, need, &asker, &reason);
    if (!worker || !is_full (worker, need.depth) ||
        dn_manager_takes (self, client_of (self, *waiter), need.depth, true))
        return worker;
    *waiter =
        first_heard (self, need.service, dn_rank ((*waiter)->priority, need.depth), true, DN_NONE);
    asker.waiter = *waiter;
    return *waiter ? dn_manager_choose (self, need, &asker, &reason) : NULL;
}

/*  Is it the turn of somebody in this ring? There may be no place for those who are before them:
 *  lent places are for calls that are nested deeper, and long tasks do not stand by. */
static void
look_at_ring (const dn_manager_t *self, uint32_t service, unsigned rank, next_t *next)
{
    dn_waiter_t *waiter = first_heard (self, service, rank, false, DN_NONE);
    if (!waiter || !is_sooner (next, waiter))
        return; /* whoever else it may be is not before, either */
    dn_peer_t *worker = find_place (self, next->by_age, &waiter);
    if (!worker || !is_sooner (next, waiter))
        return;
    next->waiter = waiter;
    next->worker = worker;
}

/*  Whose turn it is; NULL when nobody can be served. */
static next_t
choose_waiter (const dn_manager_t *self)
{
    next_t   next = {.by_age = (self->counters.turns + 1) % BY_AGE == 0};
    uint32_t service;
    for (uint32_t i = 0; (service = dn_waiters_service (self->waiters, i)) != DN_SERVICE_NONE; i++)
        for (unsigned rank = 0; (rank = dn_waiters_rank (self->waiters, service, rank)) < DN_RANKS;
             rank++)
            look_at_ring (self, service, rank, &next);
    return next;
}

/*  ---- granting ---- */

static bool
has_worker (const dn_manager_t *self, uint32_t service)
{
    uint32_t number = 0, found;
    while ((found = dn_services_next_worker (self->services, service, &number)) != DN_SERVICE_NONE)
        if (dn_manager_ready (self, dn_peers_worker (self->peers, found)))
            return true;
    return false;
}

/*  Does somebody else wait who may be served next? Who cannot answer, or waits for a worker that is
 *  not there, keeps nobody waiting. Somebody else than this row; NULL: than this client. */
static bool
others_wait (const dn_manager_t *self, const dn_peer_t *client, const dn_waiter_t *row)
{
    uint32_t service;
    for (uint32_t i = 0; (service = dn_waiters_service (self->waiters, i)) != DN_SERVICE_NONE;
         i++) {
        if (!has_worker (self, service))
            continue;
        for (unsigned rank = 0; (rank = dn_waiters_rank (self->waiters, service, rank)) < DN_RANKS;
             rank++) {
            bool own =
                !row || (row->service == service && dn_rank (row->priority, row->depth) == rank);
            if (first_heard (self, service, rank, false, own ? client->self : DN_NONE))
                return true;
        }
    }
    return false;
}

/*  Does nobody else wait, or have a task anywhere? Several clients that each fill what comes free
 *  of their own would keep the shares that chance gave them, and nobody would be in the ring. */
static bool
is_alone (const dn_manager_t *self, const dn_peer_t *client)
{
    return self->places == client->u.client.placed && !others_wait (self, client, NULL);
}

/*  Places at this worker that its client takes now, at least one: slots, and of those behind them
 *  as many as are within its bytes; all within its share. */
static uint32_t
taken_of (const dn_manager_t *self, const dn_waiter_t *waiter, const dn_peer_t *worker)
{
    dn_candidate_t          at = dn_manager_candidate (worker, waiter->depth);
    const dn_client_part_t *part = &client_of (self, waiter)->u.client;
    dn_need_t               need = {waiter->service, waiter->depth};
    uint32_t                room = dn_manager_room (self, worker, need);
    uint32_t                slots = dn_place_room (&at, 0);
    double                  bytes =
        2.0 * (double) self->config.client_bytes - bytes_of (part) - slots * part->task_bytes;
    double   standby = bytes > 0 ? bytes / (part->task_bytes + 1) : 0;
    uint32_t count = slots + (standby < room ? (uint32_t) standby : room);
    uint32_t left =
        dn_manager_share_left (self, client_of (self, waiter), waiter->depth, part->granted);
    uint32_t most = left < room ? left : room;
    return count < most ? (count ? count : 1) : most;
}

/*  Places that one waiter gets in its turn: one; all that it wants, when it is the only one. */
static uint32_t
size_of (const dn_manager_t *self, const dn_waiter_t *waiter, const dn_peer_t *worker)
{
    uint32_t wanted = waiter->held > waiter->granted ? waiter->held - waiter->granted : 1;
    if (dn_waiters_count (self->waiters) > 1 &&
        others_wait (self, client_of (self, waiter), waiter))
        return 1;
    uint32_t taken = taken_of (self, waiter, worker);
    uint32_t count = wanted < taken ? wanted : taken;
    return count < UINT16_MAX ? count : UINT16_MAX;
}

/*  The grant of this round to the waiter at that worker, made if need be. */
static dn_reserve_t *
reserve (dn_manager_t *self, dn_waiter_t *waiter, dn_peer_t *worker, dn_handle_t *made,
         uint32_t *made_count)
{
    uint32_t count = size_of (self, waiter, worker);
    for (uint32_t i = *made_count; i-- > 0;) {
        dn_reserve_t *grant = dn_waiters_grant (self->waiters, made[i]);
        if (grant->waiter != waiter->self || grant->worker != worker->self ||
            grant->count + count > UINT16_MAX)
            continue;
        dn_waiters_adjust (self->waiters, grant, (int) count);
        return grant;
    }
    if (*made_count == ROUND_MAX)
        return NULL;
    dn_reserve_t *grant = dn_waiters_reserve (self->waiters, waiter, worker, count);
    if (grant)
        made[(*made_count)++] = grant->self;
    return grant;
}

static void
tell_grant (dn_manager_t *self, dn_reserve_t *grant, dn_effects_t *fx)
{
    dn_waiter_t *waiter = dn_waiters_get (self->waiters, grant->waiter);
    dn_peer_t   *client = client_of (self, waiter);
    int64_t      lease_ms = LEASE_ROUNDS * client->u.client.round_ms;
    if (lease_ms > self->config.heartbeat_ms)
        lease_ms = self->config.heartbeat_ms; /* who is so slow is passed over anyway */
    if (lease_ms < self->config.lease_ms)
        lease_ms = self->config.lease_ms;
    grant->alone = is_alone (self, client);
    grant->expires_ms = self->now_ms + lease_ms;
    if (grant->expires_ms < self->expire_ms)
        self->expire_ms = grant->expires_ms;
    if (grant->alone)
        dn_waiters_leave (self->waiters, waiter);

    dn_effect_t *row = dn_fx_msg (fx, DN_FX_SEND, DN_MSG_GRANT);
    row->to = client->link;
    row->handle = grant->self;
    row->msg.u.grant.grant = grant->self;
    row->msg.u.grant.service = dn_str (dn_services_get (self->services, waiter->service)->name);
    row->msg.u.grant.priority = waiter->priority;
    row->msg.u.grant.depth = waiter->depth;
    row->msg.u.grant.count = (uint16_t) grant->count;
    row->msg.u.grant.alone = grant->alone;
    row->msg.u.grant.lease_ms = (uint32_t) lease_ms;
}

/*  Is there a record for a task more? While there is none a granted task would be refused, and be
 *  granted again at once. */
static bool
has_record (const dn_manager_t *self)
{
    return dn_tasks_count (self->tasks) < dn_tasks_max (self->tasks);
}

void
dn_manager_tick_grants (dn_manager_t *self, dn_effects_t *fx)
{
    dn_handle_t made[ROUND_MAX];
    uint32_t    made_count = 0;
    bool        again = false;
    if (self->now_ms >= self->expire_ms)
        dn_manager_expire_grants (self);
    while (dn_waiters_count (self->waiters) && !self->draining && has_record (self)) {
        next_t       next = choose_waiter (self);
        dn_waiter_t *waiter = next.waiter;
        if (!waiter)
            break;
        uint32_t      before = waiter->granted;
        bool          room = dn_effects_room (fx, made_count + DN_SWEEP_ROWS);
        dn_reserve_t *grant = room ? reserve (self, waiter, next.worker, made, &made_count) : NULL;
        if (!grant) {
            again = !room || made_count == ROUND_MAX; /* else a lease must end first */
            break;
        }
        self->counters.turns++;
        self->counters.granted += waiter->granted - before;
        dn_waiters_leave (self->waiters, waiter);
        if (waiter->held > waiter->granted)
            dn_manager_queue (self, waiter, 0);
    }
    for (uint32_t i = 0; i < made_count; i++)
        tell_grant (self, dn_waiters_grant (self->waiters, made[i]), fx);
    self->granting = again;
}

/*  ---- waiting ---- */

void
dn_manager_queue (dn_manager_t *self, dn_waiter_t *waiter, uint64_t ticket)
{
    if (!waiter->queued)
        waiter->mark = client_of (self, waiter)->mark;
    dn_waiters_queue (self->waiters, waiter, ticket);
    self->granting = true;
}

dn_waiter_t *
dn_manager_wait (dn_manager_t *self, dn_peer_t *client, dn_need_t need, unsigned priority,
                 uint32_t held, uint64_t ticket)
{
    if (need.service == DN_SERVICE_NONE || priority >= DN_PRIORITIES || client->gone)
        return NULL;
    dn_waiter_t *waiter =
        dn_waiters_take (self->waiters, client, need.service, dn_rank (priority, need.depth));
    if (!waiter)
        return NULL; /* its timer has to do */
    if (!waiter->queued || held > waiter->held)
        waiter->held = held;
    waiter->mark = client->mark; /* an OPEN that was composed before this refusal does not count */
    dn_manager_queue (self, waiter, ticket);
    return waiter;
}

/*  ---- answers to a grant ---- */

static dn_reserve_t *
find_grant (const dn_manager_t *self, const dn_peer_t *client, dn_handle_t number)
{
    dn_reserve_t *grant = dn_waiters_grant (self->waiters, number);
    if (!grant || dn_waiters_get (self->waiters, grant->waiter)->client != client->self)
        return NULL;
    return grant;
}

/*  A grant that the client has not answered yet, for this service and rank. */
static dn_reserve_t *
open_grant (const dn_manager_t *self, const dn_peer_t *client, uint32_t service, unsigned rank)
{
    const dn_waiter_t *waiter = dn_waiters_find (self->waiters, client, service, rank);
    dn_reserve_t      *grant = NULL;
    for (uint32_t row = 0; waiter && waiter->granted &&
                           (grant = dn_waiters_next_grant (self->waiters, &row)) != NULL;)
        if (grant->waiter == waiter->self)
            return grant;
    return NULL;
}

/*  Is the grant for such a task? */
static bool
is_meant (const dn_waiter_t *waiter, const dn_submit_t *submit, uint32_t service)
{
    return waiter->service == service && waiter->priority == submit->priority &&
           waiter->depth == submit->depth;
}

bool
dn_manager_take_turn (dn_manager_t *self, const dn_peer_t *client, const dn_submit_t *submit,
                      uint32_t service, dn_turn_taken_t *turn)
{
    unsigned      rank = dn_rank (submit->priority, submit->depth);
    dn_reserve_t *grant = submit->grant ? find_grant (self, client, submit->grant)
                                        : open_grant (self, client, service, rank);
    dn_waiter_t  *waiter = grant ? dn_waiters_get (self->waiters, grant->waiter) : NULL;
    if (!waiter || !is_meant (waiter, submit, service))
        return false;
    *turn = (dn_turn_taken_t){grant->worker, grant->ticket};
    waiter->held = submit->held;
    if (!grant->alone && submit->held > waiter->granted - 1)
        dn_manager_queue (self, waiter, 0);
    dn_waiters_adjust (self->waiters, grant, -1);
    return true;
}

void
dn_manager_on_pass (dn_manager_t *self, const dn_manager_event_t *in, dn_peer_t *from,
                    dn_effects_t *fx)
{
    (void) fx;
    dn_reserve_t *grant = find_grant (self, from, in->msg->u.pass.grant);
    if (!grant)
        return;
    dn_waiter_t *waiter = dn_waiters_get (self->waiters, grant->waiter);
    waiter->held = 0;
    dn_waiters_leave (self->waiters, waiter);
    dn_waiters_adjust (self->waiters, grant, -(int) grant->count);
    self->granting = true;
}

/*  ---- grants that end ---- */

/*  It was not taken up: the waiter has its old place again. */
static void
withdraw (dn_manager_t *self, dn_reserve_t *grant)
{
    dn_waiter_t *waiter = dn_waiters_get (self->waiters, grant->waiter);
    if (waiter->held < grant->count)
        waiter->held = grant->count;
    dn_manager_queue (self, waiter, grant->ticket);
    dn_waiters_adjust (self->waiters, grant, -(int) grant->count);
    self->granting = true;
}

void
dn_manager_expire_grants (dn_manager_t *self)
{
    dn_reserve_t *grant;
    self->expire_ms = DN_NEVER;
    for (uint32_t row = 0; (grant = dn_waiters_next_grant (self->waiters, &row));) {
        if (grant->expires_ms > self->now_ms) {
            if (grant->expires_ms < self->expire_ms)
                self->expire_ms = grant->expires_ms;
            continue;
        }
        client_of (self, dn_waiters_get (self->waiters, grant->waiter))->u.client.late = true;
        self->counters.expired++;
        withdraw (self, grant);
    }
}

void
dn_manager_grant_refused (dn_manager_t *self, dn_handle_t number)
{
    dn_reserve_t *grant = dn_waiters_grant (self->waiters, number);
    if (!grant)
        return;
    client_of (self, dn_waiters_get (self->waiters, grant->waiter))->u.client.late = true;
    withdraw (self, grant);
}

void
dn_manager_withdraw_grants (dn_manager_t *self, const dn_peer_t *worker)
{
    dn_reserve_t *grant;
    for (uint32_t row = 0;
         worker->u.worker.reserved && (grant = dn_waiters_next_grant (self->waiters, &row));)
        if (grant->worker == worker->self)
            withdraw (self, grant);
}

/*  Room for others: what was reserved for it, and its places in the rings. */
void
dn_manager_leave_rings (dn_manager_t *self, dn_peer_t *client)
{
    dn_waiter_t *waiter;
    while ((waiter = TAILQ_FIRST (&client->u.client.waiters))) {
        dn_reserve_t *grant;
        if (dn_waiters_leave (self->waiters, waiter))
            continue;
        for (uint32_t row = 0; (grant = dn_waiters_next_grant (self->waiters, &row));)
            if (grant->waiter == waiter->self &&
                !dn_waiters_adjust (self->waiters, grant, -(int) grant->count) &&
                TAILQ_FIRST (&client->u.client.waiters) != waiter)
                break;
    }
    self->granting = true;
}
