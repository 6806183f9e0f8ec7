/*  connection.c - what the threads of a program and the actor of its connection share
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "lib/connection.h"

#include "base/check.h"
#include "io/process.h"
#include "lib/actor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

int64_t
dn_now_ms (void)
{
    return dn_process_now_ms ();
}

int64_t
dn_point_ms (int64_t timeout_ms)
{
    if (timeout_ms < 0)
        return DN_NEVER;
    int64_t now_ms = dn_now_ms ();
    return timeout_ms < DN_NEVER - now_ms ? now_ms + timeout_ms : DN_NEVER;
}

/*  ---- the page that tells parent from child ---- */

static const uint8_t *
here_new (void)
{
    size_t   page_bytes = (size_t) sysconf (_SC_PAGESIZE);
    uint8_t *page =
        mmap (NULL, page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return NULL;
    if (madvise (page, page_bytes, MADV_WIPEONFORK) < 0) {
        munmap (page, page_bytes);
        return NULL;
    }
    *page = 1;
    return page;
}

static void
here_destroy (const uint8_t *here)
{
    if (here)
        munmap ((void *) here, (size_t) sysconf (_SC_PAGESIZE));
}

bool
dn_connection_forked (const dn_connection_t *self)
{
    return *(const volatile uint8_t *) self->here == 0;
}

int
dn_connection_usable (const denim_client_t *client)
{
    if (dn_connection_forked (client->connection))
        return DENIM_ERR_FORKED;
    return client->closed ? DENIM_ERR_CLOSED : 0;
}

/*  ---- life ---- */

/*  Conditions are waited for on the monotonic clock. */
static int
condition_init (pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    int                rc = pthread_condattr_init (&attributes);
    if (rc)
        return rc;
    pthread_condattr_setclock (&attributes, CLOCK_MONOTONIC);
    rc = pthread_cond_init (condition, &attributes);
    pthread_condattr_destroy (&attributes);
    return rc;
}

static void
name_default (char name[64])
{
    char host[64] = "";
    if (gethostname (host, sizeof host - 1) < 0 || !*host)
        strcpy (host, "client");
    snprintf (name, 64, "%.48s-%d", host, (int) getpid ());
}

static void
connection_free (dn_connection_t *self)
{
    for (uint32_t i = 0; i < self->chunks_count; i++)
        free (self->chunks[i]);
    free (self->chunks);
    if (self->wake_fd >= 0)
        close (self->wake_fd);
    here_destroy (self->here);
    pthread_cond_destroy (&self->window_open);
    pthread_cond_destroy (&self->done);
    pthread_mutex_destroy (&self->mutex);
    free (self);
}

static dn_connection_t *
connection_alloc (void)
{
    dn_connection_t *self = calloc (1, sizeof *self);
    if (!self)
        return NULL;
    pthread_mutex_init (&self->mutex, NULL);
    condition_init (&self->window_open);
    condition_init (&self->done);
    self->wake_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
    self->here = here_new ();
    self->queued_end = &self->queued;
    self->window = DN_WINDOW_DEFAULT;
    self->connect_timeout_ms = DN_CONNECT_TIMEOUT_MS;
    name_default (self->name);
    if (self->wake_fd >= 0 && self->here)
        return self;
    connection_free (self);
    return NULL;
}

denim_client_t *
dn_connection_new (const char *address, int *error)
{
    if (!address)
        address = getenv ("DENIM_MANAGER");
    if (!address || !*address)
        address = DN_ADDRESS_DEFAULT;
    dn_address_t parsed;
    if (dn_address_parse (&parsed, address, DN_TO_CONNECT, NULL, 0) < 0) {
        *error = DENIM_ERR_ADDRESS;
        return NULL;
    }
    *error = DENIM_ERR_MEMORY;
    dn_connection_t *self = connection_alloc ();
    if (!self)
        return NULL;
    self->address = parsed;
    dn_address_text (&parsed, self->address_text);
    denim_client_t *client = dn_connection_handle (self);
    if (!client)
        connection_free (self);
    else
        *error = 0;
    return client;
}

denim_client_t *
dn_connection_handle (dn_connection_t *self)
{
    denim_client_t *client = calloc (1, sizeof *client);
    if (!client)
        return NULL;
    client->fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (client->fd < 0 || condition_init (&client->answered)) {
        if (client->fd >= 0)
            close (client->fd);
        free (client);
        return NULL;
    }
    client->connection = self;
    client->answers_end = &client->answers;
    TAILQ_INIT (&client->calls);
    dn_connection_hold (self, 1);
    pthread_mutex_lock (&self->mutex);
    client->closed = self->leaving;
    self->handles += !client->closed;
    pthread_mutex_unlock (&self->mutex);
    if (!client->closed)
        return client;
    dn_connection_drop (client);
    return NULL;
}

/*  The last handle goes: let the actor say goodbye. One that cannot in time is on its own; it holds
 *  a reference. */
static void
end_actor (dn_connection_t *self)
{
    int64_t deadline_ms = dn_point_ms (DN_GOODBYE_MS);
    pthread_mutex_lock (&self->mutex);
    while (!self->left && dn_connection_wait (self, &self->done, deadline_ms))
        ;
    bool left = self->left;
    pthread_mutex_unlock (&self->mutex);
    if (left)
        pthread_join (self->thread, NULL);
    else
        pthread_detach (self->thread);
}

void
dn_connection_leave (dn_connection_t *self)
{
    pthread_mutex_lock (&self->mutex);
    bool last = --self->handles == 0;
    if (last) {
        self->leaving = true;
        dn_connection_wake (self);
    }
    pthread_mutex_unlock (&self->mutex);
    if (last && self->started)
        end_actor (self);
}

void
dn_connection_drop (denim_client_t *client)
{
    dn_connection_t *self = client->connection;
    dn_check (TAILQ_EMPTY (&client->calls) && !client->busy);
    pthread_cond_destroy (&client->answered);
    close (client->fd);
    free (client);
    dn_connection_release (self);
}

void
dn_connection_hold (dn_connection_t *self, unsigned references)
{
    atomic_fetch_add_explicit (&self->references, references, memory_order_relaxed);
}

void
dn_connection_release (dn_connection_t *self)
{
    if (atomic_fetch_sub_explicit (&self->references, 1, memory_order_acq_rel) == 1)
        connection_free (self);
}

int
dn_connection_start (dn_connection_t *self)
{
    if (self->started)
        return 0;
    dn_connection_hold (self, 1);
    if (dn_actor_start (self) < 0) {
        atomic_fetch_sub_explicit (&self->references, 1, memory_order_relaxed);
        return DENIM_ERR_MEMORY;
    }
    self->started = true;
    return 0;
}

/*  ---- waiting and waking ---- */

void
dn_connection_wake (dn_connection_t *self)
{
    if (!self->asleep)
        return;
    self->asleep = false;
    uint64_t one = 1;
    while (write (self->wake_fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

bool
dn_connection_wait (dn_connection_t *self, pthread_cond_t *condition, int64_t deadline_ms)
{
    if (deadline_ms == DN_NEVER) {
        pthread_cond_wait (condition, &self->mutex);
        return true;
    }
    struct timespec until = {.tv_sec = deadline_ms / 1000, .tv_nsec = deadline_ms % 1000 * 1000000};
    return pthread_cond_timedwait (condition, &self->mutex, &until) != ETIMEDOUT;
}

void
dn_connection_command (dn_connection_t *self, dn_command_t *command)
{
    command->next = self->commands;
    self->commands = command;
    dn_connection_wake (self);
    while (!command->done)
        dn_connection_wait (self, &self->done, DN_NEVER);
}

/*  ---- the pool ---- */

static bool
add_chunk (dn_connection_t *self)
{
    if ((uint64_t) (self->chunks_count + 1) * DN_REPLIES_CHUNK > 1u << DN_INDEX_BITS)
        return false;
    denim_reply_t **chunks = realloc (self->chunks, (self->chunks_count + 1) * sizeof *chunks);
    if (!chunks)
        return false;
    self->chunks = chunks;
    denim_reply_t *chunk = calloc (DN_REPLIES_CHUNK, sizeof *chunk);
    if (!chunk)
        return false;
    for (uint32_t i = DN_REPLIES_CHUNK; i-- > 0;) {
        chunk[i].connection = self;
        chunk[i].index = self->chunks_count * DN_REPLIES_CHUNK + i;
        chunk[i].next = self->free_replies;
        self->free_replies = &chunk[i];
    }
    self->chunks[self->chunks_count++] = chunk;
    return true;
}

denim_reply_t *
dn_connection_take (dn_connection_t *self)
{
    while (!self->free_replies) {
        denim_reply_t *reply =
            atomic_exchange_explicit (&self->returned, NULL, memory_order_acquire);
        if (!reply && !add_chunk (self))
            return NULL;
        for (denim_reply_t *next; reply; reply = next) {
            next = reply->next;
            dn_connection_put (self, reply);
        }
    }
    denim_reply_t *reply = self->free_replies;
    self->free_replies = reply->next;
    reply->generation++;
    reply->id = (int64_t) (reply->generation << DN_INDEX_BITS | reply->index);
    reply->state = DN_REPLY_MAKING;
    return reply;
}

void
dn_connection_put (dn_connection_t *self, denim_reply_t *reply)
{
    reply->id = 0;
    reply->state = DN_REPLY_FREE;
    reply->next = self->free_replies;
    self->free_replies = reply;
}

denim_reply_t *
dn_connection_find (dn_connection_t *self, int64_t id)
{
    if (id <= 0)
        return NULL;
    uint32_t index = (uint32_t) id & ((1u << DN_INDEX_BITS) - 1);
    if (index / DN_REPLIES_CHUNK >= self->chunks_count)
        return NULL;
    denim_reply_t *reply = &self->chunks[index / DN_REPLIES_CHUNK][index % DN_REPLIES_CHUNK];
    return reply->id == id && reply->state != DN_REPLY_GIVEN ? reply : NULL;
}

/*  ---- answers ---- */

/*  The first answer of a handle makes noise, the others come in its wake. */
static void
signal_answer (denim_client_t *client)
{
    if (client->receiving)
        pthread_cond_signal (&client->answered);
    if (!client->fd_used || client->fd_readable)
        return;
    uint64_t one = 1;
    while (write (client->fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
    client->fd_readable = true;
}

denim_reply_t *
dn_connection_deliver (dn_connection_t *self, denim_reply_t *reply)
{
    denim_client_t *client = reply->client;
    self->outstanding--;
    reply->state = DN_REPLY_ENDED;
    reply->placed = false;
    if (reply->forgotten) {
        TAILQ_REMOVE (&client->calls, reply, of_client);
        return reply;
    }
    if (!reply->take_later) {
        if (reply->waiter)
            pthread_cond_signal (reply->waiter);
        return NULL;
    }
    bool first = client->answers == NULL;
    reply->next = NULL;
    *client->answers_end = reply;
    client->answers_end = &reply->next;
    if (first)
        signal_answer (client);
    return NULL;
}
