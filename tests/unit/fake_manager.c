/*  fake_manager.c - a manager for tests of the library
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "fake_manager.h"

#include "denim.h"

#include "base/check.h"
#include "io/link.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define CLIENTS_MAX 64
#define HELD_MAX    4096
#define PATIENCE_MS 10000
#define BATCH       64

typedef struct {
    dn_link_t    link;
    dn_session_t session;
} fake_client_t;

typedef struct {
    dn_link_t    link;
    dn_session_t session;
    uint64_t     seq;
    uint16_t     attempt;
} fake_task_t;

struct fake_manager {
    fake_config_t config;
    char          address[128];
    uint64_t      epoch;
    void         *context;
    void         *router;
    pthread_t     thread;
    int           wake_fd;
    atomic_bool   stop;
    atomic_bool   release;
    fake_client_t client[CLIENTS_MAX];
    unsigned      clients;
    fake_task_t   held[HELD_MAX];
    unsigned      helds;
    dn_frames_t   in;
    int64_t       beat_ms;
    uint64_t      mark;

    pthread_mutex_t mutex;
    pthread_cond_t  seen;
    uint64_t        count[DN_MSGS]; /* guarded */
    uint64_t        acked;          /* guarded */
};

static int64_t
now_ms (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/*  ---- answers ---- */

static void
say (fake_manager_t *self, dn_link_t to, const dn_msg_t *msg, zmq_msg_t *payload, unsigned count)
{
    dn_link_send_msg (self->router, to, msg, payload, count, true, NULL, 0);
}

static void
say_text (fake_manager_t *self, dn_link_t to, const dn_msg_t *msg, const char *text)
{
    zmq_msg_t payload;
    zmq_msg_init_size (&payload, strlen (text));
    memcpy (zmq_msg_data (&payload), text, strlen (text));
    say (self, to, msg, &payload, 1);
    zmq_msg_close (&payload);
}

static fake_client_t *
find_client (fake_manager_t *self, dn_link_t link)
{
    for (unsigned i = 0; i < self->clients; i++)
        if (self->client[i].link == link)
            return &self->client[i];
    return NULL;
}

static dn_msg_t
result_of (const dn_session_t *session, uint64_t seq, uint16_t attempt, denim_outcome_t outcome)
{
    dn_msg_t msg = {.kind = DN_MSG_RESULT};
    msg.u.result = (dn_result_t){.session = *session,
                                 .seq = seq,
                                 .attempt = attempt,
                                 .outcome = (uint8_t) outcome,
                                 .codec = DENIM_CODEC_JSON,
                                 .flags = 1,
                                 .exit_code = 255,
                                 .run_us = 7,
                                 .wait_us = 3,
                                 .worker = dn_str ("w1"),
                                 .host = dn_str ("h1"),
                                 .text = dn_str ("")};
    return msg;
}

static void
on_hello (fake_manager_t *self, const dn_msg_t *in)
{
    dn_msg_t  msg = {.kind = DN_MSG_WELCOME};
    dn_link_t from = self->in.from;

    if (self->config.deaf)
        return;
    if (self->config.other_version) {
        msg.kind = DN_MSG_FAULT;
        msg.u.fault = (dn_fault_t){DENIM_REASON_VERSION, 9, 4, dn_str ("another version")};
        say (self, from, &msg, NULL, 0);
        return;
    }
    fake_client_t *client = find_client (self, from);
    if (!client) {
        dn_check (self->clients < CLIENTS_MAX);
        client = &self->client[self->clients++];
    }
    *client = (fake_client_t){from, in->u.client_hello.session};
    msg.u.welcome.epoch = self->epoch;
    msg.u.welcome.term = 1;
    msg.u.welcome.heartbeat_ms = self->config.heartbeat_ms;
    msg.u.welcome.liveness = 3;
    msg.u.welcome.payload_max = self->config.payload_max;
    say (self, from, &msg, NULL, 0);
}

static void
reject (fake_manager_t *self, const dn_submit_t *submit, denim_reason_t reason)
{
    dn_msg_t msg = {.kind = DN_MSG_REJECT};
    msg.u.reject = (dn_reject_t){.seq = submit->seq,
                                 .attempt = submit->attempt,
                                 .try_no = submit->try_no,
                                 .reason = (uint8_t) reason,
                                 .retry_after_ms = 5,
                                 .text = dn_str ("")};
    say (self, self->in.from, &msg, NULL, 0);
}

static void
hold (fake_manager_t *self, const fake_client_t *client, const dn_submit_t *submit)
{
    dn_check (self->helds < HELD_MAX);
    self->held[self->helds++] =
        (fake_task_t){client->link, client->session, submit->seq, submit->attempt};
    dn_msg_t msg = {.kind = DN_MSG_KNOWN};
    msg.u.known =
        (dn_known_t){submit->seq, submit->attempt, submit->try_no, self->epoch, 1, dn_str ("w1")};
    say (self, client->link, &msg, NULL, 0);
}

static void
tell_nesting (fake_manager_t *self, const dn_submit_t *submit, const dn_msg_t *result)
{
    char text[64];
    snprintf (text, sizeof text, "[%d, \"%.*s\"]", submit->depth, (int) submit->parent.len,
              submit->parent.ptr);
    say_text (self, self->in.from, result, text);
}

static void
on_submit (fake_manager_t *self, const dn_msg_t *in)
{
    const dn_submit_t   *submit = &in->u.submit;
    const fake_client_t *client = find_client (self, self->in.from);
    dn_link_t            from = self->in.from;

    if (!client) {
        dn_msg_t who = {.kind = DN_MSG_WHO};
        say (self, from, &who, NULL, 0);
        return;
    }
    char task[32] = "";
    dn_str_copy (task, sizeof task, submit->task);
    dn_msg_t echo = result_of (&client->session, submit->seq, submit->attempt, DENIM_VALUE);
    if (!strcmp (task, "m:echo") || (!strcmp (task, "m:once") && submit->try_no > 1)) {
        echo.u.result.codec = submit->codec;
        echo.u.result.small = submit->small;
        say (self, from, &echo, self->in.payload, self->in.count);
    } else if (!strcmp (task, "m:twice")) {
        echo.u.result.small = submit->small;
        say (self, from, &echo, self->in.payload, self->in.count);
        say (self, from, &echo, self->in.payload, self->in.count);
    } else if (!strcmp (task, "m:nested")) {
        tell_nesting (self, submit, &echo);
    } else if (!strcmp (task, "m:raise")) {
        echo.u.result.outcome = DENIM_EXCEPTION;
        say_text (self, from, &echo,
                  "{\"type\":\"ValueError\",\"message\":\"no\",\"traceback\":"
                  "\"Traceback (most recent call last):\\nValueError: no\\n\"}");
    } else if (!strcmp (task, "m:crash")) {
        echo.u.result.outcome = DENIM_LOST;
        echo.u.result.reason = DENIM_REASON_CRASH;
        echo.u.result.signal = 11;
        echo.u.result.text = dn_str ("its slot was ended by SIGSEGV");
        say (self, from, &echo, NULL, 0);
    } else if (!strcmp (task, "m:hold") || !strcmp (task, "m:say")) {
        hold (self, client, submit);
        if (!strcmp (task, "m:say")) {
            dn_msg_t msg = {.kind = DN_MSG_PROGRESS};
            msg.u.progress = (dn_progress_t){client->session, submit->seq, submit->attempt, 1, 2,
                                             dn_str ("half")};
            say (self, from, &msg, NULL, 0);
        }
    } else if (!strcmp (task, "m:busy") || !strcmp (task, "m:once")) {
        reject (self, submit, DENIM_REASON_BUSY);
    } else if (!strcmp (task, "m:nowhere")) {
        reject (self, submit, DENIM_REASON_NO_SERVICE);
    } else if (!strcmp (task, "m:forbidden")) {
        reject (self, submit, DENIM_REASON_NOT_ALLOWED);
    }
}

/*  End held tasks: the one of that client with that number, or all of all. */
static void
end_held (fake_manager_t *self, dn_link_t link, uint64_t seq, denim_outcome_t outcome)
{
    for (unsigned i = 0; i < self->helds;) {
        fake_task_t task = self->held[i];
        if (link && (task.link != link || task.seq != seq)) {
            i++;
            continue;
        }
        self->held[i] = self->held[--self->helds];
        dn_msg_t msg = result_of (&task.session, task.seq, task.attempt, outcome);
        if (outcome == DENIM_VALUE)
            say_text (self, task.link, &msg, "null");
        else
            say (self, task.link, &msg, NULL, 0);
    }
}

static void
on_ask (fake_manager_t *self, const dn_msg_t *in)
{
    dn_msg_t msg = {.kind = DN_MSG_ANSWER};
    msg.u.answer.question = in->u.ask.question;
    if (dn_str_eq (in->u.ask.verb, dn_str ("status"))) {
        say_text (self, self->in.from, &msg, "{\"version\":\"fake\"}");
    } else if (!dn_str_eq (in->u.ask.verb, dn_str ("mute"))) {
        msg.u.answer.reason = DENIM_REASON_NOT_ALLOWED;
        say_text (self, self->in.from, &msg, "");
    }
}

/*  ---- the loop ---- */

static void
note (fake_manager_t *self, const dn_msg_t *msg)
{
    if (self->config.loud) {
        char line[300];
        dn_msg_print (msg, line, sizeof line);
        fprintf (stderr, "fake <- %s\n", line);
    }
    pthread_mutex_lock (&self->mutex);
    self->count[msg->kind]++;
    if (msg->kind == DN_MSG_ACK)
        self->acked += msg->u.ack.acks.count;
    pthread_cond_broadcast (&self->seen);
    pthread_mutex_unlock (&self->mutex);
}

static void
on_message (fake_manager_t *self)
{
    dn_msg_t msg;
    if (self->in.fault || dn_msg_decode (&msg, C2M, zmq_msg_data (&self->in.header),
                                         zmq_msg_size (&self->in.header)) < 0) {
        fprintf (stderr, "fake manager: a message that does not decode\n");
        abort ();
    }
    if (msg.kind == DN_MSG_CLIENT_HELLO)
        on_hello (self, &msg);
    else if (msg.kind == DN_MSG_SUBMIT)
        on_submit (self, &msg);
    else if (msg.kind == DN_MSG_CLIENT_CANCEL)
        end_held (self, self->in.from, msg.u.client_cancel.seq, DENIM_CANCELLED);
    else if (msg.kind == DN_MSG_ASK)
        on_ask (self, &msg);
    note (self, &msg);
}

static void
beat (fake_manager_t *self)
{
    dn_msg_t msg = {.kind = DN_MSG_BEAT};
    if (now_ms () < self->beat_ms)
        return;
    self->beat_ms = now_ms () + self->config.heartbeat_ms;
    msg.u.beat.epoch = self->epoch;
    msg.u.beat.mark = ++self->mark;
    for (unsigned i = 0; i < self->clients; i++)
        say (self, self->client[i].link, &msg, NULL, 0);
}

static void *
fake_main (void *arg)
{
    fake_manager_t *self = arg;
    while (!atomic_load (&self->stop)) {
        zmq_pollitem_t items[] = {{self->router, 0, ZMQ_POLLIN, 0},
                                  {NULL, self->wake_fd, ZMQ_POLLIN, 0}};
        int64_t        wait_ms = self->beat_ms - now_ms ();
        zmq_poll (items, 2, wait_ms > 0 ? (long) wait_ms : 0);
        for (int i = 0; i < BATCH && dn_link_recv_from (self->router, &self->in) > 0; i++)
            on_message (self);
        if (items[1].revents) {
            uint64_t woken;
            dn_check (read (self->wake_fd, &woken, sizeof woken) == sizeof woken);
        }
        if (atomic_exchange (&self->release, false))
            end_held (self, 0, 0, DENIM_VALUE);
        beat (self);
    }
    return NULL;
}

static void
wake (fake_manager_t *self)
{
    uint64_t one = 1;
    dn_check (write (self->wake_fd, &one, sizeof one) == sizeof one);
}

/*  ---- life ---- */

fake_manager_t *
fake_new (const fake_config_t *config)
{
    static atomic_uint made;
    dn_link_config_t   link = {.send_max = 10000, .receive_max = 1000};
    fake_manager_t    *self = calloc (1, sizeof *self);
    dn_check (self);
    self->config = *config;
    self->epoch = 1000 + atomic_fetch_add (&made, 1);
    if (!self->config.heartbeat_ms)
        self->config.heartbeat_ms = 1000;
    if (!self->config.payload_max)
        self->config.payload_max = 64 << 20;
    if (config->address)
        snprintf (self->address, sizeof self->address, "%s", config->address);
    else
        snprintf (self->address, sizeof self->address, "ipc://@denim-fake-%d-%u", (int) getpid (),
                  (unsigned) self->epoch);
    self->wake_fd = eventfd (0, EFD_CLOEXEC);
    self->context = dn_link_context (1);
    self->router = dn_link_router (self->context, self->address, &link);
    dn_check (self->wake_fd >= 0 && self->context && self->router);
    self->beat_ms = now_ms () + self->config.heartbeat_ms;
    pthread_mutex_init (&self->mutex, NULL);
    pthread_cond_init (&self->seen, NULL);
    dn_check (pthread_create (&self->thread, NULL, fake_main, self) == 0);
    return self;
}

void
fake_destroy (fake_manager_t **self_p)
{
    fake_manager_t *self = *self_p;
    if (!self)
        return;
    *self_p = NULL;
    atomic_store (&self->stop, true);
    wake (self);
    pthread_join (self->thread, NULL);
    dn_frames_clear (&self->in);
    zmq_close (self->router);
    zmq_ctx_term (self->context);
    pthread_cond_destroy (&self->seen);
    pthread_mutex_destroy (&self->mutex);
    close (self->wake_fd);
    free (self);
}

const char *
fake_address (const fake_manager_t *self)
{
    return self->address;
}

void
fake_release (fake_manager_t *self)
{
    atomic_store (&self->release, true);
    wake (self);
}

uint64_t
fake_count (fake_manager_t *self, unsigned kind)
{
    pthread_mutex_lock (&self->mutex);
    uint64_t count = self->count[kind];
    pthread_mutex_unlock (&self->mutex);
    return count;
}

uint64_t
fake_acked (fake_manager_t *self)
{
    pthread_mutex_lock (&self->mutex);
    uint64_t acked = self->acked;
    pthread_mutex_unlock (&self->mutex);
    return acked;
}

void
fake_await (fake_manager_t *self, unsigned kind, uint64_t count)
{
    struct timespec until;
    clock_gettime (CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_MS / 1000;
    pthread_mutex_lock (&self->mutex);
    while (self->count[kind] < count)
        if (pthread_cond_timedwait (&self->seen, &self->mutex, &until)) {
            fprintf (stderr, "fake manager: waited in vain for %s\n", dn_kind_name (kind));
            abort ();
        }
    pthread_mutex_unlock (&self->mutex);
}
