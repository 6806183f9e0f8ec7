/*  submit.c - a call on its way from a thread of the program to the actor
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "lib/connection.h"
#include "lib/inside.h"

#include <string.h>

/*  ---- what is asked for ---- */

/*  The length of a deadline or limit as the wire has it. */
static uint32_t
limit_ms (int64_t ms)
{
    return ms < UINT32_MAX ? (uint32_t) ms : UINT32_MAX;
}

static bool
is_in_range (const denim_options_t *options)
{
    return options->deadline_ms >= 0 && options->soft_limit_ms >= 0 &&
           options->hard_limit_ms >= 0 && options->priority >= 0 &&
           options->priority <= DENIM_PRIORITY_LOW + 1 && options->codec >= 0 &&
           options->codec <= DENIM_CODEC_PICKLE && options->depth >= 0 &&
           options->depth <= UINT8_MAX;
}

/*  The service is named, or it is what stands before the colon. */
static int
set_names (denim_reply_t *reply, const char *task, const char *service)
{
    size_t task_bytes = strlen (task);
    size_t service_bytes = service ? strlen (service) : strcspn (task, ":");
    if (!service && service_bytes == task_bytes)
        return DENIM_ERR_ARGUMENT;
    if (task_bytes == 0 || task_bytes >= DN_TASK_ROOM)
        return DENIM_ERR_ARGUMENT;
    if (service_bytes == 0 || service_bytes >= DN_SERVICE_NAME_ROOM)
        return DENIM_ERR_ARGUMENT;
    memcpy (reply->task, task, task_bytes + 1);
    memcpy (reply->service, service ? service : task, service_bytes);
    reply->service[service_bytes] = '\0';
    return 0;
}

static int
set_options (denim_reply_t *reply, const char *task, const denim_options_t *options)
{
    static const denim_options_t none;
    if (!options)
        options = &none;
    if (!is_in_range (options))
        return DENIM_ERR_ARGUMENT;
    reply->tag = options->tag;
    reply->take_later = options->take_later;
    reply->deadline_ms = options->deadline_ms ? dn_point_ms (options->deadline_ms) : DN_NEVER;
    reply->soft_limit_ms = limit_ms (options->soft_limit_ms);
    reply->hard_limit_ms = limit_ms (options->hard_limit_ms);
    reply->priority = (uint8_t) (options->priority ? options->priority - 1 : DENIM_PRIORITY_NORMAL);
    reply->codec = (uint8_t) (options->codec ? options->codec : DENIM_CODEC_JSON);
    reply->idempotent = options->idempotent;
    reply->depth = (uint8_t) options->depth;
    reply->parent_bytes = options->parent ? DENIM_PARENT_BYTES : 0;
    if (options->parent)
        memcpy (reply->parent, options->parent, DENIM_PARENT_BYTES);
    return set_names (reply, task, options->service);
}

static int
set_frames (denim_reply_t *reply, const denim_frame_t *frames, size_t frames_count)
{
    if (frames_count == 0 || frames_count > DN_FRAMES_MAX)
        return DENIM_ERR_ARGUMENT;
    int rc = dn_reply_frames_new (reply, frames_count);
    for (size_t i = 0; i < frames_count && !rc; i++) {
        if (zmq_msg_init_size (&reply->frame[i], frames[i].frame_bytes) < 0) {
            zmq_msg_init (&reply->frame[i]);
            rc = DENIM_ERR_MEMORY;
        } else if (frames[i].frame_bytes) {
            memcpy (zmq_msg_data (&reply->frame[i]), frames[i].bytes, frames[i].frame_bytes);
        }
    }
    return rc;
}

/*  ---- the window ---- */

/*  Wait until there is room in the window. With the mutex held. */
static int
await_room (denim_client_t *client, int64_t timeout_ms)
{
    dn_connection_t *connection = client->connection;
    if (connection->outstanding < connection->window)
        return 0;
    if (timeout_ms == 0)
        return DENIM_ERR_WINDOW;

    int64_t deadline_ms = dn_point_ms (timeout_ms);
    bool    in_time = true;
    connection->window_waiters++;
    client->busy++;
    while (!client->closed && in_time && connection->outstanding >= connection->window)
        in_time = dn_connection_wait (connection, &connection->window_open, deadline_ms);
    client->busy--;
    connection->window_waiters--;
    if (client->closed)
        return DENIM_ERR_CLOSED;
    return connection->outstanding < connection->window ? 0 : DENIM_ERR_WINDOW;
}

int
dn_client_await_room (denim_client_t *client, int64_t timeout_ms)
{
    if (dn_connection_forked (client->connection))
        return DENIM_ERR_FORKED;
    pthread_mutex_lock (&client->connection->mutex);
    int rc = dn_connection_usable (client);
    if (!rc)
        rc = await_room (client, timeout_ms);
    pthread_mutex_unlock (&client->connection->mutex);
    return rc;
}

/*  A reply of the pool, and a place in the window with it. */
static int
reserve (denim_client_t *client, int64_t timeout_ms, denim_reply_t **reply)
{
    dn_connection_t *connection = client->connection;
    pthread_mutex_lock (&connection->mutex);
    int rc = dn_connection_usable (client);
    if (!rc)
        rc = dn_connection_start (connection);
    if (!rc)
        rc = await_room (client, timeout_ms);
    if (!rc) {
        *reply = dn_connection_take (connection);
        rc = *reply ? 0 : DENIM_ERR_MEMORY;
    }
    if (!rc)
        connection->outstanding++;
    pthread_mutex_unlock (&connection->mutex);
    return rc;
}

static void
give_up (denim_client_t *client, denim_reply_t *reply)
{
    dn_connection_t *connection = client->connection;
    dn_reply_clear (reply);
    pthread_mutex_lock (&connection->mutex);
    connection->outstanding--;
    dn_connection_put (connection, reply);
    if (connection->window_waiters)
        pthread_cond_signal (&connection->window_open);
    pthread_mutex_unlock (&connection->mutex);
}

/*  ---- both ---- */

static int
hand_over (denim_client_t *client, denim_reply_t *reply)
{
    dn_connection_t *connection = client->connection;
    pthread_mutex_lock (&connection->mutex);
    int rc = dn_connection_usable (client); /* it may have been closed meanwhile */
    if (!rc) {
        reply->client = client;
        reply->state = DN_REPLY_QUEUED;
        reply->next = NULL;
        *connection->queued_end = reply;
        connection->queued_end = &reply->next;
        TAILQ_INSERT_TAIL (&client->calls, reply, of_client);
        dn_connection_wake (connection);
    }
    pthread_mutex_unlock (&connection->mutex);
    return rc;
}

int64_t
denim_client_submit_frames (denim_client_t *self, const char *task, const denim_frame_t *frames,
                            size_t frames_count, const denim_options_t *options, int64_t timeout_ms)
{
    denim_reply_t *reply = NULL;

    if (dn_connection_forked (self->connection))
        return DENIM_ERR_FORKED;
    int rc = reserve (self, timeout_ms, &reply);
    if (rc)
        return rc;
    int64_t id = reply->id;
    reply->waiter = NULL;
    reply->placed = reply->forgotten = false;
    rc = set_options (reply, task, options);
    if (!rc)
        rc = set_frames (reply, frames, frames_count);
    if (!rc)
        rc = hand_over (self, reply);
    if (!rc)
        return id;
    give_up (self, reply);
    return rc;
}
