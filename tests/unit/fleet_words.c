/*  fleet_words.c - what the false manager says to a fleet
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "fleet_world.h"

#include "base/check.h"

const dn_session_t world_client = {{0xc1, 1, 2, 3}};
const dn_session_t world_other = {{0xc2, 1, 2, 3}};

void
world_say (world_t *self, dn_kind_t kind)
{
    dn_msg_t msg = {.kind = kind};
    world_feed (self, &msg, 0);
}

void
world_welcome (world_t *self, uint64_t epoch)
{
    dn_msg_t msg = {.kind = DN_MSG_WELCOME};
    msg.u.welcome.epoch = epoch;
    msg.u.welcome.link = self->link;
    msg.u.welcome.heartbeat_ms = 1000;
    msg.u.welcome.liveness = 3;
    msg.u.welcome.payload_max = 1000000;
    msg.u.welcome.standby_ms = 100;
    world_feed (self, &msg, 0);
}

void
world_beat (world_t *self, uint64_t epoch, uint64_t mark)
{
    dn_msg_t msg = {.kind = DN_MSG_BEAT};
    msg.u.beat.epoch = epoch;
    msg.u.beat.mark = mark;
    world_feed (self, &msg, 0);
}

void
world_fault (world_t *self, uint8_t reason)
{
    dn_msg_t msg = {.kind = DN_MSG_FAULT};
    msg.u.fault.reason = reason;
    msg.u.fault.major = 2;
    msg.u.fault.text = dn_str ("no");
    world_feed (self, &msg, 0);
}

void
world_drain (world_t *self, uint32_t timeout_ms)
{
    dn_msg_t msg = {.kind = DN_MSG_DRAIN};
    msg.u.drain.timeout_ms = timeout_ms;
    world_feed (self, &msg, 0);
}

void
world_forget (world_t *self, const dn_session_t *session)
{
    dn_msg_t msg = {.kind = DN_MSG_FORGET};
    msg.u.forget.session = *session;
    world_feed (self, &msg, 0);
}

/*  Whose task it is; a number that was never given counts as the usual client's. */
static dn_session_t
client_of (const world_t *self, uint64_t seq)
{
    return dn_session_zero (&self->client[seq]) ? world_client : self->client[seq];
}

void
world_about (world_t *self, dn_kind_t kind, uint64_t seq, uint8_t how)
{
    dn_msg_t msg = {.kind = kind};
    dn_check (kind == DN_MSG_CANCEL || kind == DN_MSG_RESEND);
    msg.u.cancel.session = client_of (self, seq); /* RESEND begins with the same fields */
    msg.u.cancel.seq = seq;
    msg.u.cancel.attempt = 1;
    if (kind == DN_MSG_CANCEL)
        msg.u.cancel.how = how;
    world_feed (self, &msg, 0);
}

void
world_settle_all (world_t *self, const uint64_t *seq, uint32_t count)
{
    static uint8_t bytes[DN_HEADER_MAX];
    dn_rows_t      rows = {bytes, sizeof bytes, 0, 0};
    dn_msg_t       msg = {.kind = DN_MSG_SETTLED};

    for (uint32_t i = 0; i < count; i++) {
        dn_row_key_t key = {client_of (self, seq[i]), seq[i], 1};
        dn_check (dn_rows_put (&rows, DN_ROW_KEY, &key) == 0);
    }
    msg.u.settled.link = self->link;
    msg.u.settled.tasks = dn_rows_list (&rows);
    world_feed (self, &msg, 0);
}

void
world_settle (world_t *self, uint64_t seq)
{
    world_settle_all (self, &seq, 1);
}

/*  A roster of `count` workers whose sessions begin with `first` and count on. */
static dn_list_t
roster_of (uint8_t first, uint32_t count, uint8_t *bytes, size_t bytes_max)
{
    dn_rows_t rows = {bytes, bytes_max, 0, 0};
    for (uint32_t i = 0; i < count; i++) {
        dn_row_session_t row = {{{first, (uint8_t) (i >> 8), (uint8_t) i, 1}}};
        dn_check (dn_rows_put (&rows, DN_ROW_SESSION, &row) == 0);
    }
    return dn_rows_list (&rows);
}

void
world_roster (world_t *self, dn_kind_t kind, uint64_t epoch, uint32_t version, uint8_t first,
              uint32_t count)
{
    static uint8_t bytes[DN_HEADER_MAX];
    dn_msg_t       msg = {.kind = kind};
    dn_list_t      roster = roster_of (first, count, bytes, sizeof bytes);

    if (kind == DN_MSG_BEAT) {
        msg.u.beat.epoch = epoch;
        msg.u.beat.roster_version = version;
        msg.u.beat.roster = roster;
    } else {
        msg.u.welcome.epoch = epoch;
        msg.u.welcome.link = self->link;
        msg.u.welcome.roster_version = version;
        msg.u.welcome.roster = roster;
    }
    world_feed (self, &msg, 0);
}

void
world_gone (world_t *self, dn_kind_t kind, uint64_t epoch, uint32_t version,
            const dn_session_t *clients, uint32_t count, bool more)
{
    static uint8_t   bytes[2][DN_HEADER_SMALL];
    dn_rows_t        rows = {bytes[0], sizeof bytes[0], 0, 0};
    dn_row_session_t row = {{{0}}};
    dn_msg_t         msg = {.kind = kind};

    if (more)
        dn_check (dn_rows_put (&rows, DN_ROW_SESSION, &row) == 0);
    for (uint32_t i = 0; i < count; i++) {
        row.session = clients[i];
        dn_check (dn_rows_put (&rows, DN_ROW_SESSION, &row) == 0);
    }
    if (kind == DN_MSG_BEAT) {
        msg.u.beat.epoch = epoch;
        msg.u.beat.roster_version = version;
        msg.u.beat.roster = roster_of (0xa0, version ? 1 : 0, bytes[1], sizeof bytes[1]);
        msg.u.beat.forgotten = dn_rows_list (&rows);
    } else {
        msg.u.welcome.epoch = epoch;
        msg.u.welcome.link = self->link;
        msg.u.welcome.roster_version = version;
        msg.u.welcome.roster = roster_of (0xa0, version ? 1 : 0, bytes[1], sizeof bytes[1]);
        msg.u.welcome.forgotten = dn_rows_list (&rows);
    }
    world_feed (self, &msg, 0);
}

void
world_run_of (world_t *self, const dn_session_t *client, uint64_t seq, const dn_submit_t *fields,
              uint64_t payload_bytes)
{
    uint8_t  bytes[DN_HEADER_SMALL];
    dn_msg_t inner = {.kind = DN_MSG_SUBMIT};
    dn_msg_t msg = {.kind = DN_MSG_RUN};

    inner.u.submit = *fields;
    inner.u.submit.seq = seq;
    inner.u.submit.attempt = 1;
    inner.u.submit.service = dn_str ("app");
    inner.u.submit.task = dn_str ("app:add");
    ptrdiff_t n = dn_msg_encode (&inner, bytes, sizeof bytes);
    dn_check (n > 0 && seq < WORLD_SEQS);
    msg.u.run.session = self->client[seq] = *client;
    msg.u.run.attempt = 1;
    msg.u.run.link = self->link;
    msg.u.run.submit = (dn_str_t){(const char *) bytes, (uint16_t) n};
    world_feed (self, &msg, payload_bytes);
}

void
world_run_with (world_t *self, uint64_t seq, const dn_submit_t *fields, uint64_t payload_bytes)
{
    world_run_of (self, &world_client, seq, fields, payload_bytes);
}

void
world_run (world_t *self, uint64_t seq)
{
    dn_submit_t fields = {0};
    world_run_with (self, seq, &fields, 10);
}

static void
call_disconnected (world_t *self, const void *arg, dn_effects_t *fx)
{
    (void) arg;
    dn_fleet_disconnected (self->fleet, self->now_ms, fx);
}

void
world_disconnected (world_t *self)
{
    world_call (self, call_disconnected, NULL);
}
