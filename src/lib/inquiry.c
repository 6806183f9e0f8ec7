/*  inquiry.c - questions to the manager
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "lib/inquiry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VERB_MAX 31   /* bytes, as messages.def says */
#define ARGS_MAX 4000 /* likewise */

static void
inquiry_free (dn_inquiry_t *self)
{
    free (self->args);
    free (self->answer);
    free (self);
}

static dn_inquiry_t *
inquiry_new (const char *verb, const char *args, int64_t timeout_ms)
{
    dn_inquiry_t *self = calloc (1, sizeof *self);
    if (!self)
        return NULL;
    self->args = strdup (args ? args : "");
    if (!self->args) {
        free (self);
        return NULL;
    }
    snprintf (self->verb, sizeof self->verb, "%s", verb);
    self->deadline_ms = dn_point_ms (timeout_ms);
    return self;
}

dn_inquiry_t *
dn_inquiry_begin (denim_client_t *client, const char *verb, const char *args, int64_t timeout_ms,
                  int *error)
{
    dn_connection_t *connection = client->connection;
    if (dn_connection_forked (connection)) {
        *error = DENIM_ERR_FORKED;
        return NULL;
    }
    *error = DENIM_ERR_ARGUMENT;
    if (!*verb || strlen (verb) > VERB_MAX || (args && strlen (args) > ARGS_MAX))
        return NULL;
    *error = DENIM_ERR_MEMORY;
    dn_inquiry_t *self = inquiry_new (verb, args, timeout_ms);
    if (!self)
        return NULL;

    pthread_mutex_lock (&connection->mutex);
    *error = dn_connection_usable (client);
    if (!*error)
        *error = dn_connection_start (connection);
    if (!*error) {
        self->number = ++connection->inquiries_made;
        self->next = connection->inquiries;
        connection->inquiries = self;
        client->busy++;
        dn_connection_wake (connection);
    }
    pthread_mutex_unlock (&connection->mutex);
    if (!*error)
        return self;
    inquiry_free (self);
    return NULL;
}

bool
dn_inquiry_wait (denim_client_t *client, dn_inquiry_t *self, int64_t timeout_ms)
{
    dn_connection_t *connection = client->connection;
    int64_t          deadline_ms = dn_point_ms (timeout_ms);
    pthread_mutex_lock (&connection->mutex);
    while (!self->answered && !client->closed &&
           dn_connection_wait (connection, &connection->done, deadline_ms))
        ;
    bool over = self->answered || client->closed;
    pthread_mutex_unlock (&connection->mutex);
    return over;
}

char *
dn_inquiry_end (denim_client_t *client, dn_inquiry_t *self, int *error)
{
    pthread_mutex_lock (&client->connection->mutex);
    char *answer = self->answer;
    bool  answered = self->answered;
    self->answer = NULL;
    self->dropped = true;
    *error = answered ? self->error : DENIM_ERR_TIMEOUT;
    if (client->closed)
        *error = DENIM_ERR_CLOSED;
    if (answer)
        *error = 0;
    client->busy--;
    pthread_mutex_unlock (&client->connection->mutex);
    if (answered)
        inquiry_free (self);
    return answer;
}

void
dn_inquiry_submit (dn_inquiry_t *self, dn_inquiry_t **asked, dn_session_core_t *session,
                   dn_effects_t *fx)
{
    self->next = *asked;
    *asked = self;
    dn_session_ask (session, self->number, dn_str (self->verb), dn_str (self->args),
                    self->deadline_ms, fx);
}

void
dn_inquiry_answer (dn_connection_t *connection, dn_inquiry_t **asked, uint64_t number,
                   const void *bytes, size_t answer_bytes, int error)
{
    while (*asked && (*asked)->number != number)
        asked = &(*asked)->next;
    dn_inquiry_t *self = *asked;
    if (!self)
        return;
    *asked = self->next;
    char *answer = bytes ? malloc (answer_bytes + 1) : NULL;
    if (answer) {
        memcpy (answer, bytes, answer_bytes);
        answer[answer_bytes] = '\0';
    }
    pthread_mutex_lock (&connection->mutex);
    self->answer = answer;
    self->error = error;
    self->answered = true;
    bool dropped = self->dropped;
    pthread_cond_broadcast (&connection->done);
    pthread_mutex_unlock (&connection->mutex);
    if (dropped)
        inquiry_free (self);
}
