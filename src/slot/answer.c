/*  answer.c - packets onto the channel: results, and what the process says of itself
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "slot/lane.h"

#include "denim.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define TEXT_MAX 1000 /* bytes of a RESULT's sentence */

/*  ---- leaving ---- */

static void
flush_file (const char *name)
{
    PyObject *file = PySys_GetObject (name); /* borrowed */
    if (!file || file == Py_None)
        return;
    Py_INCREF (file); /* its flush may put another in its place */
    PyObject *rc = PyObject_CallMethod (file, "flush", NULL);
    Py_XDECREF (rc);
    Py_DECREF (file);
    PyErr_Clear (); /* nobody reads it any more, or it is no file: the task's own affair */
}

void
dn_lane_leave (int exit_code)
{
    flush_file ("stdout");
    flush_file ("stderr");
    _exit (exit_code);
}

/*  ---- sending ---- */

static void
enter (dn_lane_t *self)
{
    if (dn_outbox_try_enter (&self->outbox))
        return;
    Py_BEGIN_ALLOW_THREADS /* another thread sends, and may need Python's lock to end */
        dn_outbox_enter (&self->outbox);
    Py_END_ALLOW_THREADS
}

/*  Send what waits, first without giving Python's lock away: mostly there is room. */
static void
send_waiting (dn_lane_t *self)
{
    int rc = dn_outbox_send (&self->outbox, MSG_DONTWAIT);
    if (rc < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        Py_BEGIN_ALLOW_THREADS rc = dn_outbox_send (&self->outbox, 0);
        Py_END_ALLOW_THREADS
    }
    if (rc < 0)
        dn_lane_leave (DN_EXIT_EOF);
}

/*  Between enter and leave: gather a packet, or send it if it is too large for that. */
static void
put (dn_lane_t *self, dn_packet_t *packet, const void *header, const struct iovec *frames)
{
    if (dn_outbox_put (&self->outbox, packet, header, frames))
        return;
    send_waiting (self);
    if (dn_outbox_put (&self->outbox, packet, header, frames))
        return;
    int                    rc;
    Py_BEGIN_ALLOW_THREADS rc = dn_outbox_send_large (&self->outbox, packet, header, frames);
    Py_END_ALLOW_THREADS if (rc < 0) dn_lane_leave (DN_EXIT_EOF);
}

int
dn_lane_say (dn_lane_t *self, const dn_msg_t *msg, const struct iovec *payload)
{
    size_t   room_bytes = DN_HEADER_SMALL;
    uint8_t  small[DN_HEADER_SMALL];
    uint8_t *header = small;
    if (msg->kind == DN_MSG_READY) { /* the one with a list */
        room_bytes += msg->u.ready.services.rows_bytes + 2 * 1000u;
        header = PyMem_Malloc (room_bytes);
        if (!header) {
            PyErr_NoMemory ();
            return -1;
        }
    }
    dn_packet_t packet = {.frames = payload ? 1 : 0};
    ptrdiff_t   header_bytes = dn_msg_encode (msg, header, room_bytes);
    if (header_bytes < 0) {
        PyErr_SetString (PyExc_ValueError, dn_wire_strerror ((int) header_bytes));
    } else {
        packet.header_bytes = (uint32_t) header_bytes;
        enter (self);
        put (self, &packet, header, payload);
        send_waiting (self);
        dn_outbox_leave (&self->outbox);
    }
    if (header != small)
        PyMem_Free (header);
    return header_bytes < 0 ? -1 : 0;
}

/*  Another thread may have counted, and another task may have begun, while we waited to enter: what
 *  holds then is told. */
void
dn_lane_tell_wait (dn_lane_t *self)
{
    enter (self);
    bool waits = self->hand.waits > 0;
    if (dn_lane_has_task (self) && waits != self->hand.lent) {
        uint8_t  header[DN_HEADER_SMALL];
        dn_msg_t msg = {.kind = waits ? DN_MSG_LEND : DN_MSG_BACK};
        if (waits)
            msg.u.lend = (dn_lend_t){self->hand.session, self->hand.seq, self->hand.attempt};
        else
            msg.u.back = (dn_back_t){self->hand.session, self->hand.seq, self->hand.attempt};
        dn_packet_t packet = {.header_bytes =
                                  (uint32_t) dn_msg_encode (&msg, header, sizeof header)};
        self->hand.lent = waits;
        put (self, &packet, header, NULL);
        send_waiting (self);
    } else if (dn_outbox_waiting (&self->outbox) > 0) {
        dn_outbox_defer (&self->outbox, DN_LATE_MS); /* the timer may have left it to us */
    }
    dn_outbox_leave (&self->outbox);
}

void
dn_lane_flush (dn_lane_t *self)
{
    if (dn_outbox_waiting (&self->outbox) == 0)
        return;
    flush_file ("stdout"); /* a task's last words come before its result */
    enter (self);
    send_waiting (self);
    dn_outbox_leave (&self->outbox);
}

/*  ---- answers ---- */

/*  Put a RESULT for the task in hand. A VALUE is as small as can be: nobody asks where it was
 *  made. */
static void
put_result (dn_lane_t *self, uint8_t outcome, uint8_t codec, dn_str_t text,
            const struct iovec *frames, unsigned frames_count)
{
    dn_msg_t msg = {.kind = DN_MSG_RESULT};
    msg.u.result.session = self->hand.session;
    msg.u.result.seq = self->hand.seq;
    msg.u.result.attempt = self->hand.attempt;
    msg.u.result.outcome = outcome;
    msg.u.result.codec = codec;
    msg.u.result.flags = self->hand.started ? 1 : 0;
    msg.u.result.run_us = self->hand.run_us;
    msg.u.result.wait_us = self->hand.wait_us;
    msg.u.result.text = text;
    if (frames_count == 1 && frames[0].iov_len <= DN_SMALL_MAX) {
        msg.u.result.small = (dn_str_t){frames[0].iov_base, (uint16_t) frames[0].iov_len};
        frames_count = msg.u.result.small.len == 0; /* an empty frame is no small payload */
    }
    if (outcome != DENIM_VALUE) {
        msg.u.result.worker = dn_str (self->worker);
        msg.u.result.host = dn_str (self->host);
    }

    uint8_t     header[DN_HEADER_SMALL];
    dn_packet_t packet = {.frames = frames_count};
    packet.header_bytes = (uint32_t) dn_msg_encode (&msg, header, sizeof header);
    enter (self);
    if (dn_outbox_waiting (&self->outbox) == 0)
        self->oldest_us = dn_now_us ();
    put (self, &packet, header, frames);
    if (dn_outbox_waiting (&self->outbox) >= DN_OUTBOX_FULL)
        send_waiting (self);
    dn_outbox_leave (&self->outbox);
}

void
dn_lane_answer_text (dn_lane_t *self, uint8_t outcome, const char *text)
{
    put_result (self, outcome, DENIM_CODEC_JSON, dn_str (text), NULL, 0);
}

static void
answer_too_large (dn_lane_t *self, uint64_t payload_bytes)
{
    char text[160];
    snprintf (text, sizeof text, "the value has %llu bytes, and payload_max is %llu",
              (unsigned long long) payload_bytes, (unsigned long long) self->payload_max);
    dn_lane_answer_text (self, DENIM_TOO_LARGE, text);
}

/*  A sentence as UTF-8, cut at a character; its bytes are lent by *holder (new reference or
 *  NULL). */
static dn_str_t
text_of (PyObject *text, PyObject **holder)
{
    if (PyUnicode_GetLength (text) == 0)
        return (dn_str_t){"", 0};
    *holder = PyUnicode_AsEncodedString (text, "utf-8", "replace");
    char      *bytes;
    Py_ssize_t n;
    if (!*holder || PyBytes_AsStringAndSize (*holder, &bytes, &n) < 0)
        return (dn_str_t){"", 0};
    if (n > TEXT_MAX)
        for (n = TEXT_MAX; n > 0 && ((uint8_t) bytes[n] & 0xc0) == 0x80; n--)
            ;
    return (dn_str_t){bytes, (uint16_t) n};
}

/*  The frames' bytes; *count says how many views are open, also on failure. */
static int
open_frames (PyObject *frames, Py_buffer *views, struct iovec *parts, unsigned *count,
             uint64_t *payload_bytes)
{
    Py_ssize_t n = PyList_Size (frames);
    if (n < 0)
        return -1;
    if (n > DN_FRAMES_MAX) {
        PyErr_Format (PyExc_ValueError, "a value in %zd frames; %d is the most", n, DN_FRAMES_MAX);
        return -1;
    }
    for (*count = 0; *count < (unsigned) n; ++*count) {
        Py_buffer *view = &views[*count];
        PyObject  *frame = PyList_GetItem (frames, (Py_ssize_t) *count);
        if (!frame || PyObject_GetBuffer (frame, view, PyBUF_SIMPLE) < 0)
            return -1;
        parts[*count] = (struct iovec){view->buf, (size_t) view->len};
        *payload_bytes += (uint64_t) view->len;
    }
    return 0;
}

static int
answer (dn_lane_t *self, PyObject *returned)
{
    int       outcome, codec;
    PyObject *frames, *text, *holder = NULL;
    if (!PyArg_ParseTuple (returned, "iiOU", &outcome, &codec, &frames, &text))
        return -1;

    Py_buffer    views[DN_FRAMES_MAX];
    struct iovec parts[DN_FRAMES_MAX];
    uint64_t     payload_bytes = 0;
    unsigned     count = 0;
    int          rc = open_frames (frames, views, parts, &count, &payload_bytes);
    if (rc == 0 && self->payload_max && payload_bytes > self->payload_max)
        answer_too_large (self, payload_bytes);
    else if (rc == 0)
        put_result (self, (uint8_t) outcome, (uint8_t) codec, text_of (text, &holder), parts,
                    count);
    while (count-- > 0)
        PyBuffer_Release (&views[count]);
    Py_XDECREF (holder);
    return rc;
}

void
dn_lane_answer (dn_lane_t *self, PyObject *returned)
{
    if (returned && answer (self, returned) == 0)
        return;
    PyErr_WriteUnraisable (self->run);
    dn_lane_answer_text (self, DENIM_EXCEPTION,
                         "the task ended, but the slot could not report how: see the worker's log");
}
