/*  manager.c - the manager's machine: dispatch, peers that come and go, beats
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "core/manager_private.h"

#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

#define SILENT_BEATS 3   /* after which a peer opens a fresh socket, at the latest */
#define CONNECT_MS   500 /* that this may take, however short a heartbeat is */

/*  ---- construction ---- */

dn_manager_t *
dn_manager_new (const dn_manager_config_t *config, int64_t now_ms)
{
    dn_check (config->epoch && config->heartbeat_ms && config->liveness);
    dn_manager_t *self = calloc (1, sizeof *self);
    if (!self)
        return NULL;
    self->config = *config;
    self->beat_ms = now_ms + config->heartbeat_ms;
    self->stranger_ms = DN_NEVER;
    self->peers = dn_peers_new (config->clients_max, config->workers_max, config->seed);
    self->services = dn_services_new (config->services_max, config->workers_max, config->seed);
    self->rosters = dn_rosters_new (DN_EPOCHS_MAX);
    self->forgotten = dn_crowd_new (DN_GONE_CLIENTS_MAX, config->seed);
    self->forgets = dn_crowd_new (DN_FORGETS_MAX, config->seed);
    self->left = dn_crowd_new (DN_LEFT_MAX, config->seed);
    self->strays = dn_crowd_new (DN_STRAYS_MAX, config->seed);
    self->waiters = dn_waiters_new (config->clients_max, config->services_max, self->peers);
    self->expire_ms = DN_NEVER;
    self->batch = calloc (config->workers_max, sizeof *self->batch);
    self->held_up = calloc (config->workers_max, sizeof *self->held_up);
    self->held_by = calloc (config->workers_max, sizeof *self->held_by);
    if (self->peers)
        self->tasks = dn_tasks_new (config->tasks_max, self->peers, config->seed);
    if (!self->peers || !self->services || !self->tasks || !self->rosters || !self->forgotten ||
        !self->forgets || !self->strays || !self->left || !self->batch || !self->waiters ||
        !self->held_up || !self->held_by)
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
    dn_waiters_destroy (&self->waiters);
    dn_services_destroy (&self->services);
    dn_peers_destroy (&self->peers);
    dn_rosters_destroy (&self->rosters);
    dn_crowd_destroy (&self->forgotten);
    dn_crowd_destroy (&self->forgets);
    dn_crowd_destroy (&self->left);
    dn_crowd_destroy (&self->strays);
    free (self->batch);
    free (self->held_up);
    free (self->held_by);
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

void
dn_manager_fault (dn_link_t link, denim_reason_t reason, const char *text, dn_effects_t *fx)
{
    dn_effect_t *row = dn_fx_msg (fx, DN_FX_SEND, DN_MSG_FAULT);
    row->to = link;
    row->reason = (uint8_t) reason;
    row->msg.u.fault.reason = (uint8_t) reason;
    row->msg.u.fault.major = DN_MAJOR;
    row->msg.u.fault.minor = DN_MINOR;
    row->msg.u.fault.text = dn_str (text);
}

/*  A stranger is told once for each link, as it has no row where to note when. */
static bool
was_faulted (dn_manager_t *self, dn_link_t link)
{
    for (uint32_t i = 0; i < DN_WHO_MAX; i++)
        if (self->faulted[i] == link)
            return true;
    self->faulted[self->faulted_at++ % DN_WHO_MAX] = link;
    return false;
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
    bool     recent = *faulted_ms != DN_NEVER && now_ms - *faulted_ms < DN_FAULT_EVERY_MS;
    if (peer ? !recent : !was_faulted (self, link))
        dn_manager_fault (link, DENIM_REASON_MALFORMED, dn_wire_strerror (error), fx);
    if (recent)
        return; /* it is logged already */
    *faulted_ms = now_ms;
    dn_effect_t *row = dn_fx_log (fx, DN_FX_WARN, "malformed", peer ? peer->name : NULL);
    row->text = dn_wire_strerror (error);
    row->number = peer ? peer->malformed : self->counters.malformed;
}

/*  ---- the rest ---- */

bool
dn_manager_ready (const dn_manager_t *self, const dn_peer_t *worker)
{
    return worker && !worker->gone && worker->link && !worker->u.worker.draining &&
           worker->silent_beats < self->config.liveness;
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
    dn_task_t           *task =
        dn_tasks_find (self->tasks, &progress->session, progress->seq, progress->attempt);
    dn_peer_t *client = task ? dn_manager_client_of (self, task) : NULL;
    if (client && client->link)
        dn_fx_add (fx, DN_FX_RELAY)->to = client->link;
}

/*  A sign of life and no more: nothing is streamed or asked of workers yet. */
static void
ignore (dn_manager_t *self, const dn_manager_event_t *in, dn_peer_t *from, dn_effects_t *fx)
{
    (void) self, (void) in, (void) from, (void) fx;
}

/*  Who may say it, whether it makes a peer known, and what it causes. Every message that a client
 *  or a worker can send has its row. */
static const struct {
    dn_manager_handler_fn *handle;
    bool                   greeting; /* taken from strangers: `from` is NULL */
    bool                   client;
    bool                   worker;
} dispatch[DN_MSGS] = {
    [DN_MSG_CLIENT_HELLO] = {dn_manager_on_client_hello, true, true, false},
    [DN_MSG_WORKER_HELLO] = {dn_manager_on_worker_hello, true, false, true},
    [DN_MSG_SUBMIT] = {dn_manager_on_submit, false, true, false},
    [DN_MSG_PASS] = {dn_manager_on_pass, false, true, false},
    [DN_MSG_CLIENT_CANCEL] = {on_client_cancel, false, true, false},
    [DN_MSG_ACK] = {dn_manager_on_ack, false, true, false},
    [DN_MSG_OPEN] = {dn_manager_on_open, false, true, false},
    [DN_MSG_CLIENT_MORE] = {ignore, false, true, false},
    [DN_MSG_ASK] = {on_ask, false, true, false},
    [DN_MSG_BYE] = {dn_manager_on_bye, false, true, true},
    [DN_MSG_RESULT] = {dn_manager_on_result, false, false, true},
    [DN_MSG_PROGRESS] = {on_progress, false, false, true},
    [DN_MSG_REFUSE] = {dn_manager_on_refuse, false, false, true},
    [DN_MSG_OFFER] = {dn_manager_on_offer, false, false, true},
    [DN_MSG_HELD] = {dn_manager_on_held, false, false, true},
    [DN_MSG_PART] = {ignore, false, false, true},
    [DN_MSG_ANSWER] = {ignore, false, false, true},
    [DN_MSG_DRAINING] = {dn_manager_on_draining, false, false, true},
};

void
dn_manager_input (dn_manager_t *self, const dn_manager_event_t *in, dn_effects_t *fx)
{
    self->now_ms = in->now_ms;
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
    if (from->role == DN_ROLE_CLIENT && from->u.client.late) {
        from->u.client.late = false;
        self->granting = true;
    }
    dispatch[kind].handle (self, in, from, fx);
}

void
dn_manager_refused (dn_manager_t *self, int64_t now_ms, const dn_effect_t *effect, bool gone,
                    dn_effects_t *fx)
{
    self->now_ms = now_ms;
    self->counters.unsent++;
    if (effect->kind == DN_FX_SEND && effect->msg.kind == DN_MSG_GRANT)
        dn_manager_grant_refused (self, effect->handle);
    dn_task_t *task = dn_tasks_get (self->tasks, effect->handle);
    if (effect->kind != DN_FX_FORWARD || !task || task->state != DN_TASK_PLACED)
        return; /* OPEN and HELD make up for all the rest */
    dn_peer_t *worker = dn_manager_worker_of (self, task);
    if (worker)
        worker->u.worker.refused = true;
    dn_manager_give_back (self, task, gone ? DENIM_REASON_NO_WORKER : DENIM_REASON_BUSY, fx);
}

/*  ---- time ---- */

/*  As long as it may take a peer to notice by itself that the old manager is silent, and to
 *  connect: one beat more, or several if they are short. */
bool
dn_manager_settling (const dn_manager_t *self)
{
    uint32_t beats = self->config.liveness > SILENT_BEATS ? self->config.liveness : SILENT_BEATS;
    uint32_t connect = (CONNECT_MS + self->config.heartbeat_ms - 1) / self->config.heartbeat_ms;
    return self->beats < beats + connect;
}

/*  A BEAT that should have had news and has not is none of those that are known by their answer. */
static void
tell_news (const dn_manager_t *self, dn_peer_t *worker, dn_beat_t *beat, dn_news_t *news,
           dn_effects_t *fx)
{
    dn_worker_part_t *part = &worker->u.worker;
    bool              newest = part->roster == self->roster;
    if (newest && part->forgets == dn_crowd_newest (self->forgets))
        return;
    if (!dn_manager_make_news (self, worker, news, fx)) {
        part->news_mark = worker->mark + 1;
        return;
    }
    beat->roster_version = newest ? 0 : self->roster;
    if (!newest)
        beat->roster = news->roster;
    beat->forgotten = news->forgets;
    dn_manager_note_news (self, worker, news, worker->mark);
}

void
dn_manager_beat (dn_manager_t *self, dn_peer_t *peer, dn_news_t *news, dn_effects_t *fx)
{
    dn_effect_t *row = dn_fx_msg (fx, DN_FX_SEND, DN_MSG_BEAT);
    dn_beat_t   *beat = &row->msg.u.beat;
    row->to = peer->link;
    beat->epoch = self->config.epoch;
    beat->mark = ++peer->mark;
    uint64_t load = self->slots ? self->places * 100ull / self->slots : 0;
    beat->load = (uint8_t) (load < 100 ? load : 100);
    if (peer->role == DN_ROLE_CLIENT)
        peer->u.client.beat_ms = self->now_ms;
    if (peer->role == DN_ROLE_WORKER)
        tell_news (self, peer, beat, news, fx);
}

static void
note_silence (dn_manager_t *self, dn_peer_t *peer, dn_effects_t *fx)
{
    uint32_t gone_beats =
        peer->role == DN_ROLE_WORKER ? DN_WORKER_GONE_BEATS : DN_CLIENT_GONE_BEATS;
    peer->silent_beats++;
    if (peer->silent_beats == self->config.liveness && peer->role == DN_ROLE_WORKER) {
        self->slots = dn_manager_count_slots (self);
        dn_effect_t *row = dn_fx_log (fx, DN_FX_WARN, "worker_quiet", peer->name);
        row->ms = (int64_t) peer->silent_beats * self->config.heartbeat_ms;
        row->number = peer->u.worker.placed;
    }
    if (peer->silent_beats > gone_beats)
        dn_manager_go (self, peer, DENIM_REASON_SILENT, fx);
}

static void
beat (dn_manager_t *self, dn_effects_t *fx)
{
    dn_peer_t *peer;
    dn_news_t  news = {0};
    while (dn_effects_room (fx, DN_SWEEP_ROWS)) {
        peer = dn_peers_next (self->peers, &self->beat_row);
        if (!peer) {
            self->beating = false;
            return;
        }
        if (!peer->gone)
            note_silence (self, peer, fx);
        if (!peer->gone && peer->link)
            dn_manager_beat (self, peer, &news, fx);
    }
}

static void
tell_known (dn_manager_t *self, int64_t now_ms, dn_effects_t *fx)
{
    dn_task_t *task;
    while ((task = dn_tasks_fresh (self->tasks)) && now_ms - task->placed_ms >= DN_KNOWN_MS &&
           dn_effects_room (fx, DN_SWEEP_ROWS))
        dn_manager_known (self, task, task->try_no, fx);
}

void
dn_manager_tick (dn_manager_t *self, int64_t now_ms, dn_effects_t *fx)
{
    self->now_ms = now_ms;
    dn_manager_tick_releases (self, fx);
    tell_known (self, now_ms, fx);
    if (self->sweeping)
        dn_manager_sweep (self, fx);
    if (!self->beating && now_ms >= self->beat_ms) {
        self->beat_ms = now_ms + self->config.heartbeat_ms;
        self->beats++;
        self->unheard -= self->unheard > 0;
        dn_manager_name_workers (self);
        self->beat_row = 0;
        self->beating = true;
        dn_services_beat (self->services, self->config.heartbeat_ms);
    }
    if (self->beating)
        beat (self, fx);
    if (self->granting || now_ms >= self->expire_ms)
        dn_manager_tick_grants (self, fx);
}

int64_t
dn_manager_deadline_ms (const dn_manager_t *self)
{
    if (self->beating || self->sweeping || self->granting)
        return 0;
    dn_task_t *task = dn_tasks_fresh (self->tasks);
    int64_t    due_ms = task ? task->placed_ms + DN_KNOWN_MS : DN_NEVER;
    if (self->batches && self->settled_ms < due_ms)
        due_ms = self->settled_ms;
    if (self->expire_ms < due_ms)
        due_ms = self->expire_ms;
    return due_ms < self->beat_ms ? due_ms : self->beat_ms;
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

static void
check_levels (const dn_peer_t *worker)
{
    const dn_worker_part_t *part = &worker->u.worker;
    uint32_t                at_depth[DN_LEVELS_MAX] = {0}, all = 0;
    const dn_task_t        *task;
    TAILQ_FOREACH (task, &worker->tasks, of_worker)
    at_depth[task->depth] += task->state == DN_TASK_PLACED;
    for (unsigned i = 0; i < DN_LEVELS_MAX; i++) {
        dn_check (at_depth[i] <= part->at_depth[i]);
        all += part->at_depth[i];
    }
    dn_check (all == part->placed + part->reserved);
}

void
dn_manager_check (const dn_manager_t *self)
{
    dn_peers_check (self->peers);
    dn_tasks_check (self->tasks);
    dn_waiters_check (self->waiters);
    dn_services_check (self->services);
    uint32_t   places = 0, of_services = 0, batches = 0;
    dn_peer_t *peer;
    for (uint32_t row = 0; (peer = dn_peers_next (self->peers, &row));) {
        uint32_t   count = 0, placed = 0;
        uint64_t   bytes = 0;
        dn_task_t *task;
        if (peer->role == DN_ROLE_WORKER) {
            TAILQ_FOREACH (task, &peer->tasks, of_worker)
            {
                bool place = task->state == DN_TASK_PLACED;
                count++;
                placed += place;
                dn_check (task->worker == peer->self);
                of_services += place && task->service != DN_SERVICE_NONE;
            }
            dn_check (placed == peer->u.worker.placed);
            check_levels (peer);
            dn_check (!peer->gone || count || self->sweeping);
            places += placed;
        } else
            TAILQ_FOREACH (task, &peer->tasks, of_client)
            {
                count++;
                placed += task->state == DN_TASK_PLACED;
                bytes += task->answer_bytes;
                dn_check (task->client == peer->self && !task->settled);
            }
        dn_check (count == peer->tasks_count);
        dn_check (peer->role == DN_ROLE_WORKER ||
                  (placed == peer->u.client.placed && bytes == peer->u.client.answer_bytes));
    }
    dn_check (places == self->places);
    for (uint32_t i = 0; i < dn_services_count (self->services); i++)
        of_services -= dn_services_get (self->services, i)->placed;
    dn_check (of_services == 0);
    for (uint32_t i = 0; i < self->config.workers_max; i++) {
        batches += self->batch[i].count > 0;
        dn_check (!self->batch[i].count || dn_peers_worker (self->peers, i));
    }
    dn_check (batches == self->batches);
}
