/*  reply.c - how one call ended
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "lib/connection.h"
#include "lib/inside.h"

#include <stdlib.h>

/*  ---- contents ---- */

void
dn_reply_frames_clear (denim_reply_t *self)
{
    for (unsigned i = 0; i < self->frames; i++)
        zmq_msg_close (&self->frame[i]);
    if (self->frame != self->few)
        free (self->frame);
    self->frame = self->few;
    self->frames = 0;
}

int
dn_reply_frames_new (denim_reply_t *self, size_t frames)
{
    zmq_msg_t *frame = self->few;
    if (frames > DN_REPLY_FEW) {
        frame = malloc (frames * sizeof *frame);
        if (!frame)
            return DENIM_ERR_MEMORY;
    }
    for (size_t i = 0; i < frames; i++)
        zmq_msg_init (&frame[i]);
    self->frame = frame;
    self->frames = (unsigned) frames;
    return 0;
}

void
dn_reply_clear (denim_reply_t *self)
{
    dn_reply_frames_clear (self);
    free (self->progress);
    free (self->text);
    if (self->json)
        json_decref (self->json);
    self->progress = NULL;
    self->text = NULL;
    self->json = NULL;
}

/*  The row goes back without the mutex: whoever submits next finds it. */
void
denim_reply_destroy (denim_reply_t **self_p)
{
    denim_reply_t *self = *self_p;
    if (!self)
        return;
    *self_p = NULL;
    dn_connection_t *connection = self->connection;
    dn_reply_clear (self);
    self->next = atomic_load_explicit (&connection->returned, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit (&connection->returned, &self->next, self,
                                                   memory_order_release, memory_order_relaxed))
        ;
    dn_connection_release (connection);
}

/*  ---- questions ---- */

int64_t
denim_reply_id (const denim_reply_t *self)
{
    return self->id;
}

void *
denim_reply_tag (const denim_reply_t *self)
{
    return self->tag;
}

int
denim_reply_outcome (const denim_reply_t *self)
{
    return self->outcome;
}

int
denim_reply_reason (const denim_reply_t *self)
{
    return self->reason;
}

const char *
denim_reply_text (const denim_reply_t *self)
{
    return self->text ? self->text : "";
}

const char *
denim_reply_worker (const denim_reply_t *self)
{
    return self->worker;
}

const char *
denim_reply_host (const denim_reply_t *self)
{
    return self->host;
}

int
denim_reply_codec (const denim_reply_t *self)
{
    return self->codec;
}

int
denim_reply_signal (const denim_reply_t *self)
{
    return self->signal;
}

int
denim_reply_exit_code (const denim_reply_t *self)
{
    return self->exit_code;
}

bool
denim_reply_oom (const denim_reply_t *self)
{
    return self->oom;
}

bool
denim_reply_started (const denim_reply_t *self)
{
    return self->started;
}

int
denim_reply_attempts (const denim_reply_t *self)
{
    return self->attempts;
}

int64_t
denim_reply_run_us (const denim_reply_t *self)
{
    return self->run_us;
}

int64_t
denim_reply_wait_us (const denim_reply_t *self)
{
    return self->wait_us;
}

size_t
denim_reply_frames (const denim_reply_t *self)
{
    return self->frames;
}

const void *
denim_reply_frame (const denim_reply_t *self, size_t index, size_t *frame_bytes)
{
    if (index >= self->frames)
        return NULL;
    zmq_msg_t *frame = &self->frame[index];
    if (frame_bytes)
        *frame_bytes = zmq_msg_size (frame);
    return zmq_msg_data (frame);
}

void
dn_reply_take_frame (denim_reply_t *reply, size_t index, zmq_msg_t *to)
{
    zmq_msg_init (to);
    zmq_msg_move (to, &reply->frame[index]);
}

json_t *
denim_reply_json (denim_reply_t *self)
{
    if (!self->json && self->codec == DENIM_CODEC_JSON && self->frames) {
        zmq_msg_t *frame = &self->frame[0];
        self->json = json_loadb (zmq_msg_data (frame), zmq_msg_size (frame),
                                 JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    }
    return self->json;
}
