/*  turns.c - what must hold of waiters and grants, whatever goes wrong
 *
 *  It counts the grants that were told and what has become of them, and looks after each event at
 *  the manager's waiters and places. No more is reserved than was told and is still good. A grant
 *  that expires gives its client its old ticket back, and nothing more until it is heard. A place
 *  that was granted is there for whoever comes in time. Nobody barges past who waits, nobody is
 *  passed over for long, and no place stays free for which somebody waits.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "sim.h"

#define STALLED_BEATS 2  /* for which a place may be free for who waits */
#define BY_AGE        8  /* every so many grants go to the oldest */
#define SLACK         24 /* places that go by age to another service, and several at once */

/*  ---- grants ---- */

static sim_row_t *
row_of (sim_view_t *view, const sim_grant_t *grant)
{
    return &view->row[grant->client][grant->service][sim_rank (grant->priority, grant->depth)];
}

static sim_grant_t *
find_grant (sim_turns_t *self, uint64_t number, uint32_t client)
{
    for (uint32_t i = 0; i < self->count; i++)
        if (self->grant[i].number == number && self->grant[i].client == client)
            return &self->grant[i];
    return NULL;
}

static void
drop_grant (sim_turns_t *self, sim_grant_t *grant)
{
    *grant = self->grant[--self->count];
}

/*  Tasks of another service that may stand by can have taken a slot that was granted; then it is
 *  gone. */
static bool
is_there (const sim_t *sim, uint8_t service, uint8_t depth)
{
    for (uint32_t i = 0; i < sim->workers; i++) {
        sim_place_t place = sim->turns.view.place[i];
        if (!place.usable || !(place.offers & 1u << service) || !place.level[depth])
            continue;
        place.used--; /* it is reserved */
        place.level[depth]--;
        if (!sim_place_has_room (&place, depth, place.standby[service]))
            return false;
    }
    return true;
}

static void
take_up (sim_t *sim, uint32_t client, const dn_submit_t *submit)
{
    sim_turns_t *self = &sim->turns;
    sim_grant_t *grant = submit->grant ? find_grant (self, submit->grant, client) : NULL;

    if (!grant || submit->priority != grant->priority || submit->depth != grant->depth ||
        !dn_str_eq (submit->service, dn_str (sim_service[grant->service])))
        return;
    self->granted = true;
    self->assured = !grant->doubtful && grant->shrunk == self->shrunk[grant->service] &&
                    sim_now_ms (sim) < grant->expires_ms &&
                    is_there (sim, grant->service, grant->depth);
    if (--grant->count == 0)
        drop_grant (self, grant);
}

static void
expire (sim_t *sim)
{
    sim_turns_t *self = &sim->turns;

    for (uint32_t i = 0; i < self->count;) {
        sim_grant_t *grant = &self->grant[i];
        if (grant->expires_ms > sim_now_ms (sim)) {
            i++;
            continue;
        }
        if (!grant->doubtful) {
            self->expired[self->expired_count++] = *grant;
            self->late[grant->client] = true;
        }
        drop_grant (self, grant);
    }
}

/*  ---- events ---- */

void
sim_turns_start (sim_t *sim)
{
    memset (&sim->turns, 0, sizeof sim->turns);
}

void
sim_turns_before (sim_t *sim, uint32_t link, const dn_msg_t *msg)
{
    sim_turns_t *self = &sim->turns;

    self->granted = self->assured = self->refused = false;
    self->expired_count = self->told = 0;
    self->served = dn_manager_counters (sim->manager.core)->turns;
    if (!msg) {
        expire (sim);
        return;
    }
    const dn_peer_t *from = dn_peers_by_link (dn_manager_peers (sim->manager.core), link);
    if (!from || from->role != DN_ROLE_CLIENT || from->gone || msg->kind == DN_MSG_CLIENT_HELLO)
        return;
    uint32_t client = sim->link[link].node - SIM_NODE_CLIENTS;
    self->late[client] = false;
    if (msg->kind == DN_MSG_SUBMIT)
        take_up (sim, client, &msg->u.submit);
    sim_grant_t *passed =
        msg->kind == DN_MSG_PASS ? find_grant (self, msg->u.pass.grant, client) : NULL;
    if (passed)
        drop_grant (self, passed);
}

/*  Waiters of all services that are served by age before this one. */
static uint32_t
count_older (const sim_t *sim, uint64_t ticket)
{
    const sim_row_t *row = &sim->turns.view.row[0][0][0];
    uint32_t         count = 0;

    for (uint32_t i = 0; i < sim->clients * SIM_SERVICES * SIM_RANKS; i++, row++)
        count += row->queued && row->ticket < ticket;
    return count;
}

/*  Has a client so many bytes out, with what was granted in this event, that none of its tasks may
 *  stand by? */
static bool
is_heavy (const sim_t *sim, uint32_t client, unsigned depth)
{
    const dn_peer_t *peer =
        dn_peers_by_session (dn_manager_peers (sim->manager.core), &sim->client[client].id);
    return peer && !dn_manager_takes (sim->manager.core, peer, depth, true);
}

/*  Is no place for calls that are nested so deep? Others may be granted one, then. */
static bool
is_shut (const sim_t *sim, const sim_view_t *view, uint8_t depth, int service)
{
    for (uint32_t i = 0; i < sim->workers; i++) {
        const sim_place_t *place = &view->place[i];
        if (place->usable && place->offers & 1u << service &&
            sim_place_has_room (place, depth, place->standby[service]))
            return false;
    }
    return true;
}

/*  The higher priority goes first, and within it the call that is nested deeper. */
static bool
outranks (uint8_t priority, uint8_t depth, const sim_grant_t *grant)
{
    return priority < grant->priority || (priority == grant->priority && depth > grant->depth);
}

/*  Those of its service that have waited longer go on waiting. */
static void
pass_over (sim_t *sim, const sim_grant_t *grant)
{
    for (uint32_t i = 0; i < sim->clients; i++)
        for (int j = 0; j < SIM_RANKS; j++) {
            sim_row_t *row = &sim->turns.view.row[i][grant->service][j];
            uint8_t    priority = (uint8_t) (j / SIM_DEPTHS), depth = (uint8_t) (j % SIM_DEPTHS);
            bool       same = priority == grant->priority && depth == grant->depth;
            bool       own = i == grant->client && same;
            if (!own && row->queued && row->heard && !row->heavy && !is_heavy (sim, i, depth))
                row->outranked |= (uint16_t) (outranks (priority, depth, grant) << grant->depth);
            if (own || !row->queued || !row->heard || row->ticket > grant->ticket)
                continue;
            if (row->heavy || is_heavy (sim, i, depth))
                continue; /* it was a place that is not for it, or seemed so */
            if (depth != grant->depth && is_shut (sim, &sim->turns.view, depth, grant->service))
                continue; /* likewise */
            row->passed += same ? grant->count : 0;
            row->skipped += grant->count;
            uint32_t older = count_older (sim, row->ticket);
            if (row->older < older)
                row->older = older;
        }
}

static void
tell_grant (sim_t *sim, uint32_t client, const dn_grant_t *msg)
{
    sim_turns_t *self = &sim->turns;
    uint32_t     service = 0;

    while (service < SIM_SERVICES && !dn_str_eq (msg->service, dn_str (sim_service[service])))
        service++;
    if (dn_manager_draining (sim->manager.core))
        sim_fail (sim, "grants: to c%u, and the manager takes no more tasks", client);
    if (self->late[client])
        sim_fail (sim, "late: c%u let a grant expire, was not heard since, and is granted a place",
                  client);
    if (service == SIM_SERVICES || msg->depth >= SIM_DEPTHS || self->count == SIM_GRANTS)
        sim_fail (sim, "grants: for a service without workers, or too deep, or too many");
    sim_grant_t *grant = &self->grant[self->count];
    *grant = (sim_grant_t){msg->grant,
                           (uint8_t) client,
                           (uint8_t) service,
                           msg->priority,
                           msg->depth,
                           false,
                           msg->count,
                           self->shrunk[service],
                           0,
                           sim_now_ms (sim) + msg->lease_ms};
    sim_row_t *row = row_of (&self->view, grant);
    grant->ticket = row->queued ? row->ticket : 0;
    self->last = *grant;
    self->told++;
    row->queued = false; /* a second grant of this event has another ticket */
    row->passed = row->skipped = row->older = 0;
    self->count++;
    sim->counts.grants += msg->count;
    pass_over (sim, grant);
}

void
sim_turns_tell (sim_t *sim, const dn_effect_t *effect)
{
    if (effect->kind != DN_FX_SEND)
        return;
    uint32_t client = sim->link[effect->to].node - SIM_NODE_CLIENTS;
    if (effect->msg.kind == DN_MSG_GRANT)
        tell_grant (sim, client, &effect->msg.u.grant);
    uint8_t reason = effect->msg.kind == DN_MSG_REJECT ? effect->msg.u.reject.reason : 0;
    if (sim->turns.assured && (reason == DENIM_REASON_BUSY || reason == DENIM_REASON_STANDBY ||
                               reason == DENIM_REASON_EXPIRED))
        sim_fail (sim, "granted: c%u (seq %u) has a grant that is good, and is told %s", client,
                  (unsigned) effect->msg.u.reject.seq, denim_reason_name (reason));
}

/*  ---- after an event ---- */

static uint32_t *
told_of (uint32_t told[][SIM_SERVICES][SIM_RANKS], const sim_grant_t *grant)
{
    return &told[grant->client][grant->service][sim_rank (grant->priority, grant->depth)];
}

/*  What is reserved for each row is what it was told and has not used. */
static void
check_grants (sim_t *sim, sim_view_t *view)
{
    sim_turns_t *self = &sim->turns;
    uint32_t     told[SIM_CLIENTS][SIM_SERVICES][SIM_RANKS];

    memset (told, 0, sim->clients * sizeof told[0]);
    for (uint32_t i = 0; i < self->count; i++)
        *told_of (told, &self->grant[i]) += self->grant[i].count;
    for (uint32_t i = 0; i < sim->clients; i++)
        for (int j = 0; j < SIM_SERVICES; j++)
            for (int k = 0; k < SIM_RANKS; k++)
                if (view->row[i][j][k].granted > told[i][j][k])
                    sim_fail (sim, "reserved: %u places for c%u, %s, rank %d, and %u granted",
                              view->row[i][j][k].granted, i, sim_service[j], k, told[i][j][k]);
    for (uint32_t i = 0; i < self->count;) {
        sim_grant_t *grant = &self->grant[i];
        uint32_t     granted = row_of (view, grant)->granted;
        if (granted == 0) {
            drop_grant (self, grant); /* withdrawn */
            continue;
        }
        if (granted < *told_of (told, grant))
            grant->doubtful = true;
        i++;
    }
}

/*  Whose grant has expired waits again, as long as before. */
static void
check_expired (sim_t *sim, sim_view_t *view)
{
    for (uint32_t i = 0; i < sim->turns.expired_count; i++) {
        const sim_grant_t *grant = &sim->turns.expired[i];
        const sim_row_t   *row = row_of (view, grant);
        const dn_peer_t   *peer = dn_peers_by_session (dn_manager_peers (sim->manager.core),
                                                       &sim->client[grant->client].id);
        if (!peer || peer->gone || !grant->ticket)
            continue;
        if (!row->queued || row->ticket > grant->ticket)
            sim_fail (sim, "ticket: a grant of c%u expired, and its ticket %u is lost (%u)",
                      grant->client, (unsigned) grant->ticket, (unsigned) row->ticket);
    }
}

/*  Does it wait, and may it have a place here if there is one, and so many stand by? */
static bool
can_use (const sim_row_t *row, int rank, const sim_place_t *place, uint32_t standby)
{
    return row->queued && row->heard &&
           sim_place_has_room (place, (uint8_t) (rank % SIM_DEPTHS), row->heavy ? 0 : standby);
}

/*  Another client that can answer and waits for what this worker offers; SIM_CLIENTS: nobody.
 *  `any`: also if there is no place for it, as its tasks do not stand by. */
static uint32_t
waits_there (const sim_t *sim, const sim_place_t *place, uint32_t but, bool any)
{
    const sim_view_t *view = &sim->turns.view;

    for (uint32_t i = 0; i < sim->clients; i++)
        for (int j = 0; i != but && j < SIM_SERVICES; j++)
            for (int k = 0; place->offers & 1u << j && k < SIM_RANKS; k++) {
                const sim_row_t *row = &view->row[i][j][k];
                bool             waits = row->queued && row->heard && !row->heavy;
                if (can_use (row, k, place, place->standby[j]) || (any && waits))
                    return i;
            }
    return SIM_CLIENTS;
}

/*  Does anybody wait for this worker and find no place there, so that those who are after it must
 *  not stand by? */
static bool
is_claimed (const sim_t *sim, const sim_view_t *view, const sim_place_t *place)
{
    for (uint32_t i = 0; i < sim->clients; i++)
        for (int j = 0; j < SIM_SERVICES; j++)
            for (int k = 0; place->offers & 1u << j && k < SIM_RANKS; k++) {
                const sim_row_t *row = &view->row[i][j][k];
                if (row->queued && row->heard && !can_use (row, k, place, place->standby[j]))
                    return true;
            }
    return false;
}

/*  Is a place granted to this client, or was one before this event? */
static bool
is_granted (const sim_t *sim, uint32_t client)
{
    bool granted = sim->turns.granted;

    for (int i = 0; client < SIM_CLIENTS && i < SIM_SERVICES; i++)
        for (int j = 0; j < SIM_RANKS; j++)
            granted = granted || sim->turns.view.row[client][i][j].granted;
    return granted;
}

/*  The worker before the last place of this level was given, had no others been given meanwhile. */
static sim_place_t
place_before (const sim_place_t *now, const sim_place_t *old, int level)
{
    sim_place_t before = *now;

    before.used = 0;
    for (int i = 0; i < DN_LEVELS_MAX; i++) {
        if (i == level)
            before.level[i]--;
        else if (before.level[i] > old->level[i])
            before.level[i] = old->level[i];
        before.used += before.level[i];
    }
    return before;
}

/*  Of each level no more than there was room for. A place that was granted may be used by a task
 *  that does not name the grant, where others may stand by. */
static void
check_bounds (sim_t *sim, uint32_t worker, uint32_t client, const sim_place_t *now,
              const sim_place_t *old)
{
    uint32_t standby = is_granted (sim, client) ? now->standby_max : 0;

    for (int i = 0; i < SIM_SERVICES; i++)
        if (standby < now->standby[i])
            standby = now->standby[i];
    for (uint8_t i = 0; i < DN_LEVELS_MAX; i++) {
        if (now->level[i] <= old->level[i])
            continue;
        sim_place_t before = place_before (now, old, i);
        if (!sim_place_has_room (&before, i, standby))
            sim_fail (sim, "places: w%u has %u, %u of them nested %u deep, and %u and %u slots",
                      worker, now->used, now->level[i], i, now->slots, now->own);
    }
}

/*  Has the row waited while the one place of this event was given, and goes it first? */
static bool
goes_first (const sim_t *sim, const sim_view_t *view, uint32_t client, int service, int rank)
{
    const sim_grant_t *last = &sim->turns.last;
    const sim_row_t   *old = &sim->turns.view.row[client][service][rank];
    const sim_row_t   *row = &view->row[client][service][rank];
    uint8_t            priority = (uint8_t) (rank / SIM_DEPTHS);
    uint8_t            depth = (uint8_t) (rank % SIM_DEPTHS);

    if (!row->queued || !row->heard || !old->queued || !old->heard || row->ticket != old->ticket)
        return false;
    return outranks (priority, depth, last) ||
           (priority == last->priority && depth == last->depth && row->ticket < last->ticket);
}

/*  The one place that was granted in this event: if it is behind the slots, somebody who goes first
 *  must not wait for a slot there. */
static void
check_standby (sim_t *sim, const sim_view_t *view)
{
    const sim_turns_t *self = &sim->turns;
    const sim_grant_t *last = &self->last;
    uint64_t           served = dn_manager_counters (sim->manager.core)->turns;

    if (self->told != 1 || !last->ticket || self->refused || self->expired_count ||
        served != self->served + 1 || served % BY_AGE == 0)
        return;
    for (uint32_t i = 0; i < sim->workers; i++) {
        const sim_place_t *now = &view->place[i], *old = &self->view.place[i];
        if (now->used <= old->used || sim_place_has_room (old, last->depth, 0))
            continue;
        for (uint32_t j = 0; j < sim->clients * SIM_SERVICES * SIM_RANKS; j++) {
            uint32_t client = j / SIM_RANKS / SIM_SERVICES;
            int      service = (int) (j / SIM_RANKS % SIM_SERVICES), rank = (int) (j % SIM_RANKS);
            if (old->offers & now->offers & 1u << service &&
                goes_first (sim, view, client, service, rank) &&
                !sim_place_has_room (old, (uint8_t) (rank % SIM_DEPTHS), old->standby[service]))
                sim_fail (sim, "stands by: c%u at w%u, where c%u waits for a slot", last->client, i,
                          client);
        }
    }
}

/*  A place more at a worker: is it there, and is it this client's turn? */
static void
check_places (sim_t *sim, const sim_view_t *view, uint32_t client, uint8_t depth)
{
    for (uint32_t i = 0; i < sim->workers; i++) {
        const sim_place_t *now = &view->place[i], *old = &sim->turns.view.place[i];
        check_bounds (sim, i, client, now, old);
        if (client == SIM_CLIENTS || sim->turns.granted || now->placed <= old->placed ||
            now->used <= old->used) /* the last: a place that was reserved, for whom it crosses */
            continue;
        uint32_t other = waits_there (sim, old, client, !sim_place_has_room (old, depth, 0));
        if (other < SIM_CLIENTS)
            sim_fail (sim, "barges: c%u gets a place at w%u, and c%u waits", client, i, other);
    }
}

/*  Does the worker have fewer places for the service than before? */
static bool
is_less (const sim_place_t *now, const sim_place_t *old, int service)
{
    uint32_t standby = now->standby[service];

    if (!old->usable || !(old->offers & 1u << service))
        return false;
    return !now->usable || !(now->offers & 1u << service) ||
           now->slots + standby < old->slots + old->standby[service] ||
           now->own + standby < old->own + old->standby[service];
}

/*  Does a service have fewer places than before? */
static void
note_shrunk (sim_t *sim, const sim_view_t *view)
{
    for (uint32_t i = 0; i < sim->workers; i++)
        for (int j = 0; j < SIM_SERVICES; j++)
            sim->turns.shrunk[j] += is_less (&view->place[i], &sim->turns.view.place[i], j);
}

/*  All the workers where places of this level were given had one for the row as well: those of its
 *  own level are not all taken even now, and one of the rest was free. */
static bool
had_place (const sim_t *sim, const sim_view_t *view, uint8_t depth, int service, int level)
{
    bool given = false;

    for (uint32_t i = 0; i < sim->workers; i++) {
        const sim_place_t *old = &sim->turns.view.place[i], *now = &view->place[i];
        if (!(now->offers & 1u << service) || now->level[level] <= old->level[level])
            continue;
        uint32_t standby = is_claimed (sim, view, now) ? 0 : now->standby[service];
        if (!now->usable || now->level[depth] >= now->own + standby)
            return false;
        given = true;
    }
    return given;
}

/*  Has one that goes first been passed over, and by nobody who went by age? */
static bool
is_outranked (const sim_t *sim, const sim_view_t *view, uint32_t i)
{
    int              rank = (int) (i % SIM_RANKS), service = (int) (i / SIM_RANKS % SIM_SERVICES);
    uint32_t         client = i / SIM_RANKS / SIM_SERVICES;
    const sim_row_t *old = &sim->turns.view.row[client][service][rank];
    const sim_row_t *row = &view->row[client][service][rank];
    uint64_t         served = dn_manager_counters (sim->manager.core)->turns;

    if (!old->queued || row->ticket != old->ticket || row->heavy)
        return false;
    if (sim->turns.refused || served / BY_AGE != sim->turns.served / BY_AGE)
        return false;
    for (int level = 0; old->outranked >> level; level++)
        if (old->outranked >> level & 1 &&
            had_place (sim, view, (uint8_t) (rank % SIM_DEPTHS), service, level))
            return true;
    return false;
}

/*  How long it waits goes on, unless it was not there, or could not answer. When the turn goes by
 *  age there may be no place of its level, more than once. */
static void
keep_counts (sim_t *sim, sim_view_t *view)
{
    const sim_row_t *old = &sim->turns.view.row[0][0][0];
    sim_row_t       *row = &view->row[0][0][0];
    uint32_t         unlucky = sim->nesting ? 3 : 1;

    for (uint32_t i = 0; i < sim->clients * SIM_SERVICES * SIM_RANKS; i++, old++, row++) {
        row->stalled_us = SIM_NEVER;
        if (!row->queued || !row->heard || !old->there || !old->heard)
            continue;
        row->passed = old->passed;
        row->skipped = old->skipped;
        row->older = old->older;
        row->stalled_us = old->stalled_us;
        if (is_outranked (sim, view, i))
            sim_fail (sim, "outranked: by calls that go after those of c%u, nested %u deep",
                      i / (SIM_SERVICES * SIM_RANKS), i % SIM_DEPTHS);
        if (row->passed)
            sim_fail (sim, "unfair: a younger ticket of the same ring is served before %u",
                      (unsigned) row->ticket);
        if (sim_faults_calm (sim) && sim->counts.skipped_max < row->skipped)
            sim->counts.skipped_max = row->skipped;
        if (sim_faults_calm (sim) &&
            row->skipped > (3 * BY_AGE * (row->older + 1) + SLACK) * unlucky)
            sim_fail (sim, "starves: %u places for who came after ticket %u, and %u before it",
                      row->skipped, (unsigned) row->ticket, row->older);
    }
}

void
sim_turns_after (sim_t *sim, uint32_t link, const dn_msg_t *msg)
{
    sim_view_t view;
    uint32_t   client = SIM_CLIENTS;

    sim_view_take (sim, &view);
    if (msg && msg->kind == DN_MSG_SUBMIT)
        client = sim->link[link].node - SIM_NODE_CLIENTS;
    check_grants (sim, &view);
    check_expired (sim, &view);
    if (!msg || msg->kind == DN_MSG_SUBMIT)
        check_places (sim, &view, client, msg ? msg->u.submit.depth : 0);
    check_standby (sim, &view);
    note_shrunk (sim, &view);
    keep_counts (sim, &view);
    memcpy (sim->turns.view.row, view.row, sim->clients * sizeof view.row[0]);
    memcpy (sim->turns.view.place, view.place, sim->workers * sizeof view.place[0]);
}

/*  ---- after a turn ---- */

/*  While there is no record for a task more nobody is granted a place. */
static bool
has_place (const sim_t *sim, const sim_row_t *row, int service, int rank)
{
    const dn_tasks_t *tasks = dn_manager_tasks (sim->manager.core);
    const sim_view_t *view = &sim->turns.view;

    if (dn_tasks_count (tasks) == dn_tasks_max (tasks))
        return false;
    for (uint32_t i = 0; i < sim->workers; i++) {
        const sim_place_t *place = &view->place[i];
        if (!place->usable || !(place->offers & 1u << service))
            continue;
        if (can_use (row, rank, place, 0) ||
            (can_use (row, rank, place, place->standby[service]) && !is_claimed (sim, view, place)))
            return true;
    }
    return false;
}

static void
check_row (sim_t *sim, uint32_t client, int service, int rank)
{
    sim_row_t *row = &sim->turns.view.row[client][service][rank];

    if (!row->queued || !has_place (sim, row, service, rank)) {
        row->stalled_us = SIM_NEVER;
        return;
    }
    if (row->stalled_us == SIM_NEVER)
        row->stalled_us = sim->now_us;
    if (sim->now_us - row->stalled_us > SIM_MS (STALLED_BEATS * sim->heartbeat_ms))
        sim_fail (sim, "stalls: c%u waits for %s, rank %d, and there is a free place", client,
                  sim_service[service], rank);
}

void
sim_turns_look (sim_t *sim)
{
    sim_turns_t *self = &sim->turns;
    bool         gap = sim->now_us - self->looked_us > SIM_MS (sim->heartbeat_ms) * 3 / 2;

    self->looked_us = sim->now_us;
    if (dn_manager_draining (sim->manager.core) ||
        dn_manager_deadline_ms (sim->manager.core) <= sim_now_ms (sim))
        return;
    self->expired_count = 0;
    expire (sim);
    check_grants (sim, &self->view);
    check_expired (sim, &self->view);
    for (uint32_t i = 0; i < sim->clients; i++)
        for (int j = 0; j < SIM_SERVICES; j++)
            for (int k = 0; k < SIM_RANKS; k++) {
                if (gap)
                    self->view.row[i][j][k].stalled_us = SIM_NEVER;
                check_row (sim, i, j, k);
            }
}

/*  The client of a slot that has ended meanwhile: the manager cannot know yet. */
static bool
died_now (const sim_t *sim, const dn_peer_t *peer)
{
    uint32_t client = peer->session.bytes[0] - 0xc0u;
    return sim->client[client].inner && sim->client[client].ended_us > sim->heal_us;
}

void
sim_turns_close (sim_t *sim)
{
    const dn_peers_t *peers = dn_manager_peers (sim->manager.core);
    const dn_peer_t  *peer;

    for (uint32_t row = 0; (peer = dn_peers_next (peers, &row));) {
        if (peer->role == DN_ROLE_WORKER && peer->u.worker.reserved)
            sim_fail (sim, "left over: %u places reserved at %s", peer->u.worker.reserved,
                      peer->name);
        if (peer->role == DN_ROLE_CLIENT && peer->u.client.waiters_count &&
            peer->silent_beats < SIM_DEAF_BEATS && !died_now (sim, peer))
            sim_fail (sim, "left over: %s waits %u times, and has no calls", peer->name,
                      peer->u.client.waiters_count);
    }
}
