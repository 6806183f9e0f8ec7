/*  view.c - a look at the manager: who waits, and the places of its workers
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "sim.h"

#include "core/place.h"

const char *const sim_service[SIM_SERVICES] = {"alpha", "beta", "gamma"};

/*  The number that the manager has given to each service. */
static void
number_services (const sim_t *sim, uint32_t number[SIM_SERVICES])
{
    for (int i = 0; i < SIM_SERVICES; i++)
        number[i] =
            dn_services_find (dn_manager_services (sim->manager.core), dn_str (sim_service[i]));
}

static int
service_of (const uint32_t number[SIM_SERVICES], uint32_t service)
{
    for (int i = 0; i < SIM_SERVICES; i++)
        if (number[i] == service)
            return i;
    return -1;
}

static void
view_client (const sim_t *sim, const dn_peer_t *peer, const uint32_t number[SIM_SERVICES],
             sim_view_t *view)
{
    uint32_t           client = peer->session.bytes[0] - 0xc0u;
    const dn_waiter_t *waiter;

    TAILQ_FOREACH (waiter, &peer->u.client.waiters, of_client)
    {
        int service = service_of (number, waiter->service);
        if (service < 0 || client >= SIM_CLIENTS || waiter->depth >= SIM_DEPTHS)
            continue;
        int        rank = sim_rank (waiter->priority, waiter->depth);
        sim_row_t *row = &view->row[client][service][rank];
        row->there = true;
        row->queued = waiter->queued;
        row->ticket = waiter->ticket;
        row->granted = waiter->granted;
        row->heard = !peer->gone && peer->link && peer->silent_beats < SIM_DEAF_BEATS &&
                     !peer->u.client.late &&
                     dn_manager_takes (sim->manager.core, peer, waiter->depth, false);
        row->heavy = !dn_manager_takes (sim->manager.core, peer, waiter->depth, true);
    }
}

static void
view_worker (const sim_t *sim, const dn_peer_t *peer, const uint32_t number[SIM_SERVICES],
             sim_view_t *view)
{
    const dn_services_t    *table = dn_manager_services (sim->manager.core);
    const dn_worker_part_t *part = &peer->u.worker;
    uint32_t                own = dn_manager_own_slots (peer);
    dn_candidate_t place = {.slots = part->slots, .own = own, .standby_max = part->standby};
    uint32_t       worker = peer->session.bytes[0] - 0xa0u;

    if (worker >= SIM_WORKERS)
        return;
    sim_place_t *self = &view->place[worker];
    self->usable = dn_manager_ready (sim->manager.core, peer) && !part->refused && part->named;
    self->slots = part->slots;
    self->own = own;
    self->standby_max = part->standby;
    self->placed = part->placed;
    self->used = part->placed + part->reserved;
    for (int i = 0; i < DN_LEVELS_MAX; i++)
        self->level[i] = part->at_depth[i];
    for (int i = 0; i < SIM_SERVICES; i++) {
        if (number[i] == DN_SERVICE_NONE || !dn_services_offers (table, number[i], part->number))
            continue;
        self->offers |= (uint8_t) (1u << i);
        if (!dn_services_stuck (table, number[i], part->number))
            self->standby[i] = dn_place_standby (&place, dn_services_mean_us (table, number[i]));
    }
}

bool
sim_place_has_room (const sim_place_t *place, uint8_t depth, uint32_t standby)
{
    uint32_t in_slots = 0;

    for (int i = 0; i < DN_LEVELS_MAX; i++)
        in_slots += place->level[i] < place->own ? place->level[i] : place->own;
    return (in_slots < place->slots && place->level[depth] < place->own) ||
           (place->used < place->slots + standby && place->level[depth] < place->own + standby);
}

void
sim_view_take (sim_t *sim, sim_view_t *view)
{
    const dn_peers_t *peers = dn_manager_peers (sim->manager.core);
    uint32_t          number[SIM_SERVICES];
    const dn_peer_t  *peer;

    memset (view->row, 0, sim->clients * sizeof view->row[0]);
    memset (view->place, 0, sim->workers * sizeof view->place[0]);
    number_services (sim, number);
    for (uint32_t row = 0; (peer = dn_peers_next (peers, &row));) {
        bool worker = peer->role == DN_ROLE_WORKER;
        if (worker && (peer->gone || peer->u.worker.draining) && peer->u.worker.reserved)
            sim_fail (sim, "reserved: places at %s, which takes no tasks any more", peer->name);
        if (!worker && peer->gone && peer->u.client.waiters_count)
            sim_fail (sim, "waits: %s is gone, and waits", peer->name);
        if (worker)
            view_worker (sim, peer, number, view);
        else
            view_client (sim, peer, number, view);
    }
}
