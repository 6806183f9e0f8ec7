/*  pace.c - how many calls of one service may be on their way
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "core/pace.h"

#include "base/check.h"

#include <string.h>

static uint32_t
min (uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static uint32_t
max (uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/*  A number from 1 to `range` (splitmix64, public domain). */
static uint32_t
draw (dn_pace_t *self, uint32_t range)
{
    uint64_t x = self->random += 0x9e3779b97f4a7c15ULL;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
    return 1 + (uint32_t) ((x ^ x >> 31) % range);
}

void
dn_pace_init (dn_pace_t *self, uint64_t seed)
{
    memset (self, 0, sizeof *self);
    self->random = seed;
    self->allowed = self->base = DN_PACE_START;
    self->probe_at_ms = INT64_MAX;
}

/*  What may be on its way: until the first REJECT calls that are known to run hold nobody back. */
static uint32_t
allowed_now (const dn_pace_t *self)
{
    if (self->refused)
        return self->allowed;
    return max (self->allowed, min (self->known + DN_PACE_START, DN_PACE_MAX));
}

uint32_t
dn_pace_room (const dn_pace_t *self)
{
    uint32_t allowed = allowed_now (self);
    return allowed > self->in_flight ? allowed - self->in_flight : 0;
}

int64_t
dn_pace_deadline_ms (const dn_pace_t *self)
{
    return dn_pace_room (self) ? INT64_MAX : self->probe_at_ms;
}

/*  Let `calls` more go out than are known to have places, or are on their way: those of a GRANT may
 *  be more than were allowed. */
static void
start_probe (dn_pace_t *self, uint32_t calls)
{
    self->base = self->allowed = max (self->allowed, self->in_flight);
    self->allowed = min (self->allowed + calls, DN_PACE_MAX);
    self->probe = self->probe_unsent = self->allowed - self->base;
    self->probe_open = 0;
    self->answers = 0;
}

static void
stop_probe (dn_pace_t *self)
{
    self->probe = self->probe_unsent = self->probe_open = 0;
    self->answers = 0;
}

/*  The timer of who has not been refused lately: there is no need to knock soon. */
static int64_t
far_ms (dn_pace_t *self, int64_t now_ms)
{
    return now_ms + DN_PACE_WAIT_MAX_MS / 2 + draw (self, DN_PACE_WAIT_MAX_MS / 2);
}

/*  Refusals of before say nothing any more, nor does the timer that they have set: off until the
 *  next call is sent. There must be room for one, else nothing would set it. */
static void
forgive (dn_pace_t *self)
{
    self->failed = 0;
    self->wait_ms = 0;
    self->probe_at_ms = INT64_MAX;
}

void
dn_pace_tick (dn_pace_t *self, int64_t now_ms)
{
    if (now_ms < self->probe_at_ms || dn_pace_room (self))
        return;
    self->wait_ms = min (2 * self->wait_ms, DN_PACE_WAIT_MAX_MS);
    self->probe_at_ms = self->wait_ms ? now_ms + draw (self, self->wait_ms) : far_ms (self, now_ms);
    start_probe (self, 1);
}

bool
dn_pace_sent (dn_pace_t *self, bool granted, int64_t now_ms)
{
    bool is_probe = !granted && self->probe_unsent && self->in_flight >= self->base;
    self->in_flight++;
    self->had = max (self->had, self->in_flight);
    if (self->freed)
        self->freed--;
    if (is_probe) {
        self->probe_unsent--;
        self->probe_open++;
    }
    if (granted && self->turn)
        self->allowed = self->base = max (self->allowed, self->in_flight);
    else if (granted && self->probe_unsent && self->allowed < DN_PACE_MAX) { /* beyond the probe */
        self->allowed++;
        self->base++;
    }
    if (self->refused && (granted || self->probe_at_ms == INT64_MAX))
        self->probe_at_ms = far_ms (self, now_ms); /* we are served, or have been */
    return is_probe;
}

/*  A good answer to a call of the probe: when it was the last of them, the next probe is twice as
 *  large, and the timer starts over. */
static void
on_probe_placed (dn_pace_t *self)
{
    self->probe_open--;
    if (self->probe_open || self->probe_unsent)
        return;
    uint32_t next = min (2 * self->probe, max (self->allowed, 1));
    forgive (self);
    start_probe (self, next);
}

void
dn_pace_placed (dn_pace_t *self, bool was_probe, bool stays)
{
    if (stays)
        self->known++;
    if (!self->refused) {
        if (self->limited)
            self->base = self->allowed = min (self->allowed + (stays ? 2 : 1), DN_PACE_MAX);
        return;
    }
    if (was_probe)
        self->turn = false;
    if (was_probe && self->probe_open) {
        on_probe_placed (self);
        return;
    }
    self->answers++;
    if (self->probe || self->turn)
        return; /* one at a time; and none by who waits for its turn */
    if (self->answers >= max (self->in_flight, DN_PACE_ROUND) << self->failed)
        start_probe (self, 1);
}

static void
leave (dn_pace_t *self, bool known)
{
    dn_check (self->in_flight > 0 && self->known >= known);
    self->in_flight--;
    self->known -= known;
    if (self->turn && !self->probe)
        self->allowed = self->base = self->in_flight;
}

void
dn_pace_ended (dn_pace_t *self, bool known)
{
    leave (self, known);
    self->freed += !self->turn;
}

void
dn_pace_refused (dn_pace_t *self, bool known, bool turn, uint32_t retry_after_ms, int64_t now_ms)
{
    uint32_t allowed = allowed_now (self);
    leave (self, known);
    if (self->probe && self->failed < DN_PACE_DOUBLINGS)
        self->failed++;
    stop_probe (self);
    self->refused = true;
    self->had = self->turn ? self->had - 1 : self->in_flight;
    self->turn = self->turn || turn;
    if (self->turn)
        self->freed = 0;
    self->allowed = self->base = min (allowed, self->in_flight + self->freed);

    uint32_t wait_ms = min (max (retry_after_ms, DN_PACE_WAIT_MIN_MS), DN_PACE_WAIT_MAX_MS);
    self->wait_ms = max (self->wait_ms, wait_ms);
    if (self->probe_at_ms < now_ms || self->probe_at_ms > now_ms + self->wait_ms)
        self->probe_at_ms = now_ms + draw (self, self->wait_ms);
}

void
dn_pace_left (dn_pace_t *self, bool known)
{
    leave (self, known);
}

void
dn_pace_alone (dn_pace_t *self, uint32_t count)
{
    uint32_t had = self->turn ? self->had : self->base;
    self->turn = false;
    stop_probe (self);
    forgive (self);
    uint32_t granted = min (self->in_flight + max (count, 1), DN_PACE_MAX);
    self->allowed = self->base = max (granted, had);
}

void
dn_pace_idle (dn_pace_t *self)
{
    if (!self->turn)
        return;
    self->turn = false;
    stop_probe (self);
    forgive (self);
    self->allowed = self->base = self->in_flight;
    start_probe (self, 1);
}

void
dn_pace_settle (dn_pace_t *self)
{
    self->freed = 0;
    self->limited = dn_pace_room (self) == 0;
}

void
dn_pace_reset (dn_pace_t *self)
{
    uint32_t in_flight = self->in_flight, known = self->known;
    dn_pace_init (self, self->random);
    self->in_flight = in_flight;
    self->known = known;
    self->had = in_flight;
    self->allowed = self->base = min (in_flight + DN_PACE_START, DN_PACE_MAX);
}

void
dn_pace_check (const dn_pace_t *self)
{
    dn_check (self->known <= self->in_flight && self->in_flight <= self->had);
    dn_check (self->base <= self->allowed && self->allowed <= DN_PACE_MAX);
    dn_check (self->probe_unsent + self->probe_open <= self->probe);
    dn_check (self->failed <= DN_PACE_DOUBLINGS);
    dn_check (self->wait_ms <= DN_PACE_WAIT_MAX_MS);
    dn_check (!self->turn || self->probe_at_ms != INT64_MAX);
    /* nobody waits for nothing, nor for a task to end: a timer will make room, or an answer */
    dn_check (dn_pace_room (self) || self->probe_at_ms != INT64_MAX ||
              (!self->refused && self->in_flight - self->known >= DN_PACE_START) ||
              self->in_flight >= DN_PACE_MAX);
}
