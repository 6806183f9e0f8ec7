/*  ledger.c - what must hold of every call, whatever goes wrong
 *
 *  The ledger sees what no process sees: which attempts a worker took, which
 * ran, which answered. A call ends once. An attempt runs once at most, and all
 * attempts together too unless the call may run twice. Who is told that nothing
 * ran is told the truth, then and later. A value is that of the call's own run.
 * A call is lost only if something was: its slot, its worker, its client's or
 * its worker's place with the manager.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "sim.h"

#include "base/check.h"
#include "core/rosters.h"

#define SLACK_MS                                                                                   \
    20 /* from a deadline to the end of a call, of a client that was never       \
        frozen */

static const char *
outcome_name (unsigned outcome)
{
    static const char *const names[DENIM_OUTCOMES] = {
#define X(number, name, text) [number] = #name,
        DENIM_OUTCOME_MAP (X)
#undef X
    };
    return outcome < DENIM_OUTCOMES ? names[outcome] : "?";
}

static unsigned
row_of (const sim_t *sim, const sim_call_t *call)
{
    return (unsigned) (call - sim->call);
}

static unsigned
runs_of (const sim_call_t *call)
{
    unsigned runs = 0;
    for (unsigned i = 0; i <= SIM_ATTEMPTS; i++)
        runs += call->attempt[i].runs;
    return runs;
}

static sim_attempt_t *
attempt_of (sim_t *sim, sim_call_t *call, uint16_t attempt)
{
    if (attempt < 1 || attempt > SIM_ATTEMPTS)
        sim_fail (sim, "attempts: call %u has an attempt %u", row_of (sim, call), attempt);
    return &call->attempt[attempt];
}

/*  ---- on its way ---- */

void
sim_ledger_submit (sim_t *sim, sim_call_t *call, const dn_submit_t *submit)
{
    if (call->ended)
        sim_fail (sim, "submit: call %u is sent after its end", row_of (sim, call));
    if (call->seq && call->seq != submit->seq)
        sim_fail (sim, "submit: call %u changes its number", row_of (sim, call));
    if (submit->attempt == call->attempt_sent && submit->try_no <= call->try_sent)
        sim_fail (sim, "submit: call %u repeats a try number", row_of (sim, call));
    if (submit->attempt > 1 && !call->idempotent)
        sim_fail (sim, "submit: call %u may run once, and is sent as attempt %u",
                  row_of (sim, call), submit->attempt);
    attempt_of (sim, call, submit->attempt);
    call->seq = submit->seq;
    call->attempt_sent = submit->attempt;
    call->try_sent = submit->try_no;
}

static sim_call_t *
find (sim_t *sim, uint32_t client, uint64_t seq)
{
    for (uint32_t i = 0; i < sim->calls; i++)
        if (sim->call[i].client == client && sim->call[i].seq == seq)
            return &sim->call[i];
    return NULL;
}

/*  The first task that this manager gives to a worker: all others that are linked, and were there
 *  before it, have heard of it. It waits for them until the second beat after it came; a whole
 *  heartbeat lies before that one. */
void
sim_ledger_give (sim_t *sim, uint32_t number)
{
    const dn_peers_t *peers = dn_manager_peers (sim->manager.core);
    sim_worker_t     *worker = &sim->worker[number];
    const dn_peer_t  *self = dn_peers_by_session (peers, &worker->config.session);
    uint64_t          boot = 1ull << sim->manager.boot % 64;
    int64_t           waits_us = SIM_MS (sim->heartbeat_ms);

    if (!self || worker->given & boot)
        return;
    worker->given |= boot;
    sim_faults_moment (sim, SIM_MOMENT_GIVES, number);
    if (sim->now_us >= sim->node[SIM_NODE_WORKERS + number].greeted_us + waits_us)
        return;
    for (uint32_t i = 0; i < sim->workers; i++) {
        const sim_worker_t *other = &sim->worker[i];
        const dn_peer_t    *peer = dn_peers_by_session (peers, &other->config.session);
        if (!peer || peer->gone || !peer->link || peer->u.worker.joined >= self->u.worker.joined)
            continue;
        if (!(other->heard_of[sim->manager.boot % 64] & 1u << number))
            sim_fail (sim, "early: w%u is given a task, and w%u has not heard of it", number, i);
    }
}

/*  The stated limit: a worker joined while the others were cut off, the manager waited for them and
 *  then gave it the task, and died before one of them had heard of it. No other worker that has
 *  come to the next manager has heard of the one that has the task, from the manager that the call
 *  is stamped with, and that one has not come; so nobody can tell that it has to be waited for. */
static bool
is_unheard_of (const sim_t *sim, const sim_call_t *call, uint32_t worker)
{
    const sim_node_t *node = &sim->node[SIM_NODE_WORKERS + worker];

    if (call->boot_sent == sim->manager.boot || node->greeted_boot == sim->manager.boot)
        return false;
    for (uint32_t i = 0; i < sim->workers; i++)
        if (i != worker && sim->worker[i].heard_of[sim->manager.boot % 64] &&
            sim->worker[i].heard_of[call->boot_sent % 64] & 1u << worker)
            return false;
    return true;
}

static void
excuse (sim_t *sim)
{
    sim->counts.excused++;
    siglongjmp (sim->end, 1); /* without a reason: what follows would only repeat it */
}

/*  It did not run yet: a worker that nobody has heard of may have it, and run it later. */
static void
note_unheard (sim_t *sim, const sim_call_t *call, sim_attempt_t *attempt)
{
    for (uint32_t i = 0; i < sim->workers; i++)
        if (is_unheard_of (sim, call, i))
            attempt->unheard |= 1u << i;
}

static void
told_never (sim_t *sim, sim_call_t *call, uint16_t number, dn_kind_t kind)
{
    sim_attempt_t *attempt = attempt_of (sim, call, number);

    if (!attempt->runs) {
        if (kind == DN_MSG_MISSING)
            note_unheard (sim, call, attempt);
        return;
    }
    if (kind == DN_MSG_MISSING && is_unheard_of (sim, call, attempt->worker))
        excuse (sim);
    sim_fail (sim, "told never: call %u (seq %u, attempt %u) is told by %s that it did not run",
              row_of (sim, call), (unsigned) call->seq, number, dn_kind_name ((unsigned) kind));
}

/*  Another stamp. */
static void
hear_known (sim_t *sim, uint32_t client, const dn_known_t *known)
{
    sim_call_t *call = find (sim, client, known->seq);
    if (call && call->attempt_sent == known->attempt &&
        (!known->try_no || known->try_no == call->try_sent))
        call->boot_sent = sim_manager_boot_of (sim, known->epoch);
}

/*  A REJECT, or a MISSING that says never, of the last try: it says that this
 * attempt did not run and will not. */
void
sim_ledger_told (sim_t *sim, uint32_t client, const dn_msg_t *msg)
{
    if (msg->kind == DN_MSG_REJECT && msg->u.reject.reason == DENIM_REASON_DEADLOCK)
        sim_fail (sim, "deadlock: c%u is told of one, and all places are lent", client);
    if (msg->kind == DN_MSG_KNOWN)
        hear_known (sim, client, &msg->u.known);
    uint64_t seq = 0;
    uint16_t attempt = 0;
    uint32_t try_no = 0;

    if (msg->kind == DN_MSG_REJECT) {
        seq = msg->u.reject.seq;
        attempt = msg->u.reject.attempt;
        try_no = msg->u.reject.try_no;
    } else if (msg->kind == DN_MSG_MISSING && msg->u.missing.never) {
        seq = msg->u.missing.seq;
        attempt = msg->u.missing.attempt;
        try_no = msg->u.missing.try_no;
    }
    sim_call_t *call = seq ? find (sim, client, seq) : NULL;
    if (!call || call->ended || call->attempt_sent != attempt || call->try_sent != try_no)
        return;
    told_never (sim, call, attempt, msg->kind);
}

/*  What a BEAT does not tell its worker knows: who the others are, which clients were forgotten. */
void
sim_ledger_beat (sim_t *sim, uint32_t number, const dn_beat_t *beat)
{
    const dn_peers_t   *peers = dn_manager_peers (sim->manager.core);
    const sim_worker_t *worker = &sim->worker[number];
    uint32_t untold = sim->manager.forgot & ~worker->told & ~sim_clients_in (beat->forgotten);

    if (untold)
        sim_fail (sim, "forgets: w%u is not told that c%d is forgotten, and has not heard that",
                  number, __builtin_ctz (untold));
    if (beat->roster_version)
        return;
    for (uint32_t i = 0; i < sim->workers; i++) {
        const dn_peer_t *peer = dn_peers_by_session (peers, &sim->worker[i].config.session);
        if (peer && !peer->gone && !(worker->heard_of[sim->manager.boot % 64] & 1u << i))
            sim_fail (sim, "roster: w%u is not told any more of w%u, and has not heard of it",
                      number, i);
    }
}

/*  A task is cancelled when its caller wishes so, its deadline passes, or its client says goodbye.
 *  What runs of one that is given up ends with FORGET: it may be back, and has wished nothing. */
void
sim_ledger_cancel (sim_t *sim, const dn_cancel_t *cancel)
{
    uint32_t          client = sim_client_of (&cancel->session);
    const sim_call_t *call = client < SIM_CLIENTS ? find (sim, client, cancel->seq) : NULL;

    if (!call)
        sim_fail (sim, "cancel: of a task that nobody has sent");
    if (!call->cancelled && call->deadline_ms == DN_NEVER && !sim->client[client].leaves)
        sim_fail (sim, "cancel: call %u (seq %u) is cancelled, and c%u does not want that",
                  row_of (sim, call), (unsigned) call->seq, client);
}

/*  The last trace of a task may go with SETTLED: when its client has been forgotten, its worker
 *  must have heard that before. */
void
sim_ledger_settle (sim_t *sim, uint32_t worker, const dn_settled_t *settled)
{
    dn_list_t    tasks = settled->tasks;
    dn_row_key_t key;

    while (dn_list_next (&tasks, DN_ROW_KEY, &key)) {
        uint32_t client = sim_client_of (&key.session);
        uint32_t bit = client < SIM_CLIENTS ? 1u << client : 0;
        if (sim->manager.forgot & bit & ~sim->worker[worker].told)
            sim_fail (sim, "settled: w%u lets go of seq %u of c%u and cannot remember that one",
                      worker, (unsigned) key.seq, client);
        if (sim->manager.forgot & bit)
            sim_faults_moment (sim, SIM_MOMENT_RELEASES, worker);
    }
}

void
sim_ledger_receive (sim_t *sim, uint32_t worker, const sim_frame_t *frame)
{
    sim_call_t    *call = &sim->call[frame->payload.call];
    sim_attempt_t *attempt = attempt_of (sim, call, frame->payload.attempt);

    attempt->received = true;
    attempt->worker = (uint16_t) worker;
}

/*  ---- in a slot ---- */

static bool
ended_unrun (const sim_call_t *call)
{
    uint8_t outcome = call->outcome;
    if (outcome == DENIM_CANCELLED || outcome == DENIM_DEADLINE)
        return !call->started;
    return outcome == DENIM_REJECTED || outcome == DENIM_UNAVAILABLE ||
           outcome == DENIM_UNKNOWN_TASK;
}

void
sim_ledger_run (sim_t *sim, uint32_t worker, const sim_frame_t *frame, uint16_t number)
{
    sim_call_t    *call = &sim->call[frame->payload.call];
    sim_attempt_t *attempt = attempt_of (sim, call, number);
    dn_msg_t       run, submit;

    dn_check (dn_msg_decode (&run, W2S, frame->header, frame->header_bytes) == 0);
    dn_str_t inner = run.u.run.submit;
    dn_check (dn_msg_decode (&submit, W2S, inner.ptr, inner.len) == 0);
    if (!dn_session_eq (&run.u.run.session, &sim->client[call->client].id) ||
        submit.u.submit.seq != call->seq || frame->payload.attempt != number)
        sim_fail (sim, "mixed: the header of call %u has the arguments of another",
                  row_of (sim, call));
    bool again = attempt->runs > 0 || (call->ended && ended_unrun (call));
    if (again && attempt->unheard & (1u << worker | 1u << attempt->worker))
        excuse (sim);
    if (attempt->runs++)
        sim_fail (sim, "twice: call %u (seq %u, attempt %u) runs again, on w%u; before on w%u",
                  row_of (sim, call), (unsigned) call->seq, number, worker, attempt->worker);
    if (runs_of (call) > 1 && !call->idempotent)
        sim_fail (sim, "twice: call %u (seq %u) runs again as attempt %u, and may not",
                  row_of (sim, call), (unsigned) call->seq, number);
    if (call->ended && ended_unrun (call))
        sim_fail (sim, "runs after: call %u (seq %u) had ended as %s, and runs", row_of (sim, call),
                  (unsigned) call->seq, outcome_name (call->outcome));
    attempt->worker = (uint16_t) worker;
}

void
sim_ledger_answer (sim_t *sim, uint16_t call, uint16_t attempt)
{
    sim->call[call].attempt[attempt].answered = true;
}

void
sim_ledger_crash (sim_t *sim, uint16_t call, uint16_t attempt)
{
    sim->call[call].attempt[attempt].crashed = true;
}

/*  ---- the end of a call ---- */

bool
sim_ledger_came_late (const sim_t *sim, uint32_t number)
{
    const sim_node_t *node = &sim->node[number];
    int64_t           settled_us = sim->manager.up_us + SIM_MS (SIM_LIVENESS * sim->heartbeat_ms);
    bool late = node->greeted_boot != sim->manager.boot || node->greeted_us > settled_us;

    return late && (sim_faults_unsure (sim) || node->hurt_us >= sim->manager.up_us);
}

/*  A worker is not there, or the client itself was not. */
static bool
is_somebody_missing (const sim_t *sim, const sim_call_t *call)
{
    bool missing =
        sim->workers_ended > 0 || sim_ledger_came_late (sim, SIM_NODE_CLIENTS + call->client);
    for (uint32_t i = 0; i < sim->workers; i++)
        missing = missing || sim->worker[i].drained || sim->worker[i].asked ||
                  sim_ledger_came_late (sim, SIM_NODE_WORKERS + i);
    return missing;
}

/*  Somebody is missing, or it is too long ago, or no worker was told who else was there when it was
 *  sent: who knows whether another worker had it? */
static bool
is_unknowable (const sim_t *sim, const sim_call_t *call)
{
    bool witness = false;
    for (uint32_t i = 0; i < sim->workers; i++)
        witness =
            witness || sim->node[SIM_NODE_WORKERS + i].heard_boots & 1ull << call->boot_sent % 64;
    if (sim->manager.few && call->boot_sent != sim->manager.boot)
        return true; /* once its table was full it proves nothing about earlier boots */
    return !witness || sim->manager.boot - call->boot_sent > DN_ROSTERS_TOLD ||
           is_somebody_missing (sim, call);
}

/*  It died, or was cut off for so long that it was given up. */
static bool
was_away (const sim_t *sim, uint32_t worker)
{
    uint32_t          node = SIM_NODE_WORKERS + worker;
    const sim_node_t *self = &sim->node[node];

    return !self->alive || self->was_gone || sim->worker[worker].drained ||
           sim_ledger_came_late (sim, node);
}

/*  The worker of that name; sim->workers: none. */
static uint32_t
worker_named (const sim_t *sim, dn_str_t name)
{
    uint32_t number = 0;
    if (name.len < 2 || name.ptr[0] != 'w')
        return sim->workers;
    for (uint32_t i = 1; i < name.len && number < sim->workers; i++)
        number = number * 10 + (uint32_t) (name.ptr[i] - '0');
    return number < sim->workers ? number : sim->workers;
}

/*  Refused by the worker that took it last, and then given to another one that died, or was given
 *  up, before it took it? */
static bool
is_lost_elsewhere (const sim_t *sim, const sim_attempt_t *attempt, const dn_result_t *result)
{
    uint32_t worker = worker_named (sim, result->worker);

    return !attempt->runs && worker < sim->workers && worker != attempt->worker &&
           was_away (sim, worker);
}

/*  A worker has it, or had: it is lost if that one is. */
static void
check_lost_at (sim_t *sim, sim_call_t *call, const sim_attempt_t *attempt, unsigned number)
{
    if (was_away (sim, attempt->worker))
        return;
    if (!attempt->runs && sim->manager.boot > 1 && is_unknowable (sim, call))
        return; /* it was refused there, and whether another had it after that nobody can say */
    sim_fail (sim, "lost: call %u (seq %u, attempt %u) is lost, and w%u %s", row_of (sim, call),
              (unsigned) call->seq, number, attempt->worker,
              attempt->answered ? "has answered it"
              : attempt->runs   ? "runs it"
                                : "had it");
}

/*  Nobody has it, as far as one can see. */
static void
check_lost_unseen (sim_t *sim, sim_call_t *call, unsigned number)
{
    if (!is_unknowable (sim, call))
        sim_fail (sim, "lost unseen: call %u (seq %u, attempt %u) is lost, and no worker had it",
                  row_of (sim, call), (unsigned) call->seq, number);
}

/*  Is there a reason why nobody can know? */
static void
check_lost (sim_t *sim, sim_call_t *call, const dn_result_t *result, const sim_frame_t *hand)
{
    const sim_attempt_t *attempt = attempt_of (sim, call, result->attempt);

    if (hand && sim->link[hand->link].boot != sim->manager.boot)
        return; /* a manager said so that is gone, and it may have been right */

    if (attempt->crashed || sim->node[SIM_NODE_CLIENTS + call->client].was_gone)
        return;
    if (result->attempt > 1 && (call->deadline_ms != DN_NEVER || !attempt->received))
        return; /* an attempt before it was lost, and it was not repeated in time */
    if (is_lost_elsewhere (sim, attempt, result))
        return;
    if (attempt->received)
        check_lost_at (sim, call, attempt, result->attempt);
    else
        check_lost_unseen (sim, call, result->attempt);
}

/*  Its own value or exception, of the attempt that it names. */
static void
check_body (sim_t *sim, sim_call_t *call, const dn_result_t *result, const sim_frame_t *hand,
            sim_body_t body)
{
    if (!hand || hand->payload.body != body || hand->payload.call != row_of (sim, call) ||
        hand->payload.attempt != result->attempt)
        sim_fail (sim, "mixed: call %u ends as %s with what is not its own", row_of (sim, call),
                  outcome_name (result->outcome));
    if (!attempt_of (sim, call, result->attempt)->answered)
        sim_fail (sim, "mixed: call %u has a value that no slot made", row_of (sim, call));
}

static void
check_outcome (sim_t *sim, sim_call_t *call, const dn_result_t *result, const sim_frame_t *hand)
{
    bool fits = true;

    switch ((denim_outcome_t) result->outcome) {
    case DENIM_VALUE: check_body (sim, call, result, hand, SIM_VALUE); break;
    case DENIM_EXCEPTION: check_body (sim, call, result, hand, SIM_RAISED); break;
    case DENIM_LOST: check_lost (sim, call, result, hand); break;
    case DENIM_POISON: fits = call->kind == SIM_TASK_DIES && call->idempotent; break;
    case DENIM_CANCELLED: fits = call->cancelled || sim->client[call->client].leaves; break;
    case DENIM_DEADLINE:
    case DENIM_REJECTED:
    case DENIM_UNAVAILABLE: fits = call->deadline_ms != DN_NEVER; break;
    case DENIM_UNKNOWN_TASK: break; /* a service may start late */
    case DENIM_TIME_LIMIT: fits = call->soft_limit_ms || call->hard_limit_ms; break;
    case DENIM_TOO_LARGE: fits = call->answer_bytes > 2000000; break;
    case DENIM_CODEC:
    case DENIM_NOT_ALLOWED:
    case DENIM_MISMATCH:
    case DENIM_NESTING_TOO_DEEP:
    case DENIM_OUTCOMES: fits = false; break;
    }
    if (!fits)
        sim_fail (sim, "outcome: call %u (seq %u) ends as %s for no reason", row_of (sim, call),
                  (unsigned) call->seq, outcome_name (result->outcome));
}

void
sim_ledger_end (sim_t *sim, sim_call_t *call, const dn_result_t *result, const sim_frame_t *hand)
{
    if (call->ended)
        sim_fail (sim, "ends twice: call %u", row_of (sim, call));
    call->ended = true;
    call->outcome = result->outcome;
    call->started = result->flags & 1;
    call->ended_ms = sim_now_ms (sim);
    if (result->outcome < DENIM_OUTCOMES)
        sim->counts.ends[result->outcome]++;
    check_outcome (sim, call, result, hand);
    if (ended_unrun (call) && runs_of (call))
        sim_fail (sim, "ran: call %u (seq %u, attempt %u) ends as %s, not started, and it ran",
                  row_of (sim, call), (unsigned) call->seq, result->attempt,
                  outcome_name (result->outcome));
    if (call->deadline_ms != DN_NEVER && call->ended_ms > call->deadline_ms + SLACK_MS &&
        !sim->node[SIM_NODE_CLIENTS + call->client].was_frozen)
        sim_fail (sim, "late: call %u ends %d ms after its deadline", row_of (sim, call),
                  (int) (call->ended_ms - call->deadline_ms));
}

/*  ---- what the manager knows ---- */

void
sim_ledger_depths (sim_t *sim)
{
    const dn_tasks_t *tasks = dn_manager_tasks (sim->manager.core);

    for (uint32_t i = 0; sim->nesting && i < sim->calls; i++) {
        const sim_call_t   *call = &sim->call[i];
        const dn_session_t *client = &sim->client[call->client].id;
        const dn_task_t    *task = dn_tasks_find (tasks, client, call->seq, call->attempt_sent);
        if (call->seq && task && task->state == DN_TASK_PLACED && task->depth != call->depth)
            sim_fail (sim, "depth: call %u is nested %u deep, and the manager says %u", i,
                      call->depth, task->depth);
    }
}

/*  ---- the end of everything ---- */

void
sim_ledger_close_calls (sim_t *sim)
{
    for (uint32_t i = 0; i < sim->calls; i++) {
        const sim_call_t *call = &sim->call[i];
        if (!sim->node[SIM_NODE_CLIENTS + call->client].alive)
            continue;
        if (!call->asked)
            sim_fail (sim, "never asked: call %u of c%u", i, call->client);
        if (!call->ended)
            sim_fail (sim, "never ends: call %u of c%u (seq %u, attempt %u, try %u)", i,
                      call->client, (unsigned) call->seq, call->attempt_sent, call->try_sent);
    }
}

/*  A record that the manager should not have. */
static void
name_record (sim_t *sim)
{
    const dn_tasks_t *tasks = dn_manager_tasks (sim->manager.core);

    for (uint32_t i = 0; i < sim->calls; i++)
        for (uint16_t attempt = 1; attempt <= SIM_ATTEMPTS; attempt++) {
            const sim_call_t *call = &sim->call[i];
            const dn_task_t  *task =
                dn_tasks_find (tasks, &sim->client[call->client].id, call->seq, attempt);
            if (task)
                sim_fail (sim,
                          "left over: a record in state %d of call %u (c%u, seq %u, "
                          "attempt %u)%s",
                          (int) task->state, i, call->client, (unsigned) call->seq, attempt,
                          task->client ? "" : ", of no client");
        }
}

static void
close_manager (sim_t *sim)
{
    const dn_manager_t *core = sim->manager.core;
    const dn_peers_t   *peers = dn_manager_peers (core);
    uint32_t            clients = 0;

    for (uint32_t i = 0; i < sim->clients; i++)
        clients += sim->node[SIM_NODE_CLIENTS + i].alive;
    if (dn_tasks_count (dn_manager_tasks (core)))
        name_record (sim);
    if (dn_manager_placed (core))
        sim_fail (sim, "left over: %u places at the manager", dn_manager_placed (core));
    if (dn_tasks_count (dn_manager_tasks (core)))
        sim_fail (sim, "left over: %u records of nobody at the manager",
                  dn_tasks_count (dn_manager_tasks (core)));
    if (dn_peers_count (peers, DN_ROLE_CLIENT) > clients)
        sim_fail (sim, "left over: %u clients at the manager, %u live",
                  dn_peers_count (peers, DN_ROLE_CLIENT), clients);
    for (uint32_t i = 0; i < sim->workers; i++) {
        if (!sim->node[SIM_NODE_WORKERS + i].alive || sim->worker[i].drained)
            continue;
        const dn_peer_t *peer = dn_peers_by_session (peers, &sim->worker[i].config.session);
        if (!peer || !dn_manager_ready (core, peer))
            sim_fail (sim, "left over: w%u is not ready at the manager", i);
    }
}

void
sim_ledger_close (sim_t *sim)
{
    sim_ledger_close_calls (sim);
    close_manager (sim);
    for (uint32_t i = 0; i < sim->workers; i++) {
        if (!sim->node[SIM_NODE_WORKERS + i].alive)
            continue;
        if (sim->worker[i].kept_count || sim->worker[i].held)
            sim_fail (sim, "left over: w%u keeps %u payloads and lists %u tasks", i,
                      sim->worker[i].kept_count, sim->worker[i].held);
    }
    for (uint32_t i = 0; i < sim->clients; i++)
        if (sim->node[SIM_NODE_CLIENTS + i].alive &&
            dn_session_facts (sim->client[i].core).in_flight)
            sim_fail (sim, "left over: c%u has calls in flight", i);
}
