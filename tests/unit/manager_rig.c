/*  manager_rig.c - a manager's machine on a bench, for tests
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "manager_rig.h"

dn_session_t
bench_session (uint8_t n)
{
    dn_session_t s = {{0}};
    s.bytes[0] = n;
    return s;
}

int
bench_setup (void **state)
{
    bench_t *self = calloc (1, sizeof *self);
    self->config = (dn_manager_config_t){.epoch = BENCH_EPOCH,
                                         .seed = 5,
                                         .clients_max = 3,
                                         .workers_max = 2,
                                         .tasks_max = 8,
                                         .services_max = 4,
                                         .heartbeat_ms = BEAT_MS,
                                         .liveness = 3,
                                         .payload_max = 1000,
                                         .standby_ms = 100,
                                         .retry_max_ms = 2000,
                                         .client_bytes = DN_CLIENT_BYTES};
    self->now_ms = 50000;
    self->fx = dn_effects_new ();
    bench_restart (self);
    *state = self;
    return 0;
}

void
bench_restart (bench_t *self)
{
    dn_manager_destroy (&self->core);
    self->core = dn_manager_new (&self->config, self->now_ms);
    assert_non_null (self->core);
}

int
bench_teardown (void **state)
{
    bench_t *self = *state;
    dn_manager_check (self->core);
    dn_effects_destroy (&self->fx);
    dn_manager_destroy (&self->core);
    free (self);
    return 0;
}

void
bench_feed_bytes (bench_t *self, dn_link_t from, const dn_msg_t *msg, uint64_t payload_bytes)
{
    dn_effects_clear (self->fx);
    dn_manager_event_t in = {self->now_ms, from, msg, dn_str ("header"), payload_bytes};
    dn_manager_input (self->core, &in, self->fx);
    dn_manager_check (self->core);
}

void
bench_feed (bench_t *self, dn_link_t from, const dn_msg_t *msg)
{
    bench_feed_bytes (self, from, msg, 10);
}

void
bench_pass (bench_t *self, int64_t ms)
{
    self->now_ms += ms;
    dn_effects_clear (self->fx);
    while (dn_manager_deadline_ms (self->core) <= self->now_ms && dn_effects_room (self->fx, 500)) {
        dn_manager_tick (self->core, self->now_ms, self->fx);
        dn_manager_check (self->core);
    }
}

const dn_effect_t *
bench_sent (bench_t *self, dn_link_t to, dn_kind_t kind, int n)
{
    for (uint32_t i = 0; i < self->fx->count; i++) {
        const dn_effect_t *row = &self->fx->row[i];
        if (row->to == to && row->msg.kind == kind && n-- == 0)
            return row;
    }
    return NULL;
}

bool
bench_relayed (bench_t *self, dn_link_t to)
{
    for (uint32_t i = 0; i < self->fx->count; i++)
        if (self->fx->row[i].kind == DN_FX_RELAY && self->fx->row[i].to == to)
            return true;
    return false;
}

void
bench_client (bench_t *self, dn_link_t link, uint8_t who, uint32_t number)
{
    dn_msg_t msg = {.kind = DN_MSG_CLIENT_HELLO};
    msg.u.client_hello.major = DN_MAJOR;
    msg.u.client_hello.session = bench_session (who);
    msg.u.client_hello.link = number;
    msg.u.client_hello.name = dn_str ("client");
    bench_feed (self, link, &msg);
}

void
bench_hello (bench_t *self, dn_link_t link, uint8_t who, uint32_t number,
             const bench_hello_t *hello)
{
    static uint8_t       bytes[4][65536];
    dn_rows_t            rows[4];
    dn_row_service_t     service = {dn_str ("app")};
    dn_msg_t             msg = {.kind = DN_MSG_WORKER_HELLO};
    dn_worker_hello_t   *out = &msg.u.worker_hello;
    const dn_row_held_t *held = hello->held;

    for (int i = 0; i < 4; i++)
        rows[i] = (dn_rows_t){bytes[i], sizeof bytes[i], 0, 0};
    dn_rows_put (&rows[0], DN_ROW_SERVICE, &service);
    for (int i = 0; i < hello->helds; i++)
        assert_int_equal (dn_rows_put (&rows[1], DN_ROW_HELD, &held[i]), 0);
    for (int i = 0; i < hello->rosters; i++)
        assert_int_equal (dn_rows_put (&rows[2], DN_ROW_ROSTER, &hello->roster[i]), 0);
    for (const uint8_t *at = hello->forgotten; at && *at; at++) {
        dn_row_session_t row = {bench_session (*at)};
        dn_rows_put (&rows[3], DN_ROW_SESSION, &row);
    }
    out->major = DN_MAJOR;
    out->session = bench_session (who);
    out->instance = bench_session (hello->instance);
    out->link = number;
    out->state = hello->draining;
    out->name = dn_str ("w");
    out->host = dn_str ("h");
    out->slots = hello->slots;
    out->standby = 64;
    out->services = dn_rows_list (&rows[0]);
    out->inventory = dn_rows_list (&rows[1]);
    out->rosters = dn_rows_list (&rows[2]);
    out->forgotten = dn_rows_list (&rows[3]);
    bench_feed (self, link, &msg);
}

void
bench_worker (bench_t *self, dn_link_t link, uint8_t who, uint32_t number, uint32_t slots)
{
    bench_hello_t hello = {.slots = slots};
    bench_hello (self, link, who, number, &hello);
}

void
bench_bye (bench_t *self, dn_link_t from)
{
    dn_msg_t msg = {.kind = DN_MSG_BYE};
    msg.u.bye.reason = DENIM_REASON_SHUTDOWN;
    bench_feed (self, from, &msg);
}

void
bench_refuse (bench_t *self, dn_link_t from, uint8_t client, uint64_t seq, uint8_t reason,
              bool held)
{
    dn_msg_t msg = {.kind = DN_MSG_REFUSE};
    msg.u.refuse.session = bench_session (client);
    msg.u.refuse.seq = seq;
    msg.u.refuse.attempt = 1;
    msg.u.refuse.reason = reason;
    msg.u.refuse.held = held;
    bench_feed (self, from, &msg);
}

void
bench_submit_to (bench_t *self, dn_link_t from, uint64_t seq, const char *service)
{
    dn_msg_t msg = {.kind = DN_MSG_SUBMIT};
    msg.u.submit.seq = seq;
    msg.u.submit.attempt = 1;
    msg.u.submit.try_no = 1;
    msg.u.submit.service = dn_str (service);
    msg.u.submit.task = dn_str ("app:add");
    bench_feed (self, from, &msg);
}

void
bench_submit (bench_t *self, dn_link_t from, uint64_t seq)
{
    bench_submit_to (self, from, seq, "app");
}

void
bench_ask (bench_t *self, dn_link_t from, bench_ask_t what)
{
    dn_msg_t msg = {.kind = DN_MSG_SUBMIT};
    char     parent[DENIM_PARENT_BYTES] = {0};
    memcpy (parent, bench_session (what.parent).bytes, 16);
    parent[DENIM_PARENT_BYTES - 1] = (char) what.parent_seq;
    msg.u.submit.seq = what.seq;
    msg.u.submit.attempt = 1;
    msg.u.submit.try_no = 1;
    msg.u.submit.deadline_ms = what.deadline_ms;
    msg.u.submit.held = what.held;
    msg.u.submit.grant = what.grant;
    msg.u.submit.priority = what.priority;
    msg.u.submit.depth = what.depth;
    if (what.parent)
        msg.u.submit.parent = (dn_str_t){parent, sizeof parent};
    msg.u.submit.service = dn_str (what.service ? what.service : "app");
    msg.u.submit.task = dn_str ("app:add");
    bench_feed_bytes (self, from, &msg, what.bytes);
}

void
bench_result (bench_t *self, dn_link_t from, uint8_t client, uint64_t seq, uint8_t outcome,
              uint32_t run_us)
{
    bench_result_bytes (self, from, client, seq, outcome, run_us, 0);
}

void
bench_result_bytes (bench_t *self, dn_link_t from, uint8_t client, uint64_t seq, uint8_t outcome,
                    uint32_t run_us, uint64_t bytes)
{
    dn_msg_t msg = {.kind = DN_MSG_RESULT};
    msg.u.result.session = bench_session (client);
    msg.u.result.seq = seq;
    msg.u.result.attempt = 1;
    msg.u.result.outcome = outcome;
    msg.u.result.run_us = run_us;
    bench_feed_bytes (self, from, &msg, bytes);
}

void
bench_ack (bench_t *self, dn_link_t from, uint64_t seq)
{
    uint8_t      bytes[64];
    dn_rows_t    rows = {bytes, sizeof bytes, 0, 0};
    dn_row_ack_t row = {seq, 1};
    dn_rows_put (&rows, DN_ROW_ACK, &row);
    dn_msg_t msg = {.kind = DN_MSG_ACK};
    msg.u.ack.acks = dn_rows_list (&rows);
    bench_feed (self, from, &msg);
}

void
bench_open (bench_t *self, dn_link_t from, uint64_t mark, const dn_row_open_t *calls, int count,
            uint64_t upto)
{
    static uint8_t bytes[65536];
    dn_rows_t      rows = {bytes, sizeof bytes, 0, 0};
    for (int i = 0; i < count; i++)
        dn_rows_put (&rows, DN_ROW_OPEN, &calls[i]);
    dn_msg_t msg = {.kind = DN_MSG_OPEN};
    msg.u.open.mark = mark;
    msg.u.open.upto_seq = upto;
    msg.u.open.calls = dn_rows_list (&rows);
    bench_feed (self, from, &msg);
}

void
bench_held (bench_t *self, dn_link_t from, uint64_t mark, const dn_row_held_t *tasks, int count)
{
    static uint8_t bytes[65536];
    dn_rows_t      rows = {bytes, sizeof bytes, 0, 0};
    for (int i = 0; i < count; i++)
        dn_rows_put (&rows, DN_ROW_HELD, &tasks[i]);
    const dn_peer_t *peer = dn_peers_by_link (dn_manager_peers (self->core), from);
    dn_msg_t         msg = {.kind = DN_MSG_HELD};
    msg.u.held.mark = mark;
    if (peer && peer->role == DN_ROLE_WORKER) {
        msg.u.held.slots = peer->u.worker.slots;
        msg.u.held.lent = peer->u.worker.lent;
        msg.u.held.blocked = peer->u.worker.blocked;
        msg.u.held.standby = peer->u.worker.standby;
    }
    memset (msg.u.held.upto_session.bytes, 0xff, 16);
    msg.u.held.upto_seq = UINT64_MAX;
    msg.u.held.tasks = dn_rows_list (&rows);
    bench_feed (self, from, &msg);
}

int
bench_reason (bench_t *self, dn_link_t to)
{
    const dn_effect_t *row = bench_sent (self, to, DN_MSG_REJECT, 0);
    return row ? row->msg.u.reject.reason : -1;
}

bench_t *
bench_up (void **state, uint32_t slots)
{
    bench_t *self = *state;
    bench_client (self, CLIENT, 1, 1);
    bench_worker (self, WORKER, 9, 1, slots);
    return self;
}

void
bench_run_some (bench_t *self, int count, uint32_t run_us)
{
    for (uint64_t seq = 1000; count-- > 0; seq++) {
        bench_submit (self, CLIENT, seq);
        bench_result (self, WORKER, 1, seq, DENIM_VALUE, run_us);
        bench_ack (self, CLIENT, seq);
    }
}

/*  ---- looking ---- */

int
bench_count (bench_t *self, dn_link_t to, dn_kind_t kind)
{
    int count = 0;
    while (bench_sent (self, to, kind, count))
        count++;
    return count;
}

int
bench_outcome (bench_t *self, dn_link_t to)
{
    const dn_effect_t *row = bench_sent (self, to, DN_MSG_RESULT, 0);
    return row ? row->msg.u.result.outcome : -1;
}

uint32_t
bench_settled (bench_t *self, dn_link_t to)
{
    uint32_t           count = 0;
    const dn_effect_t *row;
    for (int i = 0; (row = bench_sent (self, to, DN_MSG_SETTLED, i)); i++)
        count += row->msg.u.settled.tasks.count;
    return count;
}

bool
bench_settled_has (bench_t *self, dn_link_t to, uint8_t client, uint64_t seq)
{
    const dn_effect_t *row;
    for (int i = 0; (row = bench_sent (self, to, DN_MSG_SETTLED, i)); i++) {
        dn_list_t    tasks = row->msg.u.settled.tasks;
        dn_row_key_t key;
        while (dn_list_next (&tasks, DN_ROW_KEY, &key))
            if (key.session.bytes[0] == client && key.seq == seq && key.attempt == 1)
                return true;
    }
    return false;
}

uint32_t
bench_records (bench_t *self)
{
    return dn_tasks_count (dn_manager_tasks (self->core));
}

bool
bench_named (dn_list_t roster, uint8_t who)
{
    dn_session_t     session = bench_session (who);
    dn_row_session_t row;
    while (dn_list_next (&roster, DN_ROW_SESSION, &row))
        if (dn_session_eq (&row.session, &session))
            return true;
    return false;
}

dn_row_open_t
bench_call (uint64_t seq)
{
    return (dn_row_open_t){.seq = seq, .attempt = 1, .try_no = 1, .epoch = BENCH_EPOCH, .term = 1};
}

dn_row_held_t
bench_row (uint8_t client, uint64_t seq, uint8_t state)
{
    return (dn_row_held_t){bench_session (client), seq, 1, state, 0};
}

uint64_t
bench_mark (bench_t *self, dn_link_t link)
{
    return dn_peers_by_link (dn_manager_peers (self->core), link)->mark;
}

void
bench_live (bench_t *self, int beats)
{
    static const dn_link_t links[] = {CLIENT, OTHER, WORKER, WORKER2};
    while (beats-- > 0) {
        bench_pass (self, BEAT_MS);
        for (size_t i = 0; i < sizeof links / sizeof links[0]; i++) {
            const dn_peer_t *peer = dn_peers_by_link (dn_manager_peers (self->core), links[i]);
            if (peer && peer->role == DN_ROLE_CLIENT)
                bench_open (self, links[i], 0, NULL, 0, 0);
            else if (peer)
                bench_held (self, links[i], 0, NULL, 0);
        }
    }
}
