/*  members.c - peers that come and go: HELLO, what a worker offers, and what becomes of the tasks
 *  of one that is gone
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "core/manager_private.h"

#include "base/check.h"

#include <stdio.h>

/*  ---- peers go ---- */

uint32_t
dn_manager_count_slots (const dn_manager_t *self)
{
    uint32_t   slots = 0;
    dn_peer_t *peer;
    for (uint32_t row = 0; (peer = dn_peers_next (self->peers, &row));)
        if (peer->role == DN_ROLE_WORKER && dn_manager_ready (self, peer))
            slots += peer->u.worker.slots;
    return slots;
}

void
dn_manager_go (dn_manager_t *self, dn_peer_t *peer, denim_reason_t reason, dn_effects_t *fx)
{
    bool worker = peer->role == DN_ROLE_WORKER;
    peer->gone = true;
    peer->reason = (uint8_t) reason;
    self->sweeping = true;
    if (worker)
        dn_services_withdraw (self->services, peer->u.worker.number);
    self->slots = dn_manager_count_slots (self);
    bool         expected = reason == DENIM_REASON_SHUTDOWN && peer->tasks_count == 0;
    dn_effect_t *row = dn_fx_log (fx, worker ? (expected ? DN_FX_INFO : DN_FX_WARN) : DN_FX_DEBUG,
                                  worker ? "worker_gone" : "client_gone", peer->name);
    row->reason = (uint8_t) reason;
    row->number = peer->tasks_count;
    row->ms = (int64_t) peer->silent_beats * self->config.heartbeat_ms;
}

static void
end_older (dn_manager_t *self, const dn_session_t *instance, const dn_peer_t *worker,
           dn_effects_t *fx)
{
    if (dn_session_zero (instance))
        return;
    dn_peer_t *peer;
    for (uint32_t row = 0; (peer = dn_peers_next (self->peers, &row));)
        if (peer != worker && peer->role == DN_ROLE_WORKER && !peer->gone &&
            dn_session_eq (&peer->u.worker.instance, instance))
            dn_manager_go (self, peer, DENIM_REASON_CRASH, fx);
}

void
dn_manager_on_bye (dn_manager_t *self, const dn_manager_event_t *in, dn_peer_t *from,
                   dn_effects_t *fx)
{
    (void) in;
    dn_manager_go (self, from, DENIM_REASON_SHUTDOWN, fx);
}

void
dn_manager_on_draining (dn_manager_t *self, const dn_manager_event_t *in, dn_peer_t *from,
                        dn_effects_t *fx)
{
    (void) in;
    from->u.worker.draining = true;
    self->slots = dn_manager_count_slots (self);
    dn_fx_log (fx, DN_FX_INFO, "worker_draining", from->name)->number = from->tasks_count;
}

/*  Tell what became of the tasks of a peer that is gone, as far as there is room; true when
 *  done. */
static bool
sweep_peer (dn_manager_t *self, dn_peer_t *peer, dn_effects_t *fx)
{
    dn_task_t *task;
    while ((task = TAILQ_FIRST (&peer->tasks))) {
        if (!dn_effects_room (fx, DN_SWEEP_ROWS))
            return false;
        if (peer->role == DN_ROLE_WORKER)
            dn_manager_lose (self, task, peer->reason, fx);
        else {
            if (!task->finish)
                dn_manager_cancel (self, task, 1, fx);
            dn_manager_settle (self, task);
        }
    }
    dn_peers_remove (self->peers, peer);
    return true;
}

void
dn_manager_sweep (dn_manager_t *self, dn_effects_t *fx)
{
    dn_peer_t *peer;
    for (uint32_t row = 0; (peer = dn_peers_next (self->peers, &row));)
        if (peer->gone && !sweep_peer (self, peer, fx))
            return;
    self->sweeping = false;
}

/*  ---- peers come ---- */

/*  Another major version, said with both numbers. The major stands first in every HELLO, for
 *  ever. */
static bool
other_version (dn_manager_t *self, const dn_manager_event_t *in, uint16_t major, dn_effects_t *fx)
{
    if (major == DN_MAJOR)
        return false;
    snprintf (self->text, sizeof self->text,
              "the manager speaks DENIM/%d.%d and the peer DENIM/%u: upgrade the older one",
              DN_MAJOR, DN_MINOR, major);
    dn_manager_fault (in->link, DENIM_REASON_VERSION, self->text, fx);
    dn_fx_log (fx, DN_FX_WARN, "version_refused", NULL)->text = self->text;
    return true;
}

/*  The peer of this session, rebound to the link that its HELLO came over; a new one if need be.
 *  NULL: nothing to do (an older link, or no room, and that was said). */
static dn_peer_t *
bind_peer (dn_manager_t *self, const dn_manager_event_t *in, dn_role_t role,
           const dn_session_t *session, uint32_t link_number, dn_effects_t *fx)
{
    dn_peer_t *peer = dn_peers_by_session (self->peers, session);
    if (peer && (peer->role != role || peer->gone || peer->link_number >= link_number))
        return NULL;
    if (!peer) {
        peer = dn_peers_add (self->peers, role, session);
        if (!peer) {
            snprintf (self->text, sizeof self->text, "as many %s as the manager allows are here",
                      role == DN_ROLE_CLIENT ? "clients" : "workers");
            dn_manager_fault (in->link, DENIM_REASON_FULL, self->text, fx);
            dn_fx_log (fx, DN_FX_WARN, "peer_refused", NULL)->text = self->text;
            return NULL;
        }
        if (role == DN_ROLE_CLIENT)
            peer->u.client.term = ++self->term;
    }
    dn_peers_bind (self->peers, peer, in->link, link_number);
    return peer;
}

static void
welcome (dn_manager_t *self, dn_peer_t *peer, dn_effects_t *fx)
{
    dn_effect_t *row = dn_fx_msg (fx, DN_FX_SEND, DN_MSG_WELCOME);
    row->to = peer->link;
    dn_welcome_t *msg = &row->msg.u.welcome;
    msg->epoch = self->config.epoch;
    msg->term = peer->role == DN_ROLE_CLIENT ? peer->u.client.term : 0;
    msg->heartbeat_ms = self->config.heartbeat_ms;
    msg->liveness = self->config.liveness;
    msg->payload_max = self->config.payload_max;
    msg->standby_ms = self->config.standby_ms;
}

void
dn_manager_on_client_hello (dn_manager_t *self, const dn_manager_event_t *in, dn_peer_t *from,
                            dn_effects_t *fx)
{
    (void) from;
    const dn_client_hello_t *hello = &in->msg->u.client_hello;
    if (other_version (self, in, hello->major, fx))
        return;
    dn_peer_t *client = bind_peer (self, in, DN_ROLE_CLIENT, &hello->session, hello->link, fx);
    if (!client)
        return;
    dn_str_copy (client->name, sizeof client->name, hello->name);
    welcome (self, client, fx);
    dn_fx_log (fx, DN_FX_DEBUG, "client_hello", client->name)->number = hello->link;
}

/*  What a worker offers now, instead of what it offered before. */
static void
take_offer (dn_manager_t *self, dn_peer_t *worker, uint32_t slots, uint32_t standby,
            dn_list_t services, dn_effects_t *fx)
{
    dn_worker_part_t *part = &worker->u.worker;
    part->slots = slots;
    part->standby = standby;
    dn_services_withdraw (self->services, part->number);
    dn_row_service_t row;
    while (dn_list_next (&services, DN_ROW_SERVICE, &row))
        if (dn_services_offer (self->services, row.name, part->number) == DN_SERVICE_NONE)
            dn_fx_log (fx, DN_FX_WARN, "services_full", worker->name)->text =
                "a service of this worker is not served: raise limits/services_max";
    self->slots = dn_manager_count_slots (self);
}

void
dn_manager_on_worker_hello (dn_manager_t *self, const dn_manager_event_t *in, dn_peer_t *from,
                            dn_effects_t *fx)
{
    (void) from;
    const dn_worker_hello_t *hello = &in->msg->u.worker_hello;
    if (other_version (self, in, hello->major, fx))
        return;
    dn_peer_t *worker = bind_peer (self, in, DN_ROLE_WORKER, &hello->session, hello->link, fx);
    if (!worker)
        return;
    dn_worker_part_t *part = &worker->u.worker;
    dn_str_copy (worker->name, sizeof worker->name, hello->name);
    dn_str_copy (part->host, sizeof part->host, hello->host);
    part->pid = hello->pid;
    part->draining = hello->state != 0;
    part->refused = false;
    part->instance = hello->instance;
    end_older (self, &hello->instance, worker, fx);
    dn_manager_inventory (self, in, worker, fx);
    take_offer (self, worker, hello->slots, hello->standby, hello->services, fx);
    welcome (self, worker, fx);
    dn_effect_t *row = dn_fx_log (fx, DN_FX_INFO, "worker_ready", worker->name);
    row->text = part->host;
    row->number = hello->slots;
}

void
dn_manager_on_offer (dn_manager_t *self, const dn_manager_event_t *in, dn_peer_t *from,
                     dn_effects_t *fx)
{
    const dn_offer_t *offer = &in->msg->u.offer;
    from->u.worker.restarts = offer->restarts;
    from->u.worker.rss_bytes = offer->rss_bytes;
    take_offer (self, from, offer->slots, offer->standby, offer->services, fx);
}
