/*  worker_slots.c - what slots say, what they print, and how they end
 *
 *  An end is reported to the fleet once, after all that the process had said was heard. Our own
 *  children are waited for; how a child of the zygote ended is told by the zygote, about as soon as
 *  its pidfd tells that it did.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "io/worker_private.h"

#include "base/check.h"
#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOOK_MS     1000 /* between two looks at memory and orphans */
#define LOOK_MEM_MS 200  /* the same, when there is a limit on memory */
#define DEAF_MS     1000 /* from the end of a channel to the kill of a process that stays */
#define WHO_BYTES   16

/*  ---- output ---- */

typedef struct {
    char              who[WHO_BYTES];
    char              task[DN_OUTPUT_TASK_MAX];
    dn_output_label_t label;
} label_t;

static const dn_output_label_t *
make_label (const dn_worker_t *self, uint32_t row, label_t *room)
{
    const dn_hold_t *hold = dn_fleet_task_in (self->fleet, dn_worker_slot (self, row));

    snprintf (room->who, sizeof room->who, row == self->rows ? "zygote" : "%u", row);
    room->task[0] = 0;
    if (hold) {
        const uint8_t *id = hold->session.bytes;
        snprintf (room->task, sizeof room->task, "%02x%02x%02x%02x:%" PRIu64, id[0], id[1], id[2],
                  id[3], hold->seq);
    }
    room->label = (dn_output_label_t){room->who, room->task, self->settings->output_max};
    return &room->label;
}

void
dn_worker_drain_output (dn_worker_t *self, uint32_t row)
{
    dn_slot_process_t *process = &self->process[row];
    label_t            room;

    if (process->output.fd < 0)
        return;
    if (dn_output_drain (&process->output, make_label (self, row, &room)))
        return;
    dn_worker_unwatch (self, process->output.fd);
    dn_output_close (&process->output);
}

/*  ---- messages ---- */

static void
on_forked (dn_worker_t *self, const dn_msg_t *msg)
{
    const dn_forked_t *forked = &msg->u.forked;

    if (forked->slot >= self->rows)
        return;
    dn_slot_process_t *process = &self->process[forked->slot];
    if (!process->alive || !process->by_zygote || process->pid)
        return;
    if (forked->pid == 0) {
        dn_log (DN_LOG_ERROR, "no_process", DN_UINT ("slot", forked->slot),
                DN_STR ("text", strerror ((int) forked->error)));
        dn_slot_process_close (process);
        process->failed = true;
        self->failed++;
        return;
    }
    dn_slot_process_forked (process, (pid_t) forked->pid);
    if (process->pidfd >= 0)
        dn_worker_watch (self, process->pidfd, DN_WATCH_PID, forked->slot, EPOLLIN);
}

static void
note_status (dn_worker_t *self, pid_t pid, int status)
{
    for (uint32_t row = 0; row <= self->rows; row++) {
        dn_slot_process_t *process = &self->process[row];
        if (process->alive && process->pid == pid) {
            process->status = status;
            process->status_known = true;
            self->ending++;
            return;
        }
    }
}

static void
on_exited (dn_worker_t *self, const dn_msg_t *msg)
{
    note_status (self, (pid_t) msg->u.exited.pid, (int) msg->u.exited.status);
}

/*  The first process that has imported the app says in what. */
static void
on_ready (dn_worker_t *self, const dn_msg_t *msg)
{
    const dn_ready_t *ready = &msg->u.ready;

    if (!self->imported)
        dn_log (DN_LOG_INFO, "imported", DN_STRN ("python", ready->python.ptr, ready->python.len),
                DN_STRN ("executable", ready->executable.ptr, ready->executable.len),
                DN_STRN ("library", ready->library.ptr, ready->library.len),
                DN_UINT ("threads", ready->threads));
    self->imported = true;
}

/*  The traceback, in full: whoever starts the worker is looking. */
static void
on_failed (dn_worker_t *self)
{
    for (unsigned i = 0; i < self->in.count; i++)
        fwrite (zmq_msg_data (&self->in.payload[i]), 1, zmq_msg_size (&self->in.payload[i]),
                stderr);
    fflush (stderr);
}

static void
garbled (dn_worker_t *self, uint32_t row)
{
    dn_slot_process_t *process = &self->process[row];

    dn_worker_unwatch (self, dn_channel_fd (process->channel));
    process->deaf = true;
    dn_effects_t *fx = dn_worker_begin (self);
    dn_fleet_slot_garbled (self->fleet, self->now_ms, dn_worker_slot (self, row), fx);
    dn_worker_perform (self);
}

/*  A message of a slot is in hand. */
static void
feed (dn_worker_t *self, uint32_t row)
{
    dn_msg_t msg;
    bool     zygote = row == self->rows;

    if (dn_msg_decode (&msg, S2W, zmq_msg_data (&self->in.header),
                       zmq_msg_size (&self->in.header)) < 0) {
        garbled (self, row);
        return;
    }
    if (zygote && msg.kind == DN_MSG_FORKED)
        on_forked (self, &msg);
    else if (zygote && msg.kind == DN_MSG_EXITED)
        on_exited (self, &msg);
    else {
        if (msg.kind == DN_MSG_READY)
            on_ready (self, &msg);
        if (msg.kind == DN_MSG_FAILED)
            on_failed (self);
        dn_effects_t *fx = dn_worker_begin (self);
        dn_fleet_from_slot (self->fleet, self->now_ms, dn_worker_slot (self, row), &msg,
                            self->in.payload_bytes + dn_msg_small_bytes (&msg), fx);
        dn_worker_perform (self);
    }
}

/*  One batch: 1 when there is more, 0 or negative when there is not. What was printed is read
 *  before the answers, so that it is logged as the output of the task that printed it. */
static int
read_channel (dn_worker_t *self, uint32_t row)
{
    dn_slot_process_t *process = &self->process[row];
    int                next = 1;

    dn_worker_drain_output (self, row);
    int rc = dn_channel_read (process->channel);
    while (next > 0 && !process->deaf) {
        next = dn_channel_next (process->channel, &self->in);
        if (next > 0)
            feed (self, row);
        else if (next < 0)
            garbled (self, row);
    }
    if (process->output.used || process->output.dropped_bytes)
        dn_worker_drain_output (self, row); /* it was of a task that has ended now */
    return process->deaf ? -EPIPE : rc;
}

void
dn_worker_hear (dn_worker_t *self, uint32_t row, uint32_t events)
{
    dn_slot_process_t *process = &self->process[row];

    if (!process->channel || process->deaf)
        return;
    if (events & EPOLLOUT)
        dn_worker_flush_later (self, row);
    if (!(events & ~(uint32_t) EPOLLOUT) || read_channel (self, row) >= 0 || process->deaf)
        return;
    dn_worker_unwatch (self, dn_channel_fd (process->channel));
    process->deaf = true; /* it is about to end; if it is not, see dn_worker_look */
    process->deaf_ms = self->now_ms;
}

/*  ---- sending ---- */

void
dn_worker_flush_later (dn_worker_t *self, uint32_t row)
{
    if (self->process[row].flush_wanted)
        return;
    self->process[row].flush_wanted = true;
    self->flush[self->flush_count++] = row;
}

/*  What the socket does not take now goes when epoll says that it does. An error is the end of the
 *  other side, of which its pidfd tells. */
void
dn_worker_flush (dn_worker_t *self)
{
    for (uint32_t i = 0; i < self->flush_count; i++) {
        uint32_t           row = self->flush[i];
        dn_slot_process_t *process = &self->process[row];
        process->flush_wanted = false;
        if (!process->channel)
            continue;
        bool waits = dn_channel_flush (process->channel) == 1;
        if (waits != process->waits && !process->deaf)
            dn_worker_watch (self, dn_channel_fd (process->channel), DN_WATCH_CHANNEL, row,
                             waits ? EPOLLIN | EPOLLOUT : EPOLLIN);
        process->waits = waits;
    }
    self->flush_count = 0;
}

/*  ---- the end of a process ---- */

/*  Wait for whoever has ended: ours, and orphans of slots that became ours. */
static void
reap (dn_worker_t *self)
{
    int   status;
    pid_t pid;
    while ((pid = waitpid (-1, &status, WNOHANG)) > 0)
        note_status (self, pid, status);
}

uint64_t
dn_worker_count_oom (void)
{
    FILE              *file = fopen ("/proc/vmstat", "re");
    char               line[128];
    unsigned long long count = 0;

    while (file && fgets (line, sizeof line, file))
        if (sscanf (line, "oom_kill %llu", &count) == 1)
            break;
    if (file)
        fclose (file);
    return count;
}

/*  A SIGKILL that was not ours, while the system has killed for want of memory: that was it. */
static bool
was_oom (dn_worker_t *self, const dn_slot_process_t *process)
{
    if (!process->status_known || process->killed || !WIFSIGNALED (process->status) ||
        WTERMSIG (process->status) != SIGKILL)
        return false;
    uint64_t before = self->oom_kills;
    self->oom_kills = dn_worker_count_oom ();
    return self->oom_kills > before;
}

static void
log_end (dn_worker_t *self, uint32_t row)
{
    const dn_slot_process_t *process = &self->process[row];
    int                      status = process->status;
    label_t                  room;

    make_label (self, row, &room);
    if (!process->status_known)
        dn_log (DN_LOG_WARN, "slot_ended", DN_STR ("slot", room.who), DN_INT ("pid", process->pid));
    else if (WIFSIGNALED (status))
        dn_log (process->killed ? DN_LOG_INFO : DN_LOG_WARN, "slot_ended",
                DN_STR ("slot", room.who), DN_INT ("pid", process->pid),
                DN_INT ("signal", WTERMSIG (status)), DN_BOOL ("killed", process->killed));
    else
        dn_log (WEXITSTATUS (status) ? DN_LOG_WARN : DN_LOG_INFO, "slot_ended",
                DN_STR ("slot", room.who), DN_INT ("pid", process->pid),
                DN_INT ("exit_code", WEXITSTATUS (status)));
}

/*  Slots that the zygote was asked for, and had not made when it ended. */
static void
give_up_forks (dn_worker_t *self)
{
    for (uint32_t row = 0; row < self->rows; row++) {
        dn_slot_process_t *process = &self->process[row];
        if (!process->alive || !process->by_zygote || process->pid)
            continue;
        dn_slot_process_close (process);
        process->failed = true;
        self->failed++;
    }
}

/*  Hear it out, then let go of it before the fleet, which may start its successor at once, is
 *  told. */
static void
finish (dn_worker_t *self, uint32_t row)
{
    dn_slot_process_t *process = &self->process[row];
    label_t            room;

    while (process->channel && !process->deaf && read_channel (self, row) > 0)
        continue;
    dn_worker_drain_output (self, row);
    dn_output_finish (&process->output, make_label (self, row, &room));
    log_end (self, row);

    dn_slot_exit_t exited = {.status = process->status_known ? process->status : -1,
                             .started = process->page ? dn_page_started (process->page) : 0,
                             .oom = was_oom (self, process)};
    dn_slot_process_close (process);
    if (row == self->rows)
        give_up_forks (self);
    dn_effects_t *fx = dn_worker_begin (self);
    dn_fleet_exited (self->fleet, self->now_ms, dn_worker_slot (self, row), &exited, fx);
    dn_worker_perform (self);
}

void
dn_worker_see_end (dn_worker_t *self, uint32_t row)
{
    dn_slot_process_t *process = &self->process[row];

    reap (self);
    if (!process->alive || process->status_known || process->ended_ms != DN_NEVER)
        return; /* dn_worker_tell_ended is next */
    dn_worker_unwatch (self, process->pidfd);
    process->ended_ms = self->now_ms;
    self->ending++;
}

/*  When its end is told at the latest: at once, when it is known how it ended. */
static int64_t
over_ms (const dn_worker_t *self, const dn_slot_process_t *process)
{
    if (!process->alive)
        return DN_NEVER;
    if (process->status_known)
        return self->now_ms;
    return process->ended_ms == DN_NEVER ? DN_NEVER : process->ended_ms + DN_STATUS_WAIT_MS;
}

int64_t
dn_worker_tell_ms (const dn_worker_t *self)
{
    int64_t first_ms = DN_NEVER;

    for (uint32_t row = 0; self->ending && row <= self->rows; row++) {
        int64_t ms = over_ms (self, &self->process[row]);
        if (ms < first_ms)
            first_ms = ms;
    }
    return first_ms;
}

/*  The zygote first: what it has said of its children must be heard before it is forgotten. */
void
dn_worker_tell_ended (dn_worker_t *self)
{
    if (!self->ending)
        return;
    self->ending = 0;
    reap (self);
    for (uint32_t i = 0; i <= self->rows; i++) {
        uint32_t row = self->rows - i;
        if (over_ms (self, &self->process[row]) <= self->now_ms)
            finish (self, row);
    }
    for (uint32_t row = 0; row <= self->rows; row++) {
        const dn_slot_process_t *process = &self->process[row];
        self->ending += process->alive && (process->ended_ms != DN_NEVER || process->status_known);
    }
}

void
dn_worker_tell_failed (dn_worker_t *self)
{
    if (!self->failed)
        return;
    self->failed = 0;
    for (uint32_t row = 0; row <= self->rows; row++) {
        if (!self->process[row].failed)
            continue;
        self->process[row].failed = false;
        dn_effects_t *fx = dn_worker_begin (self);
        dn_fleet_start_failed (self->fleet, self->now_ms, dn_worker_slot (self, row), fx);
        dn_worker_perform (self);
    }
}

/*  ---- now and then ---- */

static void
tell_rss (dn_worker_t *self, uint32_t slot, pid_t pid)
{
    uint64_t      rss_bytes = dn_slot_process_rss (pid);
    dn_effects_t *fx = dn_worker_begin (self);
    dn_fleet_rss (self->fleet, self->now_ms, slot, rss_bytes, fx);
    dn_worker_perform (self);
}

void
dn_worker_look (dn_worker_t *self)
{
    if (self->now_ms < self->look_ms)
        return;
    self->look_ms = self->now_ms + (self->settings->rss_max ? LOOK_MEM_MS : LOOK_MS);
    reap (self);
    dn_worker_watch_health (self);
    tell_rss (self, self->rows, getpid ());
    for (uint32_t row = 0; row <= self->rows; row++) {
        dn_slot_process_t *process = &self->process[row];
        if (process->alive && process->deaf && self->now_ms >= process->deaf_ms + DEAF_MS)
            dn_slot_process_kill (process);
        if (process->alive && process->pid)
            tell_rss (self, dn_worker_slot (self, row), process->pid);
    }
}
