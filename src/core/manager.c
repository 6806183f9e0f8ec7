/*  manager.c - the manager's machine: dispatch, peers that come and go, beats
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "core/manager_private.h"

#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

#define SWEEP_ROWS 8            /* effects that one task of a peer that is gone can cause, and some */

/*  ---- construction ---- */

dn_manager_t *
dn_manager_new (const dn_manager_config_t *config, int64_t now_ms)
{
    dn_check (config->epoch && config->heartbeat_ms && config->liveness);
    dn_manager_t *self = calloc (1, sizeof *self);
    if (!self)
        return NULL;
    self->config = *config;
    self->boot_ms = now_ms;
    self->beat_ms = now_ms + config->heartbeat_ms;
    self->stranger_ms = DN_NEVER;
    self->peers = dn_peers_new (config->clients_max, config->workers_max, config->seed);
    self->services = dn_services_new (config->services_max, config->workers_max, config->seed);
    if (self->peers)
        self->tasks = dn_tasks_new (config->tasks_max, self->peers, config->seed);
    if (!self->peers || !self->services || !self->tasks)
        dn_manager_destroy (&self);
    return self;
}

void
dn_manager_destroy (dn_manager_t **self_p)
{
    dn_manager_t *self = *self_p;
    if (!self)
        return;
    dn_tasks_destroy (&self->tasks);
    dn_services_destroy (&self->services);
    dn_peers_destroy (&self->peers);
    free (self);
    *self_p = NULL;
}

/*  ---- strangers ---- */

/*  A frame from nobody we know: ask who it is, once for each link. */
static void
ask_who (dn_manager_t *self, dn_link_t link, dn_effects_t *fx)
{
    for (uint32_t i = 0; i < DN_WHO_MAX; i++)
        if (self->who[i] == link)
            return;
    self->who[self->who_at++ % DN_WHO_MAX] = link;
    dn_fx_msg (fx, DN_FX_SEND, DN_MSG_WHO)->to = link;
}

static void
fault (dn_link_t link, denim_reason_t reason, const char *text, dn_effects_t *fx)
{
    dn_effect_t *row = dn_fx_msg (fx, DN_FX_SEND, DN_MSG_FAULT);
    row->to = link;
    row->reason = (uint8_t) reason;
    row->msg.u.fault.reason = (uint8_t) reason;
    row->msg.u.fault.major = DN_MAJOR;
    row->msg.u.fault.minor = DN_MINOR;
    row->msg.u.fault.text = dn_str (text);
}

void
dn_manager_malformed (dn_manager_t *self, int64_t now_ms, dn_link_t link, int error,
                      dn_effects_t *fx)
{
    self->counters.malformed++;
    dn_peer_t *peer = dn_peers_by_link (self->peers, link);
    if (peer)
        peer->malformed++;
    int64_t *faulted_ms = peer ? &peer->faulted_ms : &self->stranger_ms;
    if (*faulted_ms != DN_NEVER && now_ms - *faulted_ms < DN_FAULT_EVERY_MS)
        return;
    *faulted_ms = now_ms;
    fault (link, DENIM_REASON_MALFORMED, dn_wire_strerror (error), fx);
    dn_effect_t *row = dn_fx_log (fx, DN_FX_WARN, "malformed", peer ? peer->name : NULL);
    row->text = dn_wire_strerror (error);
    row->number = peer ? peer->malformed : self->counters.malformed;
}

/*  ---- peers come ---- */

/*  Another major version, said with both numbers. The major stands first in every HELLO, for ever. */
static bool
other_version (dn_manager_t *self, const dn_manager_event_t *in, uint16_t major, dn_effects_t *fx)
{
    if (major == DN_MAJOR)
        return false;
    snprintf (self->text, sizeof self->text,
              "the manager speaks DENIM/%d.%d and the peer DENIM/%u: upgrade the older one",
              DN_MAJOR, DN_MINOR, major);
    fault (in->link, DENIM_REASON_VERSION, self->text, fx);
    dn_fx_log (fx, DN_FX_WARN, "version_refused", NULL)->text = self->text;
    return true;
}

/*  The peer of this session, rebound to the link that its HELLO came over; a new one if need be. NULL:
 *  nothing to do (an older link, or no room, and that was said). */
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
            fault (in->link, DENIM_REASON_FULL, self->text, fx);
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

static void
on_client_hello (dn_manager_t *self, const dn_manager_event_t *in, dn_peer_t *from,
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

static uint32_t
count_slots (const dn_manager_t *self)
{
    uint32_t slots = 0;
    dn_peer_t *peer;
    for (uint32_t row = 0; (peer = dn_peers_next (self->peers, &row));)
        if (peer->role == DN_ROLE_WORKER && dn_manager_ready (self, peer))
            slots += peer->u.worker.slots;
    return slots;
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
            dn_fx_log (fx, DN_FX_WARN, "services_full", worker->name)->text
                = "a service of this worker is not served: raise limits/services_max";
    self->slots = count_slots (self);
}

/*  A new process of the same worker: what the old one had is lost at once. */
static void
end_older (dn_manager_t *self, const dn_session_t *instance, const dn_peer_t *worker,
           dn_effects_t *fx);

static void
on_worker_hello (dn_manager_t *self, const dn_manager_event_t *in, dn_peer_t *from,
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

static void
on_offer (dn_manager_t *self, const dn_manager_event_t *in, dn_peer_t *from, dn_effects_t *fx)
{
    const dn_offer_t *offer = &in->msg->u.offer;
    from->u.worker.restarts = offer->restarts;
    from->u.worker.rss_bytes = offer->rss_bytes;
    take_offer (self, from, offer->slots, offer->standby, offer->services, fx);
}

/*  ---- peers go ---- */

static void
go (dn_manager_t *self, dn_peer_t *peer, denim_reason_t reason, dn_effects_t *fx)
{
    bool worker = peer->role == DN_ROLE_WORKER;
    peer->gone = true;
    peer->reason = (uint8_t) reason;
    self->sweeping = true;
    if (worker)
        dn_services_withdraw (self->services, peer->u.worker.number);
    self->slots = count_slots (self);
    bool expected = reason == DENIM_REASON_SHUTDOWN && peer->tasks_count == 0;
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
        if (peer != worker && peer->role == DN_ROLE_WORKER && !peer->gone
            && dn_session_eq (&peer->u.worker.instance, instance))
            go (self, peer, DENIM_REASON_CRASH, fx);
}

static void
on_bye (dn_manager_t *self, const dn_manager_event_t *in, dn_peer_t *from, dn_effects_t *fx)
{
    (void) in;
    go (self, from, DENIM_REASON_SHUTDOWN, fx);
}

static void
on_draining (dn_manager_t *self, const dn_manager_event_t *in, dn_peer_t *from, dn_effects_t *fx)
{
    (void) in;
    from->u.worker.draining = true;
    self->slots = count_slots (self);
    dn_fx_log (fx, DN_FX_INFO, "worker_draining", from->name)->number = from->tasks_count;
}

/*  Tell what became of the tasks of a peer that is gone, as far as there is room; true when done. */
static bool
sweep_peer (dn_manager_t *self, dn_peer_t *peer, dn_effects_t *fx)
{
    dn_task_t *task;
    while ((task = TAILQ_FIRST (&peer->tasks))) {
        if (!dn_effects_room (fx, SWEEP_ROWS))
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

static void
sweep (dn_manager_t *self, dn_effects_t *fx)
{
    dn_peer_t *peer;
    for (uint32_t row = 0; (peer = dn_peers_next (self->peers, &row));)
        if (peer->gone && !sweep_peer (self, peer, fx))
            return;
    self->sweeping = false;
}

/*  ---- the rest ---- */

bool
dn_manager_ready (const dn_manager_t *self, const dn_peer_t *worker)
{
    return worker && !worker->gone && worker->link && !worker->u.worker.draining
           && worker->silent_beats < self->config.liveness;
}

static void
on_client_cancel (dn_manager_t *self, const dn_manager_event_t *in, dn_peer_t *from,
                  dn_effects_t *fx)
{
    const dn_client_cancel_t *cancel = &in->msg->u.client_cancel;
    dn_task_t *task = dn_tasks_find (self->tasks, &from->session, cancel->seq, cancel->attempt);
    if (task)
        dn_manager_cancel (self, task, cancel->how, fx);
    /* else its outcome is on the way, or it never came: OPEN will tell */
}

static void
on_ask (dn_manager_t *self, const dn_manager_event_t *in, dn_peer_t *from, dn_effects_t *fx)
{
    (void) self;
    dn_effect_t *row = dn_fx_add (fx, DN_FX_ASKED);
    row->to = from->link;
    row->msg = *in->msg;
}

/*  What a task says of itself goes to its client as it is. */
static void
on_progress (dn_manager_t *self, const dn_manager_event_t *in, dn_peer_t *from, dn_effects_t *fx)
{
    (void) from;
    const dn_progress_t *progress = &in->msg->u.progress;
    dn_task_t *task
        = dn_tasks_find (self->tasks, &progress->session, progress->seq, progress->attempt);
    dn_peer_t *client = task ? dn_manager_client_of (self, task) : NULL;
    if (client && client->link)
        dn_fx_add (fx, DN_FX_RELAY)->to = client->link;
}

/*  A sign of life and no more: nothing is granted, streamed or asked of workers yet. */
static void
ignore (dn_manager_t *self, const dn_manager_event_t *in, dn_peer_t *from, dn_effects_t *fx)
{
    (void) self, (void) in, (void) from, (void) fx;
}

/*  Who may say it, whether it makes a peer known, and what it causes. Every message that a client or a
 *  worker can send has its row. */
static const struct {
    dn_manager_handler_fn *handle;
    bool greeting;              /* taken from strangers: `from` is NULL */
    bool client;
    bool worker;
} dispatch[DN_MSGS] = {
    [DN_MSG_CLIENT_HELLO] = {on_client_hello, true, true, false},
    [DN_MSG_WORKER_HELLO] = {on_worker_hello, true, false, true},
    [DN_MSG_SUBMIT] = {dn_manager_on_submit, false, true, false},
    [DN_MSG_PASS] = {ignore, false, true, false},
    [DN_MSG_CLIENT_CANCEL] = {on_client_cancel, false, true, false},
    [DN_MSG_ACK] = {dn_manager_on_ack, false, true, false},
    [DN_MSG_OPEN] = {dn_manager_on_open, false, true, false},
    [DN_MSG_CLIENT_MORE] = {ignore, false, true, false},
    [DN_MSG_ASK] = {on_ask, false, true, false},
    [DN_MSG_BYE] = {on_bye, false, true, true},
    [DN_MSG_RESULT] = {dn_manager_on_result, false, false, true},
    [DN_MSG_PROGRESS] = {on_progress, false, false, true},
    [DN_MSG_REFUSE] = {dn_manager_on_refuse, false, false, true},
    [DN_MSG_OFFER] = {on_offer, false, false, true},
    [DN_MSG_HELD] = {dn_manager_on_held, false, false, true},
    [DN_MSG_PART] = {ignore, false, false, true},
    [DN_MSG_ANSWER] = {ignore, false, false, true},
    [DN_MSG_DRAINING] = {on_draining, false, false, true},
};

void
dn_manager_input (dn_manager_t *self, const dn_manager_event_t *in, dn_effects_t *fx)
{
    unsigned kind = (unsigned) in->msg->kind;
    if (!dispatch[kind].handle) {
        dn_manager_malformed (self, in->now_ms, in->link, DN_WIRE_DIRECTION, fx);
        return;
    }
    if (dispatch[kind].greeting) {
        dispatch[kind].handle (self, in, NULL, fx);
        return;
    }
    dn_peer_t *from = dn_peers_by_link (self->peers, in->link);
    if (!from || from->gone) {
        ask_who (self, in->link, fx);
        return;
    }
    bool may = from->role == DN_ROLE_CLIENT ? dispatch[kind].client : dispatch[kind].worker;
    if (!may) {
        dn_manager_malformed (self, in->now_ms, in->link, DN_WIRE_DIRECTION, fx);
        return;
    }
    from->silent_beats = 0;
    dispatch[kind].handle (self, in, from, fx);
}

void
dn_manager_refused (dn_manager_t *self, int64_t now_ms, const dn_effect_t *effect, bool gone,
                    dn_effects_t *fx)
{
    (void) now_ms;
    self->counters.unsent++;
    dn_task_t *task = dn_tasks_get (self->tasks, effect->handle);
    if (effect->kind != DN_FX_FORWARD || !task || task->state != DN_TASK_PLACED)
        return;                 /* OPEN and HELD make up for all the rest */
    dn_peer_t *worker = dn_manager_worker_of (self, task);
    if (worker)
        worker->u.worker.refused = true;
    dn_manager_reject (self, dn_manager_client_of (self, task), task,
                       gone ? DENIM_REASON_NO_WORKER : DENIM_REASON_BUSY, fx);
    dn_manager_move (self, task, DN_TASK_FREE);
}

/*  ---- time ---- */

static void
beat_peer (dn_manager_t *self, dn_peer_t *peer, dn_effects_t *fx)
{
    uint32_t gone_beats
        = peer->role == DN_ROLE_WORKER ? DN_WORKER_GONE_BEATS : DN_CLIENT_GONE_BEATS;
    peer->silent_beats++;
    if (peer->silent_beats == self->config.liveness && peer->role == DN_ROLE_WORKER) {
        self->slots = count_slots (self);
        dn_effect_t *row = dn_fx_log (fx, DN_FX_WARN, "worker_quiet", peer->name);
        row->ms = (int64_t) peer->silent_beats * self->config.heartbeat_ms;
        row->number = peer->tasks_count;
    }
    if (peer->silent_beats > gone_beats) {
        go (self, peer, DENIM_REASON_SILENT, fx);
        return;
    }
    if (!peer->link)
        return;
    dn_effect_t *row = dn_fx_msg (fx, DN_FX_SEND, DN_MSG_BEAT);
    row->to = peer->link;
    row->msg.u.beat.epoch = self->config.epoch;
    row->msg.u.beat.mark = ++peer->mark;
    uint64_t load = self->slots ? self->places * 100ull / self->slots : 0;
    row->msg.u.beat.load = (uint8_t) (load < 100 ? load : 100);
}

static void
beat (dn_manager_t *self, dn_effects_t *fx)
{
    dn_peer_t *peer;
    while (dn_effects_room (fx, SWEEP_ROWS)) {
        peer = dn_peers_next (self->peers, &self->beat_row);
        if (!peer) {
            self->beating = false;
            return;
        }
        if (!peer->gone)
            beat_peer (self, peer, fx);
    }
}

static void
tell_known (dn_manager_t *self, int64_t now_ms, dn_effects_t *fx)
{
    dn_task_t *task;
    while ((task = dn_tasks_fresh (self->tasks)) && now_ms - task->placed_ms >= DN_KNOWN_MS
           && dn_effects_room (fx, SWEEP_ROWS))
        dn_manager_known (self, task, task->try_no, fx);
}

void
dn_manager_tick (dn_manager_t *self, int64_t now_ms, dn_effects_t *fx)
{
    tell_known (self, now_ms, fx);
    if (self->sweeping)
        sweep (self, fx);
    if (!self->beating && now_ms >= self->beat_ms) {
        self->beat_ms = now_ms + self->config.heartbeat_ms;
        self->beats++;
        self->beat_row = 0;
        self->beating = true;
        dn_services_beat (self->services, self->config.heartbeat_ms);
    }
    if (self->beating)
        beat (self, fx);
}

int64_t
dn_manager_deadline_ms (const dn_manager_t *self)
{
    if (self->beating || self->sweeping)
        return 0;
    dn_task_t *task = dn_tasks_fresh (self->tasks);
    int64_t known_ms = task ? task->placed_ms + DN_KNOWN_MS : DN_NEVER;
    return known_ms < self->beat_ms ? known_ms : self->beat_ms;
}

void
dn_manager_drain (dn_manager_t *self, dn_effects_t *fx)
{
    self->draining = true;
    dn_fx_log (fx, DN_FX_INFO, "draining", NULL)->number = self->places;
}

/*  ---- what it knows ---- */

uint32_t
dn_manager_placed (const dn_manager_t *self)
{
    return self->places;
}

const dn_manager_config_t *
dn_manager_config (const dn_manager_t *self)
{
    return &self->config;
}

const dn_manager_counters_t *
dn_manager_counters (const dn_manager_t *self)
{
    return &self->counters;
}

const dn_peers_t *
dn_manager_peers (const dn_manager_t *self)
{
    return self->peers;
}

const dn_services_t *
dn_manager_services (const dn_manager_t *self)
{
    return self->services;
}

const dn_tasks_t *
dn_manager_tasks (const dn_manager_t *self)
{
    return self->tasks;
}

bool
dn_manager_draining (const dn_manager_t *self)
{
    return self->draining;
}

const char *
dn_manager_worker_state (const dn_manager_t *self, const dn_peer_t *worker)
{
    if (worker->gone)
        return "gone";
    if (worker->u.worker.draining)
        return "draining";
    return dn_manager_ready (self, worker) ? "ready" : "quiet";
}

void
dn_manager_check (const dn_manager_t *self)
{
    dn_peers_check (self->peers);
    dn_tasks_check (self->tasks);
    uint32_t places = 0, of_services = 0;
    dn_peer_t *peer;
    for (uint32_t row = 0; (peer = dn_peers_next (self->peers, &row));) {
        uint32_t count = 0;
        dn_task_t *task;
        if (peer->role == DN_ROLE_WORKER) {
            TAILQ_FOREACH (task, &peer->tasks, of_worker) {
                count++;
                dn_check (task->state == DN_TASK_PLACED && task->worker == peer->self);
                of_services += task->service != DN_SERVICE_NONE;
            }
            places += count;
        } else
            TAILQ_FOREACH (task, &peer->tasks, of_client) {
                count++;
                dn_check (task->client == peer->self);
            }
        dn_check (count == peer->tasks_count);
    }
    dn_check (places == self->places);
    for (uint32_t i = 0; i < dn_services_count (self->services); i++)
        of_services -= dn_services_get (self->services, i)->placed;
    dn_check (of_services == 0);
}
