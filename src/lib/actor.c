/*  actor.c - the thread that owns a connection's socket and session
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "lib/actor.h"

#include "base/check.h"
#include "io/process.h"
#include "lib/inquiry.h"
#include "lib/uplink.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MESSAGES_TURN 256         /* read before anything else is looked at */
#define ENCODE_ROOM   (64 * 1024) /* bytes: an OPEN of 1,000 calls has 36,000 */
#define REOPEN_MS     200         /* after the system refused a socket */
#define TRY_IPV6_MS   3000        /* without a connection: a name may have IPv6 addresses only */
#define LINGER_MS     200         /* for the BYE */

struct dn_actor {
    dn_connection_t   *connection;
    dn_session_core_t *session;
    dn_effects_t      *fx;
    dn_uplink_t        uplink;
    dn_frames_t        in;        /* the message in hand */
    bool               has_value; /* and its payload is the outcome of a call */
    denim_reply_t    **out;       /* by the row of a session's handle */
    denim_reply_t     *ended;     /* in this turn, in order */
    denim_reply_t    **ended_end;
    dn_command_t      *ran;   /* commands of this turn */
    dn_inquiry_t      *asked; /* that are with the session */
    char               endpoint[DN_ENDPOINT_MAX];
    bool               ipv6;
    bool               deaf;      /* the socket takes nothing: wait until it does */
    bool               busy;      /* there is more to read: do not wait */
    bool               leaving;   /* the last handle has gone */
    int64_t            opened_ms; /* when the socket was opened, while it has not connected */
    int64_t            reopen_ms; /* when to try again; DN_NEVER */
    int64_t            now_ms;
    uint8_t           *room; /* ENCODE_ROOM bytes */
};

/*  ---- the session's effects ---- */

static denim_reply_t *
reply_of (const dn_actor_t *self, dn_handle_t handle)
{
    return self->out[(uint32_t) handle];
}

static void
open_uplink (dn_actor_t *self)
{
    self->deaf = true;
    self->opened_ms = self->now_ms;
    bool opened = dn_uplink_open (&self->uplink, self->endpoint, self->ipv6) == 0;
    self->reopen_ms = opened ? DN_NEVER : self->now_ms + REOPEN_MS;
}

/*  The payload of a call goes into its SUBMIT if it is small. Returns the frames that are left. */
static unsigned
add_payload (dn_submit_t *submit, denim_reply_t *reply)
{
    size_t frame_bytes = reply->frames == 1 ? zmq_msg_size (&reply->frame[0]) : 0;
    if (frame_bytes == 0 || frame_bytes > DN_SMALL_MAX)
        return reply->frames;
    submit->small = (dn_str_t){zmq_msg_data (&reply->frame[0]), (uint16_t) frame_bytes};
    return 0;
}

static void
send_effect (dn_actor_t *self, dn_effect_t *row)
{
    int rc = -EAGAIN;
    if (!self->deaf && self->uplink.dealer) {
        denim_reply_t *reply = row->kind == DN_FX_SEND_KEPT ? reply_of (self, row->handle) : NULL;
        unsigned       frames = reply ? add_payload (&row->msg.u.submit, reply) : 0;
        rc = dn_link_send_msg (self->uplink.dealer, 0, &row->msg, reply ? reply->frame : NULL,
                               frames, true, self->room, ENCODE_ROOM);
    }
    if (rc == 0)
        return;
    self->deaf = true;
    dn_session_refused (self->session, self->now_ms, row, self->fx);
}

/*  A small payload comes in the header: a message of its own is made of it. */
static int
unpack_small (dn_frames_t *in, dn_str_t small)
{
    if (zmq_msg_init_size (&in->payload[0], small.len) < 0)
        return -1;
    memcpy (zmq_msg_data (&in->payload[0]), small.ptr, small.len);
    in->count = 1;
    return 0;
}

/*  The payload in hand becomes the reply's. */
static void
take_value (dn_actor_t *self, denim_reply_t *reply, dn_str_t small)
{
    if ((self->in.count == 0 && unpack_small (&self->in, small) < 0) ||
        dn_reply_frames_new (reply, self->in.count) < 0) {
        reply->outcome = DENIM_CODEC;
        reply->text = strdup ("out of memory for the answer");
        return;
    }
    for (unsigned i = 0; i < self->in.count; i++)
        zmq_msg_move (&reply->frame[i], &self->in.payload[i]);
}

static void
complete (dn_actor_t *self, const dn_effect_t *row)
{
    denim_reply_t     *reply = reply_of (self, row->handle);
    const dn_result_t *result = &row->msg.u.result;

    self->out[(uint32_t) row->handle] = NULL;
    reply->outcome = result->outcome;
    reply->reason = result->reason;
    reply->signal = result->signal;
    reply->started = result->flags & 1;
    reply->oom = result->flags & 2;
    reply->exit_code = result->exit_code == 255 ? -1 : result->exit_code;
    reply->attempts = result->seq == 0 ? 0 : result->attempt;
    reply->run_us = result->run_us;
    reply->wait_us = result->wait_us;
    dn_str_copy (reply->worker, sizeof reply->worker, result->worker);
    dn_str_copy (reply->host, sizeof reply->host, result->host);
    reply->text = result->text.len ? strndup (result->text.ptr, result->text.len) : NULL;
    dn_reply_frames_clear (reply);
    if (self->has_value) {
        reply->codec = result->codec;
        take_value (self, reply, result->small);
    }
    reply->next = NULL;
    *self->ended_end = reply;
    self->ended_end = &reply->next;
}

static void
place (dn_actor_t *self, const dn_effect_t *row)
{
    pthread_mutex_lock (&self->connection->mutex);
    reply_of (self, row->handle)->placed = row->number != 0;
    pthread_mutex_unlock (&self->connection->mutex);
}

static void
note_progress (dn_actor_t *self, const dn_effect_t *row)
{
    denim_reply_t       *reply = reply_of (self, row->handle);
    const dn_progress_t *progress = &row->msg.u.progress;

    pthread_mutex_lock (&self->connection->mutex);
    reply->placed = true;
    if (!reply->progress)
        reply->progress = malloc (sizeof *reply->progress);
    if (reply->progress) {
        reply->progress->done = progress->done;
        reply->progress->total = progress->total;
        dn_str_copy (reply->progress->text, sizeof reply->progress->text, progress->text);
    }
    pthread_mutex_unlock (&self->connection->mutex);
}

/*  The bytes in hand are the answer, if the effect comes with a message. */
static void
answer (dn_actor_t *self, const dn_effect_t *row)
{
    bool came = row->msg.kind == DN_MSG_ANSWER && self->in.payload_bytes > 0;
    int  error = dn_session_facts (self->session).link == DN_SESSION_UP ? DENIM_ERR_TIMEOUT
                                                                        : DENIM_ERR_UNAVAILABLE;
    if (row->msg.kind == DN_MSG_ANSWER)
        error = DENIM_ERR_ARGUMENT; /* the manager knows no answer to that */
    dn_inquiry_answer (self->connection, &self->asked, row->number,
                       came ? zmq_msg_data (&self->in.payload[0]) : NULL,
                       came ? zmq_msg_size (&self->in.payload[0]) : 0, error);
}

static void
perform (dn_actor_t *self)
{
    for (uint32_t i = 0; i < self->fx->count; i++) {
        dn_effect_t *row = &self->fx->row[i];
        if (row->kind == DN_FX_SEND_KEPT || row->kind == DN_FX_SEND)
            send_effect (self, row);
        else if (row->kind == DN_FX_COMPLETE)
            complete (self, row);
        else if (row->kind == DN_FX_PLACED)
            place (self, row);
        else if (row->kind == DN_FX_PROGRESS)
            note_progress (self, row);
        else if (row->kind == DN_FX_ANSWER)
            answer (self, row);
        else if (row->kind == DN_FX_FRESH)
            open_uplink (self);
        else
            dn_check (row->kind == DN_FX_LOG); /* a library does not log */
    }
    dn_effects_clear (self->fx);
}

/*  ---- a turn: what comes from the manager ---- */

/*  A message that does not decode is dropped: if it mattered, the next OPEN makes it good. */
static void
on_message (dn_actor_t *self)
{
    dn_msg_t msg;
    if (self->in.fault || !self->in.whole ||
        dn_msg_decode (&msg, M2C, zmq_msg_data (&self->in.header),
                       zmq_msg_size (&self->in.header)) < 0)
        return;
    self->has_value =
        msg.kind == DN_MSG_RESULT && (self->in.count > 0 || msg.u.result.small.len > 0);
    dn_session_input (self->session, self->now_ms, &msg,
                      self->in.payload_bytes + dn_msg_small_bytes (&msg), self->fx);
    perform (self);
    self->has_value = false;
}

static void
read_messages (dn_actor_t *self)
{
    unsigned read = 0;
    while (read < MESSAGES_TURN && self->uplink.dealer &&
           dn_link_recv (self->uplink.dealer, &self->in) > 0) {
        on_message (self);
        read++;
    }
    self->busy = read == MESSAGES_TURN;
}

/*  ---- a turn: what comes from the program ---- */

static void
submit (dn_actor_t *self, denim_reply_t *reply)
{
    uint64_t payload_bytes = 0;
    for (unsigned i = 0; i < reply->frames; i++)
        payload_bytes += zmq_msg_size (&reply->frame[i]);
    dn_request_t request = {.service = dn_str (reply->service),
                            .task = dn_str (reply->task),
                            .parent = {reply->parent, reply->parent_bytes},
                            .codec = reply->codec,
                            .priority = reply->priority,
                            .depth = reply->depth,
                            .idempotent = reply->idempotent,
                            .deadline_ms = reply->deadline_ms,
                            .soft_limit_ms = reply->soft_limit_ms,
                            .hard_limit_ms = reply->hard_limit_ms,
                            .payload_bytes = payload_bytes};
    int rc = dn_session_submit (self->session, self->now_ms, &request, &reply->handle, self->fx);
    dn_check (rc == 0); /* as many as the window are let in */
    self->out[(uint32_t) reply->handle] = reply;
    if (self->fx->count)
        perform (self);
}

/*  The call of a command, if the session has it; it may have ended in this very turn. */
static denim_reply_t *
find_out (dn_actor_t *self, const dn_command_t *command)
{
    pthread_mutex_lock (&self->connection->mutex);
    denim_reply_t *reply = dn_connection_find (self->connection, command->id);
    bool           out = reply && reply->state == DN_REPLY_OUT;
    pthread_mutex_unlock (&self->connection->mutex);
    return out && reply_of (self, reply->handle) == reply ? reply : NULL;
}

void
dn_actor_cancel (dn_actor_t *self, dn_command_t *command)
{
    denim_reply_t *reply = find_out (self, command);
    if (!reply)
        return;
    command->rc = dn_session_cancel (self->session, reply->handle, command->kill, self->fx);
    perform (self);
}

void
dn_actor_forget (dn_actor_t *self, dn_command_t *command)
{
    denim_reply_t *reply = find_out (self, command);
    if (reply)
        dn_session_abandon (self->session, reply->handle, self->fx);
    perform (self);
}

void
dn_actor_abandon (dn_actor_t *self, dn_command_t *command)
{
    denim_reply_t *all = NULL, *reply;
    pthread_mutex_lock (&self->connection->mutex);
    TAILQ_FOREACH_REVERSE (reply, &command->client->calls, dn_reply_list, of_client)
    {
        if (reply->state != DN_REPLY_OUT || reply_of (self, reply->handle) != reply)
            continue;
        reply->next = all; /* OUT, so it is on no other list */
        all = reply;
    }
    pthread_mutex_unlock (&self->connection->mutex);
    for (denim_reply_t *next; all; all = next) {
        next = all->next;
        dn_session_abandon (self->session, all->handle, self->fx);
        perform (self);
    }
}

/*  Take what was left for the actor. Replies that were queued are OUT from here on. */
static void
take_requests (dn_actor_t *self)
{
    dn_connection_t *connection = self->connection;
    pthread_mutex_lock (&connection->mutex);
    connection->asleep = false;
    denim_reply_t *queued = connection->queued;
    dn_command_t  *commands = connection->commands;
    dn_inquiry_t  *asks = connection->inquiries;
    connection->queued = NULL;
    connection->queued_end = &connection->queued;
    connection->commands = NULL;
    connection->inquiries = NULL;
    for (denim_reply_t *reply = queued; reply; reply = reply->next)
        reply->state = DN_REPLY_OUT;
    pthread_mutex_unlock (&connection->mutex);

    for (denim_reply_t *next; queued; queued = next) {
        next = queued->next;
        submit (self, queued);
    }
    for (dn_inquiry_t *next; asks; asks = next) {
        next = asks->next;
        dn_inquiry_submit (asks, &self->asked, self->session, self->fx);
        perform (self);
    }
    self->ran = commands;
    for (; commands; commands = commands->next)
        commands->run (self, commands);
}

/*  ---- a turn: its end ---- */

/*  Hand over what has ended, and go to sleep if nothing has come meanwhile. Returns the replies
 *  that nobody wants; *sleeps: whether the actor may wait. */
static denim_reply_t *
publish (dn_actor_t *self, bool *sleeps)
{
    dn_connection_t *connection = self->connection;
    denim_reply_t   *unwanted = NULL;

    pthread_mutex_lock (&connection->mutex);
    for (denim_reply_t *reply = self->ended, *next; reply; reply = next) {
        next = reply->next;
        denim_reply_t *left = dn_connection_deliver (connection, reply);
        if (left) {
            left->next = unwanted;
            unwanted = left;
        }
    }
    if (connection->window_waiters && self->ended)
        pthread_cond_broadcast (&connection->window_open);
    if (self->ran)
        pthread_cond_broadcast (&connection->done);
    for (dn_command_t *command = self->ran, *next; command; command = next) {
        next = command->next; /* it lies on the stack of a thread that may go on now */
        command->done = true;
    }
    connection->facts = dn_session_facts (self->session);
    self->leaving = connection->leaving;
    *sleeps = !connection->queued && !connection->commands && !connection->inquiries && !self->busy;
    connection->asleep = *sleeps;
    pthread_mutex_unlock (&connection->mutex);

    self->ended = NULL;
    self->ended_end = &self->ended;
    self->ran = NULL;
    return unwanted;
}

static void
put_back (dn_actor_t *self, denim_reply_t *unwanted)
{
    for (denim_reply_t *reply = unwanted; reply; reply = reply->next)
        dn_reply_clear (reply);
    pthread_mutex_lock (&self->connection->mutex);
    for (denim_reply_t *next; unwanted; unwanted = next) {
        next = unwanted->next;
        dn_connection_put (self->connection, unwanted);
    }
    pthread_mutex_unlock (&self->connection->mutex);
}

/*  Does the manager's name have to be looked up? Then it may turn out to have IPv6 addresses
 *  only. */
static bool
has_name (const dn_address_t *address)
{
    return address->transport == DN_TRANSPORT_TCP && !address->ipv6 &&
           address->host[strspn (address->host, "0123456789.")] != '\0';
}

static int64_t
retry_uplink_ms (const dn_actor_t *self)
{
    bool    connecting = self->opened_ms && has_name (&self->connection->address);
    int64_t other_ms = connecting ? self->opened_ms + TRY_IPV6_MS : DN_NEVER;
    return other_ms < self->reopen_ms ? other_ms : self->reopen_ms;
}

/*  The system refused a socket, or the other family of addresses is to be tried. */
static void
retry_uplink (dn_actor_t *self)
{
    if (retry_uplink_ms (self) > self->now_ms)
        return;
    if (self->reopen_ms == DN_NEVER)
        self->ipv6 = !self->ipv6;
    open_uplink (self);
}

static long
wait_ms (const dn_actor_t *self)
{
    int64_t due_ms = dn_session_deadline_ms (self->session);
    int64_t retry_ms = retry_uplink_ms (self);
    if (retry_ms < due_ms)
        due_ms = retry_ms;
    if (due_ms == DN_NEVER)
        return -1;
    int64_t ms = due_ms - self->now_ms;
    return ms < 0 ? 0 : ms < INT_MAX ? (long) ms : INT_MAX;
}

static void
drain_wake_fd (const dn_actor_t *self)
{
    uint64_t woken;
    while (read (self->connection->wake_fd, &woken, sizeof woken) < 0 && errno == EINTR)
        ;
}

/*  Wait for the manager, the program or the time. The socket is waited for to take messages only
 *  while it does not. */
static void
await (dn_actor_t *self, bool sleeps)
{
    zmq_pollitem_t items[3] = {
        {NULL, self->connection->wake_fd, ZMQ_POLLIN, 0},
        {self->uplink.dealer, -1, (short) (ZMQ_POLLIN | (self->deaf ? ZMQ_POLLOUT : 0)), 0},
        {NULL, self->uplink.monitor_fd, ZMQ_POLLIN, 0},
    };
    int  count = !self->uplink.dealer ? 1 : !self->uplink.monitor ? 2 : 3;
    long timeout_ms = sleeps ? wait_ms (self) : 0;
    int  rc = timeout_ms || self->deaf ? zmq_poll (items, count, timeout_ms) : 0;
    self->now_ms = dn_now_ms ();
    if (rc <= 0)
        return;
    if (items[0].revents)
        drain_wake_fd (self);
    if (self->deaf && count > 1 && items[1].revents & ZMQ_POLLOUT) {
        self->deaf = false;
        self->opened_ms = 0;
        dn_session_opened (self->session, self->now_ms, self->fx);
        perform (self);
    }
    if (count > 2 && items[2].revents && dn_uplink_broken (&self->uplink))
        dn_session_broken (self->session);
}

/*  ---- life ---- */

static void
tick (dn_actor_t *self)
{
    dn_session_tick (self->session, self->now_ms, self->fx);
    perform (self);
}

/*  The last handle has gone: say so, and wait for nobody. */
static void
say_goodbye (dn_actor_t *self)
{
    bool up = dn_session_facts (self->session).link == DN_SESSION_UP;
    bool sleeps;

    take_requests (self); /* what came since the last turn is answered too */
    dn_session_close (self->session, self->fx);
    perform (self);
    do {
        tick (self);
        put_back (self, publish (self, &sleeps));
    } while (dn_session_facts (self->session).in_flight);
    dn_uplink_close (&self->uplink, up ? LINGER_MS : 0);
}

static void
actor_destroy (dn_actor_t *self)
{
    dn_frames_clear (&self->in);
    dn_uplink_term (&self->uplink);
    dn_session_destroy (&self->session);
    dn_effects_destroy (&self->fx);
    free (self->out);
    free (self->room);
    free (self);
}

static void *
actor_main (void *arg)
{
    dn_actor_t      *self = arg;
    dn_connection_t *connection = self->connection;
    bool             sleeps, leaving = false;

    while (!leaving) {
        read_messages (self);
        take_requests (self);
        tick (self);
        retry_uplink (self);
        put_back (self, publish (self, &sleeps));
        leaving = self->leaving;
        if (!leaving)
            await (self, sleeps);
    }
    say_goodbye (self);
    actor_destroy (self);
    pthread_mutex_lock (&connection->mutex);
    connection->left = true;
    pthread_cond_broadcast (&connection->done);
    pthread_mutex_unlock (&connection->mutex);
    dn_connection_release (connection);
    return NULL;
}

static dn_session_core_t *
session_new (const dn_connection_t *connection, int64_t now_ms)
{
    dn_session_config_t config = {.name = connection->name,
                                  .address = connection->address_text,
                                  .window = connection->window,
                                  .connect_timeout_ms = connection->connect_timeout_ms,
                                  .unknown_grace_ms = DN_UNKNOWN_GRACE_MS};
    dn_process_random (&config.id, sizeof config.id);
    dn_process_random (&config.seed, sizeof config.seed);
    return dn_session_new (&config, now_ms);
}

static dn_actor_t *
actor_new (dn_connection_t *connection)
{
    dn_actor_t *self = calloc (1, sizeof *self);
    if (!self)
        return NULL;
    self->connection = connection;
    self->ended_end = &self->ended;
    self->now_ms = dn_now_ms ();
    self->reopen_ms = DN_NEVER;
    self->deaf = true;
    self->ipv6 = connection->address.ipv6;
    dn_address_endpoint (&connection->address, DN_DOOR_CLIENTS, self->endpoint);
    self->session = session_new (connection, self->now_ms);
    self->fx = dn_effects_new ();
    self->out = calloc (connection->window, sizeof *self->out);
    self->room = malloc (ENCODE_ROOM);
    if (dn_uplink_init (&self->uplink) == 0 && self->session && self->fx && self->out && self->room)
        return self;
    actor_destroy (self);
    return NULL;
}

int
dn_actor_start (dn_connection_t *connection)
{
    dn_actor_t *self = actor_new (connection);
    if (!self)
        return -1;

    sigset_t all, before;
    sigfillset (&all);
    pthread_sigmask (SIG_SETMASK, &all, &before);
    int rc = pthread_create (&connection->thread, NULL, actor_main, self);
    pthread_sigmask (SIG_SETMASK, &before, NULL);
    if (rc) {
        actor_destroy (self);
        return -1;
    }
    pthread_setname_np (connection->thread, "denim");
    return 0;
}
