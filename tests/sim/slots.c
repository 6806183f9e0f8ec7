/*  slots.c - false processes of a worker: the zygote, and slots that run tasks
 *
 *  A slot claims the tasks of its channel in order, runs them for as long as
 * their calls say, and answers; a task may raise, end its slot, or ignore an
 * interrupt. What it says comes to its supervisor in order, and its end after
 * that.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "sim.h"

#include "base/check.h"

#include <signal.h>
#include <stdlib.h>

#define EXEC_MAX_US       SIM_MS (SIM_START_MS)
#define FORK_MAX_US       SIM_MS (20)
#define SPEAK_MAX_US      300 /* until the supervisor can read it */
#define WAIT_EXITED(code) ((code) << 8)

/*  An event of a process carries worker, row and the number of its life. */
static uint64_t
pack (uint32_t worker, uint32_t row, uint32_t life)
{
    return (uint64_t) life << 32 | worker << 8 | row;
}

/*  The process that an event is for; NULL when it has ended. */
static sim_process_t *
unpack (sim_t *sim, uint64_t packed, uint32_t *worker, uint32_t *row)
{
    *worker = (uint32_t) packed >> 8;
    *row = packed & 0xff;
    sim_process_t *self = &sim->worker[*worker].process[*row];
    return self->alive && self->life == packed >> 32 ? self : NULL;
}

/*  ---- words to the supervisor ---- */

static void
free_word (sim_word_t *word)
{
    LIST_REMOVE (word, of_all);
    sim_frame_free (&word->frame);
    free (word);
}

static void
hear (sim_t *sim, uint64_t worker, uint64_t word_)
{
    sim_word_t *word = (sim_word_t *) (uintptr_t) word_;

    if (!sim->node[SIM_NODE_WORKERS + worker].alive) {
        free_word (word);
        return;
    }
    TAILQ_INSERT_TAIL (&sim->worker[worker].words, word, of_queue);
    sim_turn_by (sim, (uint32_t) (SIM_NODE_WORKERS + worker), sim->now_us);
}

static sim_word_t *
speak (sim_t *sim, uint32_t worker, uint32_t row, sim_word_kind_t kind, sim_frame_t *frame)
{
    sim_process_t *self = &sim->worker[worker].process[row];
    sim_word_t    *word = calloc (1, sizeof *word);

    dn_check (word);
    LIST_INSERT_HEAD (&sim->words, word, of_all);
    word->kind = kind;
    word->row = row;
    word->frame = frame;
    int64_t at_us = sim->now_us + sim_between (sim, 1, SPEAK_MAX_US);
    if (at_us < self->last_us)
        at_us = self->last_us;
    self->last_us = at_us;
    sim_at (sim, at_us, hear, worker, (uint64_t) (uintptr_t) word);
    return word;
}

sim_word_t *
sim_word_take (sim_worker_t *worker)
{
    sim_word_t *word = TAILQ_FIRST (&worker->words);
    if (word)
        TAILQ_REMOVE (&worker->words, word, of_queue);
    return word;
}

void
sim_word_free (sim_word_t **self_p)
{
    free_word (*self_p);
    *self_p = NULL;
}

void
sim_words_clear (sim_t *sim)
{
    sim_word_t *word;
    while ((word = LIST_FIRST (&sim->words)))
        free_word (word);
}

/*  ---- the end of a process ---- */

static void
let_go (sim_t *sim, sim_process_t *self, bool bye)
{
    for (uint32_t i = 0; i < self->count; i++)
        sim_frame_free (&self->task[i].frame);
    sim_nest_end (sim, self, bye);
    self->count = 0;
    self->running = false;
    self->alive = false;
    self->ready = false;
}

static void
end_process (sim_t *sim, uint32_t worker, uint32_t row, int status)
{
    sim_process_t *self = &sim->worker[worker].process[row];

    if (self->running)
        sim_ledger_crash (sim, self->call, self->attempt);
    let_go (sim, self, self->stopping && status == WAIT_EXITED (0) && sim_dice (sim, 2));
    sim_word_t *word = speak (sim, worker, row, SIM_EXITS, NULL);
    word->exited = (dn_slot_exit_t){
        .status = self->by_zygote && sim_dice (sim, 10) == 0 ? -1 : status,
        .started = self->started,
    };
    if (row != SIM_ZYGOTE)
        return;
    for (uint32_t i = 0; i < SIM_ROWS; i++)
        if (sim->worker[worker].process[i].alive && sim->worker[worker].process[i].by_zygote)
            end_process (sim, worker, i, SIGKILL);
}

static void
die (sim_t *sim, uint64_t packed, uint64_t status)
{
    uint32_t worker, row;
    if (unpack (sim, packed, &worker, &row))
        end_process (sim, worker, row, (int) status);
}

void
sim_process_kill (sim_t *sim, uint32_t worker, uint32_t row)
{
    sim_process_t *self = &sim->worker[worker].process[row];

    if (self->alive)
        sim_at (sim, sim->now_us + sim_between (sim, 0, SIM_MS (3)), die,
                pack (worker, row, self->life), SIGKILL);
}

/*  Some do not listen, and are killed for it. */
void
sim_process_stop (sim_t *sim, uint32_t worker, uint32_t row)
{
    sim_process_t *self = &sim->worker[worker].process[row];

    if (!self->alive)
        return;
    self->stopping = true;
    if (self->running || self->count)
        sim_fail (sim, "slot: w%u asks slot %u to end, and it has tasks", worker, row);
    if (sim_dice (sim, 10))
        sim_at (sim, sim->now_us + sim_between (sim, 0, SIM_MS (50)), die,
                pack (worker, row, self->life), WAIT_EXITED (0));
}

void
sim_processes_end (sim_t *sim, uint32_t worker)
{
    for (uint32_t row = 0; row <= SIM_ROWS; row++) {
        sim_process_t *self = &sim->worker[worker].process[row];
        if (self->running)
            sim_ledger_crash (sim, self->call, self->attempt);
        let_go (sim, self, false);
    }
}

/*  ---- the beginning ---- */

static void
get_ready (sim_t *sim, uint64_t packed, uint64_t unused)
{
    static const char *const names[SIM_SERVICES] = {"alpha", "beta", "gamma"};
    uint32_t                 worker, row;
    uint8_t                  bytes[256];
    dn_rows_t                rows = {bytes, sizeof bytes, 0, 0};
    dn_msg_t                 msg = {.kind = DN_MSG_READY};
    sim_process_t           *self = unpack (sim, packed, &worker, &row);

    (void) unused;
    if (!self)
        return;
    for (int i = 0; i < SIM_SERVICES; i++) {
        dn_row_service_t service = {dn_str (names[i])};
        if (sim->worker[worker].services & 1 << i)
            dn_check (dn_rows_put (&rows, DN_ROW_SERVICE, &service) == 0);
    }
    msg.u.ready.pid = 1000 + row;
    msg.u.ready.threads = 1;
    msg.u.ready.services = dn_rows_list (&rows);
    self->ready = true;
    speak (sim, worker, row, SIM_SAYS, sim_frame_msg (sim, &msg, NULL));
}

void
sim_process_start (sim_t *sim, uint32_t worker, uint32_t row, dn_fx_kind_t how)
{
    sim_worker_t  *owner = &sim->worker[worker];
    sim_process_t *self = &owner->process[row];
    sim_process_t *zygote = &owner->process[SIM_ZYGOTE];
    bool           fork = how == DN_FX_FORK;

    if (self->alive)
        sim_fail (sim, "slot: w%u starts slot %u, which is there", worker, row);
    self->life++;
    self->by_zygote = fork;
    self->stopping = false;
    self->started = self->void_upto = 0;
    if (fork && !zygote->ready) {
        speak (sim, worker, row, SIM_FAILS, NULL);
        return;
    }
    self->alive = true;
    int64_t ready_us =
        fork ? sim_between (sim, 1000, FORK_MAX_US) : sim_between (sim, SIM_MS (30), EXEC_MAX_US);
    bool stillborn = sim_faulty (sim, SIM_FAULT_CRASH) && sim_dice (sim, 20) == 0;
    if (stillborn)
        sim_at (sim, sim->now_us + ready_us, die, pack (worker, row, self->life), WAIT_EXITED (1));
    else
        sim_at (sim, sim->now_us + ready_us, get_ready, pack (worker, row, self->life), 0);
}

/*  ---- tasks ---- */

static void start_next (sim_t *sim, uint32_t worker, uint32_t row);

static void
answer (sim_t *sim, uint32_t worker, uint32_t row, uint8_t outcome)
{
    sim_process_t *self = &sim->worker[worker].process[row];
    sim_call_t    *call = &sim->call[self->call];
    sim_payload_t  payload = {outcome == DENIM_VALUE ? SIM_VALUE : SIM_RAISED, self->call,
                             self->attempt, call->answer_bytes};
    dn_msg_t       msg = {.kind = DN_MSG_RESULT};

    msg.u.result.session = sim->client[call->client].id;
    msg.u.result.seq = call->seq;
    msg.u.result.attempt = self->attempt;
    msg.u.result.outcome = outcome;
    msg.u.result.codec = DENIM_CODEC_JSON;
    msg.u.result.flags = 1;
    msg.u.result.run_us = (uint32_t) call->run_us;
    msg.u.result.worker = dn_str (sim->worker[worker].config.name);
    if (outcome != DENIM_VALUE && outcome != DENIM_EXCEPTION)
        payload = (sim_payload_t){SIM_NOTHING, 0, 0, 0};
    sim_ledger_answer (sim, self->call, self->attempt);
    speak (sim, worker, row, SIM_SAYS, sim_frame_msg (sim, &msg, &payload));
}

static void
finish (sim_t *sim, uint64_t packed, uint64_t run)
{
    uint32_t       worker, row;
    sim_process_t *self = unpack (sim, packed, &worker, &row);

    if (!self || !self->running || self->run != run)
        return;
    const sim_call_t *call = &sim->call[self->call];
    bool              dies = call->kind == SIM_TASK_DIES && !self->forced;
    if (dies) {
        end_process (sim, worker, row, sim_dice (sim, 2) ? SIGSEGV : WAIT_EXITED (3));
        return;
    }
    uint8_t outcome = self->forced                    ? self->forced
                      : call->kind == SIM_TASK_RAISES ? DENIM_EXCEPTION
                                                      : DENIM_VALUE;
    answer (sim, worker, row, outcome);
    self->running = false;
    start_next (sim, worker, row);
}

/*  ---- tasks that call ---- */

/*  LEND or BACK, of the task that runs. */
static void
say (sim_t *sim, uint32_t worker, uint32_t row, dn_kind_t kind)
{
    const sim_process_t *self = &sim->worker[worker].process[row];
    const sim_call_t    *call = &sim->call[self->call];
    const dn_session_t  *client = &sim->client[call->client].id;
    dn_msg_t             msg = {.kind = kind};

    if (kind == DN_MSG_LEND)
        msg.u.lend = (dn_lend_t){*client, call->seq, self->attempt};
    else
        msg.u.back = (dn_back_t){*client, call->seq, self->attempt};
    speak (sim, worker, row, SIM_SAYS, sim_frame_msg (sim, &msg, NULL));
}

static void call_out (sim_t *sim, uint64_t packed, uint64_t run);

/*  The task runs on, until it calls or ends. */
static void
go_on (sim_t *sim, uint32_t worker, uint32_t row)
{
    sim_process_t *self = &sim->worker[worker].process[row];
    int64_t        run_us = self->rounds ? sim_between (sim, 0, self->left_us / 2) : self->left_us;

    self->left_us -= run_us;
    sim_at (sim, sim->now_us + run_us, self->rounds ? call_out : finish,
            pack (worker, row, self->life), self->run);
}

static void
call_out (sim_t *sim, uint64_t packed, uint64_t run)
{
    uint32_t       worker, row;
    sim_process_t *self = unpack (sim, packed, &worker, &row);

    if (!self || !self->running || self->run != run)
        return;
    self->rounds--;
    self->waits = sim_nest_call (sim, self, packed);
    if (self->waits)
        say (sim, worker, row, DN_MSG_LEND);
    else
        go_on (sim, worker, row);
}

void
sim_process_wake (sim_t *sim, uint64_t packed, uint64_t run)
{
    uint32_t       worker, row;
    sim_process_t *self = unpack (sim, packed, &worker, &row);

    if (!self || !self->running || self->run != run || --self->waits)
        return;
    say (sim, worker, row, DN_MSG_BACK);
    go_on (sim, worker, row);
}

static void
start (sim_t *sim, uint32_t worker, uint32_t row, sim_task_t *task)
{
    sim_process_t *self = &sim->worker[worker].process[row];
    dn_msg_t       run;

    dn_check (dn_msg_decode (&run, W2S, task->frame->header, task->frame->header_bytes) == 0 &&
              run.kind == DN_MSG_RUN);
    self->started = task->number;
    self->running = true;
    self->run++;
    self->forced = 0;
    self->waits = 0;
    self->call = task->frame->payload.call;
    self->attempt = run.u.run.attempt;
    sim_ledger_run (sim, worker, task->frame, self->attempt);
    sim_note (sim, SIM_NODE_WORKERS + worker, "slot runs", self->call, self->attempt, NULL, 0);
    self->rounds = sim_nest_rounds (sim, self);
    self->left_us = sim->call[self->call].run_us;
    go_on (sim, worker, row);
}

/*  Those that may not start any more are skipped. */
static void
start_next (sim_t *sim, uint32_t worker, uint32_t row)
{
    sim_process_t *self = &sim->worker[worker].process[row];

    while (!self->running && self->count) {
        sim_task_t task = self->task[0];
        memmove (&self->task[0], &self->task[1], --self->count * sizeof task);
        if (task.number > self->void_upto)
            start (sim, worker, row, &task);
        sim_frame_free (&task.frame);
    }
}

static void
look (sim_t *sim, uint64_t packed, uint64_t unused)
{
    uint32_t worker, row;
    (void) unused;
    if (unpack (sim, packed, &worker, &row))
        start_next (sim, worker, row);
}

void
sim_process_hand (sim_t *sim, uint32_t worker, uint32_t row, const sim_frame_t *frame,
                  uint32_t number)
{
    sim_process_t *self = &sim->worker[worker].process[row];
    uint32_t       last = self->count ? self->task[self->count - 1].number : self->started;

    if (self->stopping || row >= dn_fleet_rows (&sim->worker[worker].config))
        sim_fail (sim, "slot: w%u hands a task to slot %u, which is to end", worker, row);
    if (frame->payload.body != SIM_ARGUMENTS)
        sim_fail (sim, "kept: w%u hands over something else than a task", worker);
    if (!self->alive)
        return; /* its end is being told */
    if (number <= last || number <= self->void_upto)
        sim_fail (sim, "slot: w%u hands over task %u after %u", worker, number, last);
    if (self->count == SIM_CHANNEL)
        sim_fail (sim, "slot: w%u has more than %d tasks in a channel", worker, SIM_CHANNEL);
    self->task[self->count++] = (sim_task_t){sim_frame_dup (sim, frame), number};
    sim_at (sim, sim->now_us + sim_between (sim, 1, SPEAK_MAX_US), look,
            pack (worker, row, self->life), 0);
}

uint32_t
sim_process_take_back (sim_t *sim, uint32_t worker, uint32_t row, uint32_t number)
{
    sim_process_t *self = &sim->worker[worker].process[row];
    uint32_t       stay = 0;

    self->void_upto = number;
    for (uint32_t i = 0; i < self->count; i++) {
        if (self->task[i].number > number)
            self->task[stay++] = self->task[i];
        else
            sim_frame_free (&self->task[i].frame);
    }
    self->count = stay;
    return self->started;
}

static void
obey (sim_t *sim, uint64_t packed, uint64_t number_how)
{
    uint32_t       worker, row;
    sim_process_t *self = unpack (sim, packed, &worker, &row);

    if (!self || !self->running || self->started != number_how >> 8 || self->forced)
        return;
    if (sim->call[self->call].stubborn)
        return;
    self->forced = number_how & 0xff ? DENIM_CANCELLED : DENIM_TIME_LIMIT;
    if (self->waits) {
        sim_nest_leave (sim, self, packed);
        if (sim_dice (sim, 4))
            say (sim, worker, row, DN_MSG_BACK);
    }
    self->waits = 0;
    self->run++;
    sim_at (sim, sim->now_us + sim_between (sim, 0, SIM_MS (3)), finish, packed, self->run);
}

void
sim_process_interrupt (sim_t *sim, uint32_t worker, uint32_t row, uint32_t number, uint8_t how)
{
    sim_process_t *self = &sim->worker[worker].process[row];
    if (self->alive)
        sim_at (sim, sim->now_us + sim_between (sim, 0, 500), obey, pack (worker, row, self->life),
                (uint64_t) number << 8 | how);
}
