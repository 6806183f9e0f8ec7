/*  client.c - the handle on a connection: its life, its answers, its wishes
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "lib/actor.h"
#include "lib/connection.h"
#include "lib/inside.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*  ---- life ---- */

denim_client_t *
denim_client_new (const char *address, int *error)
{
    int ignored;
    return dn_connection_new (address, error ? error : &ignored);
}

denim_client_t *
denim_client_dup (denim_client_t *self)
{
    if (dn_connection_forked (self->connection))
        return NULL;
    return dn_connection_handle (self->connection);
}

bool
dn_client_forked (const denim_client_t *client)
{
    return dn_connection_forked (client->connection);
}

/*  Has it calls that have not ended? As long as it has, the actor is there. With the mutex held. */
static bool
has_calls_out (const denim_client_t *self)
{
    const denim_reply_t *reply;
    TAILQ_FOREACH (reply, &self->calls, of_client)
    if (reply->state != DN_REPLY_ENDED)
        return true;
    return false;
}

void
denim_client_close (denim_client_t *self)
{
    dn_connection_t *connection = self->connection;
    if (dn_connection_forked (connection))
        return;
    pthread_mutex_lock (&connection->mutex);
    bool first = !self->closed;
    self->closed = true;
    dn_command_t command = {.run = dn_actor_abandon, .client = self};
    if (has_calls_out (self)) /* also while another thread closes it: both return then */
        dn_connection_command (connection, &command);
    if (first) {
        pthread_cond_broadcast (&self->answered);
        pthread_cond_broadcast (&connection->window_open);
        pthread_cond_broadcast (&connection->done);
    }
    pthread_mutex_unlock (&connection->mutex);
    if (first)
        dn_connection_leave (connection);
}

/*  Drop the answers that nobody took. All calls of a closed handle have ended. */
static void
drop_answers (denim_client_t *self)
{
    denim_reply_t *reply;
    pthread_mutex_lock (&self->connection->mutex);
    while ((reply = TAILQ_FIRST (&self->calls)) != NULL) {
        TAILQ_REMOVE (&self->calls, reply, of_client);
        dn_reply_clear (reply);
        dn_connection_put (self->connection, reply);
    }
    pthread_mutex_unlock (&self->connection->mutex);
}

void
denim_client_destroy (denim_client_t **self_p)
{
    denim_client_t *self = *self_p;
    if (!self)
        return;
    *self_p = NULL;
    if (dn_connection_forked (self->connection)) {
        close (self->fd); /* all else belongs to threads that are not here */
        return;
    }
    denim_client_close (self);
    drop_answers (self);
    dn_connection_drop (self);
}

/*  ---- settings ---- */

/*  Lock the connection if it may still be set up. */
static int
begin_setting (denim_client_t *self)
{
    if (dn_connection_forked (self->connection))
        return DENIM_ERR_FORKED;
    pthread_mutex_lock (&self->connection->mutex);
    if (!self->connection->started)
        return 0;
    pthread_mutex_unlock (&self->connection->mutex);
    return DENIM_ERR_ARGUMENT;
}

int
denim_client_set_window (denim_client_t *self, int window)
{
    if (window < 1 || window > DN_WINDOW_MAX)
        return DENIM_ERR_ARGUMENT;
    int rc = begin_setting (self);
    if (rc)
        return rc;
    self->connection->window = (uint32_t) window;
    pthread_mutex_unlock (&self->connection->mutex);
    return 0;
}

int
denim_client_set_connect_timeout (denim_client_t *self, int64_t timeout_ms)
{
    int rc = begin_setting (self);
    if (rc)
        return rc;
    self->connection->connect_timeout_ms = timeout_ms;
    pthread_mutex_unlock (&self->connection->mutex);
    return 0;
}

int
denim_client_set_name (denim_client_t *self, const char *name)
{
    size_t name_bytes = strlen (name);
    if (name_bytes == 0 || name_bytes >= sizeof self->connection->name)
        return DENIM_ERR_ARGUMENT;
    int rc = begin_setting (self);
    if (rc)
        return rc;
    memcpy (self->connection->name, name, name_bytes + 1);
    pthread_mutex_unlock (&self->connection->mutex);
    return 0;
}

/*  ---- answers ---- */

/*  The reply goes to the program. With the mutex held. */
static void
give (denim_client_t *self, denim_reply_t *reply)
{
    TAILQ_REMOVE (&self->calls, reply, of_client);
    reply->state = DN_REPLY_GIVEN;
}

/*  Take what is there, as far as it is wanted. With the mutex held. */
static size_t
take_answers (denim_client_t *self, denim_reply_t **replies, size_t replies_max)
{
    size_t count = 0;
    while (count < replies_max && self->answers) {
        denim_reply_t *reply = self->answers;
        self->answers = reply->next;
        if (reply->forgotten) {
            TAILQ_REMOVE (&self->calls, reply, of_client);
            dn_reply_clear (reply);
            dn_connection_put (self->connection, reply);
            continue;
        }
        give (self, reply);
        replies[count++] = reply;
    }
    if (self->answers)
        return count;
    self->answers_end = &self->answers;
    if (self->fd_readable) {
        uint64_t noise;
        while (read (self->fd, &noise, sizeof noise) < 0 && errno == EINTR)
            ;
        self->fd_readable = false;
    }
    return count;
}

size_t
denim_client_recv_wait (denim_client_t *self, denim_reply_t **replies, size_t replies_max,
                        int64_t timeout_ms)
{
    dn_connection_t *connection = self->connection;
    if (replies_max == 0 || dn_connection_forked (connection))
        return 0;
    pthread_mutex_lock (&connection->mutex);
    if (!self->answers && !self->closed && timeout_ms) {
        int64_t deadline_ms = dn_point_ms (timeout_ms);
        bool    in_time = true;
        self->receiving = true;
        self->busy++;
        while (!self->answers && !self->closed && in_time)
            in_time = dn_connection_wait (connection, &self->answered, deadline_ms);
        self->busy--;
        self->receiving = false;
    }
    size_t count = take_answers (self, replies, replies_max);
    pthread_mutex_unlock (&connection->mutex);
    if (count)
        dn_connection_hold (connection, (unsigned) count);
    return count;
}

size_t
denim_client_recv_many (denim_client_t *self, denim_reply_t **replies, size_t replies_max)
{
    return denim_client_recv_wait (self, replies, replies_max, 0);
}

denim_reply_t *
denim_client_recv (denim_client_t *self)
{
    denim_reply_t *reply = NULL;
    denim_client_recv_wait (self, &reply, 1, 0);
    return reply;
}

int
denim_client_fd (denim_client_t *self)
{
    if (dn_connection_forked (self->connection))
        return self->fd;
    pthread_mutex_lock (&self->connection->mutex);
    self->fd_used = true;
    if (self->answers && !self->fd_readable) {
        uint64_t one = 1;
        self->fd_readable = write (self->fd, &one, sizeof one) == sizeof one;
    }
    pthread_mutex_unlock (&self->connection->mutex);
    return self->fd;
}

/*  Wait for one reply; with the mutex held. NULL when it did not end in time. */
static denim_reply_t *
await_reply (denim_client_t *self, denim_reply_t *reply, int64_t timeout_ms)
{
    int64_t            deadline_ms = dn_point_ms (timeout_ms);
    int64_t            id = reply->id;
    pthread_cond_t     ended;
    pthread_condattr_t attributes;
    bool               in_time = true;

    pthread_condattr_init (&attributes);
    pthread_condattr_setclock (&attributes, CLOCK_MONOTONIC);
    pthread_cond_init (&ended, &attributes);
    pthread_condattr_destroy (&attributes);
    reply->waiter = &ended;
    self->busy++;
    while (reply->id == id && !reply->forgotten && reply->state != DN_REPLY_ENDED && in_time)
        in_time = dn_connection_wait (self->connection, &ended, deadline_ms);
    self->busy--;
    bool mine = reply->id == id; /* else it was forgotten, and is another call's by now */
    if (mine)
        reply->waiter = NULL;
    pthread_cond_destroy (&ended);
    return mine && !reply->forgotten && reply->state == DN_REPLY_ENDED ? reply : NULL;
}

denim_reply_t *
denim_client_wait (denim_client_t *self, int64_t id, int64_t timeout_ms, int *error)
{
    dn_connection_t *connection = self->connection;
    int              ignored;
    error = error ? error : &ignored;
    *error = DENIM_ERR_FORKED;
    if (dn_connection_forked (connection))
        return NULL;

    pthread_mutex_lock (&connection->mutex);
    *error = DENIM_ERR_UNKNOWN;
    denim_reply_t *reply = dn_connection_find (connection, id);
    if (reply && (reply->client != self || reply->take_later || reply->waiter || reply->forgotten))
        reply = NULL;
    if (reply) {
        *error = DENIM_ERR_TIMEOUT;
        if (reply->state != DN_REPLY_ENDED)
            reply = timeout_ms ? await_reply (self, reply, timeout_ms) : NULL;
    }
    if (reply) {
        *error = 0;
        give (self, reply);
    }
    pthread_mutex_unlock (&connection->mutex);
    if (reply)
        dn_connection_hold (connection, 1);
    return reply;
}

/*  ---- wishes ---- */

/*  Find a call of this handle. With the mutex held. */
static denim_reply_t *
find (denim_client_t *self, int64_t id)
{
    denim_reply_t *reply = dn_connection_find (self->connection, id);
    bool           known = reply && reply->client == self && reply->state != DN_REPLY_MAKING;
    return known ? reply : NULL;
}

int
denim_client_cancel (denim_client_t *self, int64_t id, bool kill)
{
    dn_connection_t *connection = self->connection;
    if (dn_connection_forked (connection))
        return DENIM_ERR_FORKED;
    dn_command_t wish = {.run = dn_actor_cancel, .client = self, .id = id, .kill = kill};
    pthread_mutex_lock (&connection->mutex);
    denim_reply_t *reply = find (self, id);
    if (!reply)
        wish.rc = DENIM_ERR_UNKNOWN;
    else if (reply->state != DN_REPLY_ENDED)
        dn_connection_command (connection, &wish);
    pthread_mutex_unlock (&connection->mutex);
    return wish.rc;
}

/*  The answer is there: drop it, or have it passed over when its turn comes. With the mutex
 *  held. */
static void
forget_answer (denim_client_t *self, denim_reply_t *reply)
{
    reply->forgotten = true;
    if (reply->take_later)
        return;
    TAILQ_REMOVE (&self->calls, reply, of_client);
    dn_reply_clear (reply);
    dn_connection_put (self->connection, reply);
}

int
denim_client_forget (denim_client_t *self, int64_t id)
{
    dn_connection_t *connection = self->connection;
    if (dn_connection_forked (connection))
        return DENIM_ERR_FORKED;
    dn_command_t wish = {.run = dn_actor_forget, .client = self, .id = id};
    pthread_mutex_lock (&connection->mutex);
    denim_reply_t *reply = find (self, id);
    if (!reply || reply->forgotten) {
        wish.rc = DENIM_ERR_UNKNOWN;
    } else if (reply->state == DN_REPLY_ENDED) {
        forget_answer (self, reply);
    } else {
        reply->forgotten = true;
        if (reply->waiter)
            pthread_cond_signal (reply->waiter);
        dn_connection_command (connection, &wish);
    }
    pthread_mutex_unlock (&connection->mutex);
    return wish.rc;
}

int
denim_client_running (denim_client_t *self, int64_t id)
{
    if (dn_connection_forked (self->connection))
        return DENIM_ERR_FORKED;
    pthread_mutex_lock (&self->connection->mutex);
    denim_reply_t *reply = dn_connection_find (self->connection, id);
    int            rc = reply && reply->client == self ? reply->placed : DENIM_ERR_UNKNOWN;
    pthread_mutex_unlock (&self->connection->mutex);
    return rc;
}

int
denim_client_progress (denim_client_t *self, int64_t id, denim_progress_t *progress)
{
    if (dn_connection_forked (self->connection))
        return DENIM_ERR_FORKED;
    pthread_mutex_lock (&self->connection->mutex);
    denim_reply_t *reply = dn_connection_find (self->connection, id);
    int            rc = DENIM_ERR_UNKNOWN;
    if (reply && reply->client == self) {
        rc = reply->progress != NULL;
        if (rc)
            *progress = *reply->progress;
    }
    pthread_mutex_unlock (&self->connection->mutex);
    return rc;
}
