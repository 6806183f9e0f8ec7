/*  members.c - peers that come and go: HELLO, what a worker offers, and what becomes of the tasks
 *  of one that is gone
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "core/manager_private.h"

#include "base/check.h"

#include <stdio.h>

#define SESSION_BYTES 16 /* of a row of a roster */
#define NAMED_BEATS   2  /* until a worker does not wait for others to know of it */

/*  ---- peers go ---- */

uint32_t
dn_manager_own_slots (const dn_peer_t *worker)
{
    const dn_worker_part_t *part = &worker->u.worker;
    return part->slots > part->lent ? part->slots - part->lent : 0;
}

uint32_t
dn_manager_count_slots (const dn_manager_t *self)
{
    uint32_t   slots = 0;
    dn_peer_t *peer;
    for (uint32_t row = 0; (peer = dn_peers_next (self->peers, &row));)
        if (peer->role == DN_ROLE_WORKER && dn_manager_ready (self, peer))
            slots += dn_manager_own_slots (peer);
    return slots;
}

void
dn_manager_go (dn_manager_t *self, dn_peer_t *peer, denim_reason_t reason, dn_effects_t *fx)
{
    bool worker = peer->role == DN_ROLE_WORKER;
    peer->gone = true;
    peer->reason = (uint8_t) reason;
    self->sweeping = true;
    if (worker) {
        dn_manager_release_now (self, peer, fx);
        dn_services_withdraw (self->services, peer->u.worker.number);
        dn_manager_withdraw_grants (self, peer);
    } else {
        dn_manager_leave_rings (self, peer);
        if (reason != DENIM_REASON_SHUTDOWN) /* else nobody has to know: it will not be back */
            dn_crowd_renew (self->forgets, &peer->session);
    }
    self->slots = dn_manager_count_slots (self);
    uint32_t     had = worker ? peer->u.worker.placed : peer->tasks_count;
    bool         expected = reason == DENIM_REASON_SHUTDOWN && had == 0;
    dn_effect_t *row = dn_fx_log (fx, worker ? (expected ? DN_FX_INFO : DN_FX_WARN) : DN_FX_DEBUG,
                                  worker ? "worker_gone" : "client_gone", peer->name);
    row->reason = (uint8_t) reason;
    row->number = had;
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
            dn_manager_go (self, peer, DENIM_REASON_RESTARTED, fx);
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
    dn_manager_withdraw_grants (self, from);
    self->slots = dn_manager_count_slots (self);
    dn_fx_log (fx, DN_FX_INFO, "worker_draining", from->name)->number = from->u.worker.placed;
}

static bool
lose_tasks (dn_manager_t *self, dn_peer_t *worker, dn_effects_t *fx)
{
    for (dn_task_t *task = TAILQ_FIRST (&worker->tasks), *next; task; task = next) {
        next = TAILQ_NEXT (task, of_worker);
        if (!dn_effects_room (fx, DN_SWEEP_ROWS))
            return false;
        if (task->state == DN_TASK_PLACED)
            dn_manager_lose (self, task, worker->reason, fx);
        else if (task->state == DN_TASK_FINISHED) { /* its client has the outcome, or asks */
            task->reason = worker->reason;
            dn_manager_move (self, task, DN_TASK_LOST, NULL);
        }
    }
    return true;
}

/*  A worker that is gone and may come back with a task of this client, which may come back, too: it
 *  must not be said that the task never ran. */
static void
note_stray (dn_manager_t *self, const dn_task_t *task)
{
    const dn_peer_t *worker = dn_peers_get (self->peers, task->worker);
    if (!worker || !worker->gone || dn_crowd_has (self->strays, &worker->session))
        return;
    dn_crowd_add (self->strays, &worker->session);
    self->roster++;
}

static bool
forget_tasks (dn_manager_t *self, dn_peer_t *client, dn_effects_t *fx)
{
    dn_task_t *task;
    while ((task = TAILQ_FIRST (&client->tasks))) {
        if (!dn_effects_room (fx, DN_SWEEP_ROWS))
            return false;
        if (client->reason != DENIM_REASON_SHUTDOWN)
            note_stray (self, task); /* and FORGET cancels it, so that it never ends for a client */
        else if (!task->finish)
            dn_manager_cancel (self, task, 1, fx);
        dn_manager_settle (self, task, fx);
    }
    if (client->reason == DENIM_REASON_SHUTDOWN)
        return true;
    dn_peer_t *worker; /* sooner than the next BEAT, and what it has of the client goes, too */
    while ((worker = dn_peers_next (self->peers, &client->u.client.forget_row))) {
        if (worker->role == DN_ROLE_WORKER && !worker->gone)
            dn_manager_forget (self, worker, &client->session, fx);
        if (!dn_effects_room (fx, DN_SWEEP_ROWS))
            return false;
    }
    return true;
}

/*  Its row is free: nobody asks about a task of it any more. */
static void
remove_peer (dn_manager_t *self, dn_peer_t *peer)
{
    if (peer->role == DN_ROLE_WORKER) {
        self->roster++;
        dn_crowd_add (self->left, &peer->session);
    }
    dn_peers_remove (self->peers, peer);
}

/*  Tell what became of the tasks of those that are gone, as far as there is room. */
void
dn_manager_sweep (dn_manager_t *self, dn_effects_t *fx)
{
    dn_peer_t *peer;
    self->sweeping = false;
    for (uint32_t row = 0; (peer = dn_peers_next (self->peers, &row));) {
        if (!peer->gone)
            continue;
        bool done = peer->role == DN_ROLE_WORKER ? lose_tasks (self, peer, fx)
                                                 : forget_tasks (self, peer, fx);
        if (!done) {
            self->sweeping = true;
            return;
        }
        if (peer->tasks_count == 0)
            remove_peer (self, peer);
    }
}

/*  The table is full: a worker that is gone makes room. What it may have had stays lost, and the
 *  roster goes on to name it. */
static bool
make_room (dn_manager_t *self)
{
    dn_peer_t *peer;
    for (uint32_t row = 0; (peer = dn_peers_next (self->peers, &row));) {
        if (peer->role != DN_ROLE_WORKER || !peer->gone || peer->u.worker.placed)
            continue;
        dn_task_t *task;
        while ((task = TAILQ_FIRST (&peer->tasks)))
            dn_tasks_orphan (self->tasks, task);
        dn_crowd_add (self->strays, &peer->session);
        remove_peer (self, peer);
        return true;
    }
    return false;
}

/*  ---- the roster, and who was forgotten ---- */

/*  A roster that cannot name all of them ends with the zero session: see rosters.h. */
static bool
list_roster (const dn_manager_t *self, dn_list_t *roster, dn_effects_t *fx)
{
    dn_rows_t        rows = dn_fx_rows (fx, DN_ROSTER_MAX * SESSION_BYTES);
    dn_row_session_t row_session = {{{0}}};
    bool             whole = !dn_crowd_lost (self->strays);
    dn_peer_t       *peer;
    for (uint32_t row = 0; (peer = dn_peers_next (self->peers, &row));) {
        if (peer->role != DN_ROLE_WORKER)
            continue;
        row_session.session = peer->session;
        whole = whole && rows.count + 1 < DN_ROSTER_MAX;
        whole = whole && dn_rows_put (&rows, DN_ROW_SESSION, &row_session) == 0;
    }
    for (uint32_t at = 0; dn_crowd_next (self->strays, &at, &row_session.session);) {
        whole = whole && rows.count + 1 < DN_ROSTER_MAX;
        if (whole && !dn_peers_by_session (self->peers, &row_session.session))
            whole = dn_rows_put (&rows, DN_ROW_SESSION, &row_session) == 0;
    }
    memset (&row_session, 0, sizeof row_session);
    if (!whole)
        whole = dn_rows_put (&rows, DN_ROW_SESSION, &row_session) == 0;
    *roster = dn_fx_list (fx, &rows);
    return whole;
}

/*  Those after number `since`; before them the zero session, if one more is not known any more. */
static bool
list_forgets (const dn_manager_t *self, uint32_t since, dn_list_t *forgets, dn_effects_t *fx)
{
    dn_rows_t        rows = dn_fx_rows (fx, (DN_FORGETS_MAX + 1) * SESSION_BYTES);
    dn_row_session_t row = {{{0}}};
    bool             fits = true;
    if (dn_crowd_lost (self->forgets) > since)
        fits = dn_rows_put (&rows, DN_ROW_SESSION, &row) == 0;
    while (fits && dn_crowd_next (self->forgets, &since, &row.session))
        fits = dn_rows_put (&rows, DN_ROW_SESSION, &row) == 0;
    *forgets = dn_fx_list (fx, &rows);
    return fits;
}

/*  A roster never goes without those who were forgotten before it was made: whoever is not on it
 *  any more may have run what they were told nobody has. */
bool
dn_manager_make_news (const dn_manager_t *self, const dn_peer_t *worker, dn_news_t *news,
                      dn_effects_t *fx)
{
    uint32_t since = worker->u.worker.forgets;
    if (!news->roster_made)
        news->roster_made = list_roster (self, &news->roster, fx);
    if (!news->forgets_made || news->since != since) {
        news->forgets_made = list_forgets (self, since, &news->forgets, fx);
        news->upto = dn_crowd_newest (self->forgets);
    }
    news->since = since;
    return news->roster_made && news->forgets_made;
}

/*  What is repeated is known with the first BEAT of it that is answered. */
void
dn_manager_note_news (const dn_manager_t *self, dn_peer_t *worker, const dn_news_t *news,
                      uint64_t mark)
{
    dn_worker_part_t *part = &worker->u.worker;
    if (part->roster_sent == self->roster && part->forgets_sent == news->upto)
        return;
    part->roster_sent = self->roster;
    part->forgets_sent = news->upto;
    part->news_mark = mark;
}

/*  Do all other workers that are linked have a roster with this one? Or have they had the time to
 *  say so: then they are cut off, and it does not wait for them. */
static bool
is_named (const dn_manager_t *self, const dn_peer_t *worker)
{
    const dn_worker_part_t *part = &worker->u.worker;
    dn_peer_t              *peer;
    if (self->beats >= part->joined_beat + NAMED_BEATS)
        return true;
    for (uint32_t row = 0; (peer = dn_peers_next (self->peers, &row));)
        if (peer != worker && peer->role == DN_ROLE_WORKER && !peer->gone && peer->link &&
            peer->u.worker.roster < part->joined)
            return false;
    return true;
}

void
dn_manager_name_workers (dn_manager_t *self)
{
    dn_peer_t *peer;
    if (!self->naming)
        return;
    self->naming = false;
    for (uint32_t row = 0; (peer = dn_peers_next (self->peers, &row));) {
        if (peer->role != DN_ROLE_WORKER || peer->gone || peer->u.worker.named)
            continue;
        peer->u.worker.named = is_named (self, peer);
        self->naming = self->naming || !peer->u.worker.named;
        self->granting = true;
    }
}

/*  A new worker must be known to all of them before it is given a task: if it dies together with
 *  the manager, the others tell the next one that it was there. */
static void
join (dn_manager_t *self, dn_peer_t *joined, dn_news_t *news, dn_effects_t *fx)
{
    dn_peer_t *peer;
    for (uint32_t row = 0; (peer = dn_peers_next (self->peers, &row));)
        if (peer != joined && peer->role == DN_ROLE_WORKER && !peer->gone && peer->link &&
            dn_effects_room (fx, DN_SWEEP_ROWS))
            dn_manager_beat (self, peer, news, fx);
    joined->u.worker.joined = self->roster;
    joined->u.worker.joined_beat = self->beats;
    joined->u.worker.named = false;
    self->naming = true;
    dn_manager_name_workers (self);
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

static dn_peer_t *
add_peer (dn_manager_t *self, const dn_manager_event_t *in, dn_role_t role,
          const dn_session_t *session, dn_effects_t *fx)
{
    dn_peer_t *peer = dn_peers_add (self->peers, role, session);
    if (!peer && role == DN_ROLE_WORKER && make_room (self))
        peer = dn_peers_add (self->peers, role, session);
    if (peer)
        return peer;
    snprintf (self->text, sizeof self->text, "as many %s as the manager allows are here",
              role == DN_ROLE_CLIENT ? "clients" : "workers");
    dn_manager_fault (in->link, DENIM_REASON_FULL, self->text, fx);
    dn_fx_log (fx, DN_FX_WARN, "peer_refused", NULL)->text = self->text;
    return NULL;
}

/*  The peer of this session, rebound to the link that its HELLO came over; a new one if need be. A
 *  worker that was gone and comes back takes up its tasks again. NULL: nothing to do (an older
 *  link, or no room, and that was said). */
static dn_peer_t *
bind_peer (dn_manager_t *self, const dn_manager_event_t *in, dn_role_t role,
           const dn_session_t *session, uint32_t link_number, dn_effects_t *fx)
{
    dn_peer_t *peer = dn_peers_by_session (self->peers, session);
    if (peer && (peer->role != role || peer->link_number >= link_number ||
                 (peer->gone && role == DN_ROLE_CLIENT)))
        return NULL;
    if (!peer)
        peer = add_peer (self, in, role, session, fx);
    if (!peer)
        return NULL;
    peer->gone = false;
    dn_peers_bind (self->peers, peer, in->link, link_number);
    return peer;
}

static dn_welcome_t *
welcome (dn_manager_t *self, const dn_peer_t *peer, dn_effects_t *fx)
{
    dn_effect_t *row = dn_fx_msg (fx, DN_FX_SEND, DN_MSG_WELCOME);
    row->to = peer->link;
    dn_welcome_t *msg = &row->msg.u.welcome;
    msg->epoch = self->config.epoch;
    msg->term = peer->role == DN_ROLE_CLIENT ? peer->u.client.term : 0;
    msg->link = peer->link_number;
    msg->heartbeat_ms = self->config.heartbeat_ms;
    msg->liveness = self->config.liveness;
    msg->payload_max = self->config.payload_max;
    msg->standby_ms = self->config.standby_ms;
    return msg;
}

static void
welcome_worker (dn_manager_t *self, dn_peer_t *worker, dn_news_t *news, dn_effects_t *fx)
{
    dn_check (dn_manager_make_news (self, worker, news, fx)); /* the scratch is empty before it */
    dn_welcome_t *msg = welcome (self, worker, fx);
    msg->roster_version = self->roster;
    msg->roster = news->roster;
    msg->forgotten = news->forgets;
    dn_manager_note_news (self, worker, news, worker->mark + 1);
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
    if (!client->u.client.term) {
        client->u.client.term = ++self->term;
        client->u.client.early = dn_manager_settling (self);
    }
    welcome (self, client, fx);
    dn_fx_log (fx, DN_FX_DEBUG, "client_hello", client->name)->number = hello->link;
}

/*  What a worker can run now, instead of what it could before. */
static void
take_services (dn_manager_t *self, const dn_peer_t *worker, dn_list_t services, dn_effects_t *fx)
{
    const dn_worker_part_t *part = &worker->u.worker;
    dn_services_withdraw (self->services, part->number);
    dn_row_service_t row;
    uint32_t         left_out = 0;
    while (dn_list_next (&services, DN_ROW_SERVICE, &row))
        left_out += dn_services_offer (self->services, row.name, part->number) == DN_SERVICE_NONE;
    if (left_out) {
        dn_effect_t *full = dn_fx_log (fx, DN_FX_WARN, "services_full", worker->name);
        full->text = "services of this worker are not served: raise limits/services_max";
        full->number = left_out;
    }
}

void
dn_manager_take_places (dn_manager_t *self, dn_peer_t *worker, const dn_offer_t *offer)
{
    dn_worker_part_t *part = &worker->u.worker;
    uint32_t          own = dn_manager_own_slots (worker);
    part->slots = offer->slots;
    part->lent = offer->lent;
    part->blocked = offer->blocked;
    part->standby = offer->standby;
    part->refused = false;
    if (dn_manager_own_slots (worker) != own)
        self->slots = dn_manager_count_slots (self);
    self->granting = dn_waiters_count (self->waiters) > 0;
}

static bool
said_hello (const void *arg, const dn_session_t *session)
{
    const dn_manager_t *self = arg;
    const dn_peer_t    *peer = dn_peers_by_session (self->peers, session);
    if (dn_session_zero (session))
        return false;
    return (peer && peer->role == DN_ROLE_WORKER) || dn_crowd_has (self->left, session);
}

/*  What it knows of the managers before this one. */
static void
learn_past (dn_manager_t *self, const dn_worker_hello_t *hello)
{
    dn_list_t        forgotten = hello->forgotten;
    dn_row_session_t row;
    dn_rosters_merge (self->rosters, hello->rosters, self->config.epoch, said_hello, self);
    dn_rosters_back (self->rosters, &hello->session);
    while (dn_list_next (&forgotten, DN_ROW_SESSION, &row))
        dn_crowd_add (self->forgotten, &row.session);
}

void
dn_manager_on_worker_hello (dn_manager_t *self, const dn_manager_event_t *in, dn_peer_t *from,
                            dn_effects_t *fx)
{
    (void) from;
    const dn_worker_hello_t *hello = &in->msg->u.worker_hello;
    if (other_version (self, in, hello->major, fx))
        return;
    dn_peer_t *old = dn_peers_by_session (self->peers, &hello->session);
    bool       joins = !old || old->gone;
    bool       fresh = !old || old->link != in->link;
    dn_peer_t *worker = bind_peer (self, in, DN_ROLE_WORKER, &hello->session, hello->link, fx);
    if (!worker)
        return;
    dn_worker_part_t *part = &worker->u.worker;
    dn_str_copy (worker->name, sizeof worker->name, hello->name);
    dn_str_copy (part->host, sizeof part->host, hello->host);
    part->pid = hello->pid;
    part->draining = hello->state != 0;
    if (part->draining) /* its DRAINING was lost with the link before */
        dn_manager_withdraw_grants (self, worker);
    part->instance = hello->instance;
    end_older (self, &hello->instance, worker, fx);
    learn_past (self, hello);
    dn_manager_inventory (self, in, worker, fresh, fx);
    take_services (self, worker, hello->services, fx);
    dn_manager_take_places (self, worker,
                            &(dn_offer_t){.slots = hello->slots,
                                          .lent = hello->lent,
                                          .blocked = hello->blocked,
                                          .standby = hello->standby});
    self->slots = dn_manager_count_slots (self); /* it may have been quiet, or gone */

    self->roster += joins;
    dn_news_t news = {0};
    welcome_worker (self, worker, &news, fx);
    if (joins)
        join (self, worker, &news, fx);
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
    if (offer->services.count)
        take_services (self, from, offer->services, fx);
    dn_manager_take_places (self, from, offer);
}
