/*  fleet_link.c - how the fleet speaks with its manager
 *
 *  HELLO is the first message on a fresh socket, and the answer to WHO, to a BEAT of another epoch
 *  and to one that came before WELCOME; never a timer's. Between HELLO and WELCOME nothing is sent.
 *  A manager that was silent too long is given up with its socket.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "core/fleet_private.h"

#include "base/check.h"

#define EXIT_UNAVAILABLE      69
#define ROW_SERVICE_BYTES_MAX 128 /* a name and its length */
#define ROW_SESSION_BYTES     16
#define ALONE_BEATS           3 /* heartbeats without a manager until it is said */
#define ALONE_EVERY_MS        60000
#define SERVICES_TEXT_MAX     200 /* of the names in the log */

/*  splitmix64 (public domain). */
static uint64_t
next_random (dn_fleet_t *self)
{
    uint64_t z = self->random += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

/*  2.5 to 3 heartbeats: workers that lost the same manager do not come back in one moment. */
static void
renew_silence (dn_fleet_t *self, int64_t now_ms)
{
    int64_t half = self->heartbeat_ms / 2;
    self->silence_ms = 2 * self->heartbeat_ms + half +
                       (half ? (int64_t) (next_random (self) % (uint64_t) half) : 0);
    self->heard_ms = now_ms;
    dn_fleet_alarm (self, now_ms + self->silence_ms);
}

/*  The worker offers itself to a manager and none answers: say so, now and then. */
static void
say_alone (dn_fleet_t *self, int64_t now_ms, dn_effects_t *fx)
{
    if (self->alone_ms == DN_NEVER || self->stay != DN_STAY_WORKING)
        return;
    int64_t next_ms = self->told_ms < self->alone_ms
                          ? self->alone_ms + ALONE_BEATS * self->heartbeat_ms
                          : self->told_ms + ALONE_EVERY_MS;
    if (now_ms < next_ms) {
        dn_fleet_alarm (self, next_ms);
        return;
    }
    self->told_ms = now_ms;
    dn_effect_t *row = dn_fx_log (fx, DN_FX_WARN, "manager_unreachable", NULL);
    row->ms = now_ms - self->alone_ms;
    row->number = dn_holds_all (self->holds);
    row->text = "no manager answers; tasks that run go on, answers are kept";
}

static void
make_fresh (dn_fleet_t *self, int64_t now_ms, dn_effects_t *fx)
{
    if (self->alone_ms == DN_NEVER)
        self->alone_ms = now_ms;
    dn_fx_add (fx, DN_FX_FRESH);
    self->link = DN_LINK_CONNECTING;
    self->blocked = false;
    renew_silence (self, now_ms);
}

void
dn_fleet_open (dn_fleet_t *self, int64_t now_ms, dn_effects_t *fx)
{
    if (self->link == DN_LINK_CLOSED && self->stay < DN_STAY_LEAVING)
        make_fresh (self, now_ms, fx);
}

/*  ---- places ---- */

/*  Slots that work, or will in a moment: a fork takes some milliseconds, so those on their way
 *  count; an exec takes as long as the import of the app. One that waits in backoff is none. */
static uint32_t
usable_slots (const dn_fleet_t *self)
{
    uint32_t slots = self->config.slots;
    uint32_t usable =
        dn_slots_in (self->slots, DN_SLOT_IDLE) + dn_slots_in (self->slots, DN_SLOT_BUSY);
    if (!self->by_exec) {
        usable = dn_slots_manned (self->slots);
        if (self->starting && usable < slots)
            usable = slots;
        usable -= dn_slots_in (self->slots, DN_SLOT_BACKOFF);
    }
    return usable < slots ? usable : slots;
}

dn_places_t
dn_fleet_places (const dn_fleet_t *self)
{
    uint32_t held = dn_holds_count (self->holds, DN_HOLD_STANDBY) +
                    dn_holds_count (self->holds, DN_HOLD_CHANNEL);
    dn_places_t places = {0};

    if (self->stay != DN_STAY_WORKING || self->outbox_full)
        return places;
    places.slots = usable_slots (self);
    if (places.slots)
        places.standby = self->config.standby;
    places.lent = dn_slots_in (self->slots, DN_SLOT_LENT);
    places.slots += places.lent;
    uint32_t all = places.slots + places.standby;
    places.slots_free = held < places.slots ? places.slots - held : 0;
    uint32_t free = held < all ? all - held : 0;
    places.standby_free = free - (free < places.slots_free ? free : places.slots_free);
    return places;
}

static dn_list_t
list_services (dn_fleet_t *self, dn_effects_t *fx)
{
    uint32_t  count = dn_services_count (self->services);
    dn_rows_t rows = dn_fx_rows (fx, (size_t) count * ROW_SERVICE_BYTES_MAX);

    for (uint32_t i = 0; i < count; i++) {
        dn_row_service_t row = {dn_str (dn_services_get (self->services, i)->name)};
        dn_check (dn_rows_put (&rows, DN_ROW_SERVICE, &row) == 0);
    }
    return dn_fx_list (fx, &rows);
}

static uint64_t
total_rss (const dn_fleet_t *self)
{
    uint64_t sum = self->rss_bytes + dn_slots_get (self->slots, DN_SLOT_ZYGOTE)->rss_bytes;
    for (uint32_t i = 0; i < dn_slots_used (self->slots); i++)
        sum += dn_slots_get (self->slots, i)->rss_bytes;
    return sum;
}

void
dn_fleet_offer_soon (dn_fleet_t *self, int64_t now_ms)
{
    self->offer_changed = self->offer_soon = true;
    dn_fleet_alarm (self, now_ms);
}

void
dn_fleet_offer (dn_fleet_t *self)
{
    self->offer_changed = true;
    dn_fleet_alarm (self, self->offer_ms + DN_OFFER_MS);
}

static void
send_offer (dn_fleet_t *self, int64_t now_ms, dn_effects_t *fx)
{
    dn_places_t  places = dn_fleet_places (self);
    dn_effect_t *row = dn_fx_msg (fx, DN_FX_SEND, DN_MSG_OFFER);

    row->msg.u.offer.slots = places.slots;
    row->msg.u.offer.standby = places.standby;
    row->msg.u.offer.lent = places.lent;
    row->msg.u.offer.blocked = dn_fleet_blocked (self);
    row->msg.u.offer.restarts = self->restarts;
    row->msg.u.offer.rss_bytes = total_rss (self);
    if (self->services_changed)
        row->msg.u.offer.services = list_services (self, fx);
    self->offer_changed = self->offer_soon = self->services_changed = false;
    self->offer_ms = now_ms;
}

/*  ---- HELLO ---- */

static dn_list_t
list_rosters (dn_fleet_t *self, dn_effects_t *fx)
{
    uint32_t  lost = dn_crowd_lost (self->forgotten);
    dn_rows_t rows =
        dn_fx_rows (fx, (size_t) dn_rosters_rows (self->rosters, lost) * DN_ROSTER_ROW_BYTES);
    dn_rosters_tell (self->rosters, &rows, lost);
    return dn_fx_list (fx, &rows);
}

static dn_list_t
list_forgotten (dn_fleet_t *self, dn_effects_t *fx)
{
    uint32_t         count = dn_crowd_count (self->forgotten);
    dn_rows_t        rows = dn_fx_rows (fx, (size_t) count * ROW_SESSION_BYTES);
    dn_row_session_t row;

    for (uint32_t number = 0; dn_crowd_next (self->forgotten, &number, &row.session);)
        dn_check (dn_rows_put (&rows, DN_ROW_SESSION, &row) == 0);
    return dn_fx_list (fx, &rows);
}

static void
send_hello (dn_fleet_t *self, int64_t now_ms, dn_effects_t *fx)
{
    dn_places_t        places = dn_fleet_places (self);
    dn_effect_t       *row = dn_fx_msg (fx, DN_FX_SEND, DN_MSG_WORKER_HELLO);
    dn_worker_hello_t *hello = &row->msg.u.worker_hello;

    hello->major = DN_MAJOR;
    hello->session = self->config.session;
    hello->instance = self->config.instance;
    hello->link = ++self->link_number;
    hello->name = dn_str (self->config.name);
    hello->host = dn_str (self->config.host);
    hello->pid = self->config.pid;
    hello->slots = places.slots;
    hello->standby = places.standby;
    hello->lent = places.lent;
    hello->blocked = dn_fleet_blocked (self);
    hello->state = self->stay != DN_STAY_WORKING;
    hello->flags = self->config.allow_pickle;
    hello->services = list_services (self, fx);
    dn_rows_t rows = dn_fx_rows (fx, (size_t) dn_holds_all (self->holds) * DN_HELD_ROW_BYTES);
    dn_holds_inventory (self->holds, &rows);
    hello->inventory = dn_fx_list (fx, &rows);
    dn_holds_told (self->holds);
    hello->rosters = list_rosters (self, fx);
    hello->forgotten = list_forgotten (self, fx);

    self->link = DN_LINK_GREETING;
    self->offer_changed = self->offer_soon = self->services_changed = false;
    self->offer_ms = now_ms;
}

bool
dn_fleet_wants_writable (const dn_fleet_t *self)
{
    return self->link == DN_LINK_CONNECTING || self->blocked;
}

void
dn_fleet_writable (dn_fleet_t *self, int64_t now_ms, dn_effects_t *fx)
{
    self->blocked = false;
    dn_fleet_alarm (self, now_ms); /* for what could not be told */
    if (self->link == DN_LINK_CONNECTING) {
        renew_silence (self, now_ms);
        send_hello (self, now_ms, fx);
    } else
        dn_fleet_flush (self, now_ms, fx);
}

/*  ---- what the manager says of itself ---- */

static const char *
name_services (dn_fleet_t *self, dn_effects_t *fx)
{
    char   names[SERVICES_TEXT_MAX];
    size_t used = 0;

    names[0] = 0;
    for (uint32_t i = 0; i < dn_services_count (self->services); i++) {
        const char *name = dn_services_get (self->services, i)->name;
        size_t      n = strlen (name);
        if (used + n + 2 > sizeof names)
            break;
        if (used)
            names[used++] = ',';
        memcpy (names + used, name, n + 1);
        used += n;
    }
    return dn_fleet_text (fx, "%s", names);
}

/*  One that is remembered since an earlier epoch is so anew: it goes out later, and a roster of
 *  this epoch is in doubt then. */
void
dn_fleet_remember (dn_fleet_t *self, const dn_session_t *client)
{
    if (dn_crowd_number (self->forgotten, client) <= self->forgotten_before)
        dn_crowd_renew (self->forgotten, client);
}

/*  Together with the roster, so that who is not on it any more has left nothing behind that is not
 *  told. The zero session: there were more of them. Their tasks are not touched, as they may be
 *  back by now. */
static void
learn_news (dn_fleet_t *self, uint64_t epoch, uint32_t version, dn_list_t roster,
            dn_list_t forgotten)
{
    dn_row_session_t row;

    if (version)
        dn_rosters_learn (self->rosters, epoch, version, roster, dn_crowd_newest (self->forgotten));
    while (dn_list_next (&forgotten, DN_ROW_SESSION, &row)) {
        if (dn_session_zero (&row.session))
            dn_rosters_doubt (self->rosters);
        else
            dn_fleet_remember (self, &row.session);
    }
}

void
dn_fleet_on_welcome (dn_fleet_t *self, int64_t now_ms, const dn_msg_t *msg, dn_effects_t *fx)
{
    const dn_welcome_t *welcome = &msg->u.welcome;

    if (welcome->link != self->link_number)
        return; /* to an older HELLO; a BEAT makes us say the newest once more, if it is lost */
    if (welcome->epoch != self->epoch)
        self->forgotten_before = dn_crowd_newest (self->forgotten);
    self->epoch = welcome->epoch;
    self->heartbeat_ms = welcome->heartbeat_ms ? welcome->heartbeat_ms : DN_HEARTBEAT_MS;
    self->standby_ms = welcome->standby_ms ? welcome->standby_ms : DN_STANDBY_MS;
    self->payload_max = welcome->payload_max ? welcome->payload_max : self->payload_max;
    self->link = DN_LINK_WELCOMED;
    self->alone_ms = DN_NEVER;
    self->told_ms = INT64_MIN;
    learn_news (self, welcome->epoch, welcome->roster_version, welcome->roster, welcome->forgotten);
    renew_silence (self, now_ms);
    dn_fleet_alarm (self, now_ms + 1); /* what stood by too long meanwhile */

    dn_effect_t *row =
        dn_fx_log (fx, DN_FX_INFO, self->welcomed ? "manager_back" : "ready", self->config.name);
    row->number = self->config.slots;
    row->text = name_services (self, fx);
    self->welcomed = true;
    dn_fleet_flush (self, now_ms, fx);
    dn_fleet_dispatch (self, now_ms, fx);
}

void
dn_fleet_on_who (dn_fleet_t *self, int64_t now_ms, const dn_msg_t *msg, dn_effects_t *fx)
{
    (void) msg;
    send_hello (self, now_ms, fx);
}

static void
send_held (dn_fleet_t *self, uint64_t mark, dn_effects_t *fx)
{
    dn_effect_t *row = dn_fx_msg (fx, DN_FX_SEND, DN_MSG_HELD);
    dn_held_t   *held = &row->msg.u.held;
    dn_rows_t    rows = dn_fx_rows (fx, DN_HELD_ROWS_MAX * DN_HELD_ROW_BYTES);

    held->mark = mark;
    dn_places_t places = dn_fleet_places (self);
    held->slots = places.slots;
    held->standby = places.standby;
    held->lent = places.lent;
    held->blocked = dn_fleet_blocked (self);
    held->restarts = self->restarts;
    held->rss_bytes = total_rss (self);
    dn_holds_held (self->holds, held, &rows);
    held->tasks = dn_fx_list (fx, &rows);
}

void
dn_fleet_on_beat (dn_fleet_t *self, int64_t now_ms, const dn_msg_t *msg, dn_effects_t *fx)
{
    if (self->link != DN_LINK_WELCOMED || msg->u.beat.epoch != self->epoch)
        send_hello (self, now_ms, fx);
    else {
        const dn_beat_t *beat = &msg->u.beat;
        learn_news (self, beat->epoch, beat->roster_version, beat->roster, beat->forgotten);
        send_held (self, beat->mark, fx);
    }
}

void
dn_fleet_on_fault (dn_fleet_t *self, int64_t now_ms, const dn_msg_t *msg, dn_effects_t *fx)
{
    const dn_fault_t *fault = &msg->u.fault;
    bool              version = fault->reason == DENIM_REASON_VERSION;

    (void) now_ms;
    dn_effect_t *row = dn_fx_log (fx, DN_FX_ERROR, "fault", NULL);
    row->reason = fault->reason;
    row->text = version ? dn_fleet_text (fx,
                                         "the manager speaks DENIM/%u.%u, this worker DENIM/%d.%d: "
                                         "install the same denim on both",
                                         fault->major, fault->minor, DN_MAJOR, DN_MINOR)
                        : dn_fleet_text (fx, "%.*s", fault->text.len, fault->text.ptr);
    if (!version)
        return;
    row = dn_fx_add (fx, DN_FX_EXIT);
    row->number = EXIT_UNAVAILABLE;
    self->stay = DN_STAY_LEFT;
}

/*  No question is for a worker yet: whoever asked is told so and need not wait. */
void
dn_fleet_on_ask (dn_fleet_t *self, int64_t now_ms, const dn_msg_t *msg, dn_effects_t *fx)
{
    (void) now_ms;
    if (!dn_fleet_may_send (self))
        return;
    dn_effect_t *row = dn_fx_msg (fx, DN_FX_SEND, DN_MSG_ANSWER);
    row->msg.u.answer.question = msg->u.ask.question;
    row->msg.u.answer.reason = DENIM_REASON_NOT_ALLOWED;
}

/*  ---- losing it ---- */

static void
lose_manager (dn_fleet_t *self, int64_t now_ms, int64_t silent_ms, dn_effects_t *fx)
{
    if (self->link == DN_LINK_WELCOMED) {
        dn_effect_t *row = dn_fx_log (fx, DN_FX_WARN, "manager_lost", NULL);
        row->ms = silent_ms;
        row->text = silent_ms < 0 ? "the connection is gone" : "nothing heard of it";
    }
    make_fresh (self, now_ms, fx);
}

void
dn_fleet_disconnected (dn_fleet_t *self, int64_t now_ms, dn_effects_t *fx)
{
    if (self->link >= DN_LINK_GREETING && self->stay != DN_STAY_LEFT)
        lose_manager (self, now_ms, -1, fx);
}

/*  A gap in the own ticks (a frozen host) counts as one beat: what came meanwhile was read
 *  before. */
static void
forgive_gap (dn_fleet_t *self, int64_t now_ms)
{
    int64_t gap_ms = now_ms - self->tick_ms;
    if (gap_ms > 2 * self->heartbeat_ms && self->heard_ms < now_ms)
        self->heard_ms += gap_ms - self->heartbeat_ms;
    if (self->heard_ms > now_ms)
        self->heard_ms = now_ms;
}

void
dn_fleet_tick_link (dn_fleet_t *self, int64_t now_ms, dn_effects_t *fx)
{
    forgive_gap (self, now_ms);
    say_alone (self, now_ms, fx);
    if (self->link >= DN_LINK_GREETING) {
        if (now_ms - self->heard_ms >= self->silence_ms)
            lose_manager (self, now_ms, now_ms - self->heard_ms, fx);
        dn_fleet_alarm (self, self->heard_ms + self->silence_ms);
    }
    if (self->offer_changed && dn_fleet_may_send (self)) {
        if (self->offer_soon || now_ms >= self->offer_ms + DN_OFFER_MS)
            send_offer (self, now_ms, fx);
        else
            dn_fleet_alarm (self, self->offer_ms + DN_OFFER_MS);
    }
    dn_fleet_flush (self, now_ms, fx);
}

/*  ---- what the shell says of a message ---- */

void
dn_fleet_sent (dn_fleet_t *self, dn_handle_t handle, dn_effects_t *fx)
{
    dn_hold_t *hold = dn_holds_get (self->holds, handle);

    (void) fx;
    if (!hold || hold->state != DN_HOLD_OUTBOX)
        return;
    hold->sending = false;
    dn_holds_move (self->holds, hold, DN_HOLD_KEPT, NULL, false);
}

/*  What has no handle is lost, and nobody misses it: REFUSE, OFFER and HELD are made good by the
 *  next HELD, a HELLO by the next moment in which the socket takes one. */
void
dn_fleet_refused (dn_fleet_t *self, const dn_effect_t *effect, dn_effects_t *fx)
{
    dn_hold_t *hold = dn_holds_get (self->holds, effect->handle);

    (void) fx;
    self->blocked = true;
    if (effect->kind == DN_FX_SEND && effect->msg.kind == DN_MSG_WORKER_HELLO)
        self->link = DN_LINK_CONNECTING;
    if (effect->kind == DN_FX_SEND && effect->msg.kind == DN_MSG_OFFER) {
        self->services_changed |= effect->msg.u.offer.services.count > 0;
        dn_fleet_offer (self);
    }
    if (hold && hold->state == DN_HOLD_OUTBOX)
        hold->sending = false;
}
