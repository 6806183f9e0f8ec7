/*  serve.c - the loop of a slot: tasks in, Python called, results out
 *
 *  A result is put into the outbox, and sent when no further task has come whole, when the outbox
 *  is full, when it has waited for DN_WAITED_US, or when the next task is not known to be short.
 *  Should a task that was known to be short turn out long, the outbox's timer sends what waits
 *  behind it.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "slot/lane.h"

#include "denim.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

int64_t
dn_now_us (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/*  ---- a child that a task forks ---- */

/*  Read by the handler below, which gets no argument. */
static dn_lane_t *served;

/*  In the child: the channel belongs to the parent. If the child kept it open, the supervisor would
 *  see no end of file when the slot dies; if it spoke on it, nonsense. */
static void
on_fork (void)
{
    if (!served || served->lost_by_fork)
        return;
    served->lost_by_fork = true;
    close (DN_FD_PAGE);
    close (served->inbox.fd);
}

static void
watch_forks (dn_lane_t *self)
{
    static bool registered;
    served = self;
    if (!registered)
        registered = pthread_atfork (NULL, NULL, on_fork) == 0;
}

/*  ---- waiting ---- */

/*  Let Python's signal handlers run, the user's among them. What they raise belongs to no task. */
static void
look_at_signals (dn_lane_t *self)
{
    while (PyErr_CheckSignals () < 0) /* each ends the look, and the next goes on from there */
        PyErr_WriteUnraisable (self->run);
}

/*  Wait for more bytes. The end of file ends the process. */
static void
wait_for_input (dn_lane_t *self)
{
    ssize_t n = dn_inbox_fill (&self->inbox, MSG_DONTWAIT);
    while (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
        look_at_signals (self);
        Py_BEGIN_ALLOW_THREADS n = dn_inbox_fill (&self->inbox, 0);
        Py_END_ALLOW_THREADS
    }
    if (n <= 0)
        dn_lane_leave (DN_EXIT_EOF);
}

static void
leave_stray (const char *what)
{
    fprintf (stderr, "denim-slot: %s\n", what);
    dn_lane_leave (DN_EXIT_STRAY);
}

/*  ---- payload ---- */

/*  Take bytes of the packet in hand. If they are still to come, results do not wait for them, nor
 *  do other threads. */
static void
take (dn_lane_t *self, void *to, uint64_t bytes)
{
    int rc;
    if (dn_inbox_has (&self->inbox, 0, bytes)) {
        rc = dn_inbox_take (&self->inbox, to, bytes);
    } else {
        dn_lane_flush (self);
        Py_BEGIN_ALLOW_THREADS rc = dn_inbox_take (&self->inbox, to, bytes);
        Py_END_ALLOW_THREADS
    }
    if (rc < 0)
        dn_lane_leave (DN_EXIT_EOF);
}

/*  Memory of one frame: the document is bytes; what it refers to can be written, as an array is. */
static PyObject *
new_frame (unsigned i, uint64_t frame_bytes, char **memory)
{
    PyObject *frame;
    if (i == 0) {
        frame = PyBytes_FromStringAndSize (NULL, (Py_ssize_t) frame_bytes);
        *memory = frame ? PyBytes_AsString (frame) : NULL;
    } else {
        frame = PyByteArray_FromStringAndSize (NULL, (Py_ssize_t) frame_bytes);
        *memory = frame ? PyByteArray_AsString (frame) : NULL;
    }
    return frame;
}

/*  The payload of the packet in hand, as a list of buffers: new reference. Without memory NULL;
 *  then the rest of it was thrown away, so that the channel goes on. */
static PyObject *
take_frames (dn_lane_t *self, const dn_packet_t *packet)
{
    uint64_t  left = packet->body_bytes - packet->header_bytes;
    PyObject *frames = PyList_New ((Py_ssize_t) packet->frames);
    for (unsigned i = 0; frames && i < packet->frames; i++) {
        char     *memory;
        PyObject *frame = new_frame (i, packet->frame_bytes[i], &memory);
        if (!frame || PyList_SetItem (frames, (Py_ssize_t) i, frame) < 0) {
            Py_CLEAR (frames);
            break;
        }
        take (self, memory, packet->frame_bytes[i]);
        left -= packet->frame_bytes[i];
    }
    if (!frames)
        take (self, NULL, left);
    return frames;
}

/*  The same of a payload that came in the header. */
static PyObject *
take_small (dn_str_t small)
{
    PyObject *frame = PyBytes_FromStringAndSize (small.ptr, small.len);
    PyObject *frames = frame ? PyList_New (1) : NULL;
    if (!frames)
        Py_XDECREF (frame);
    else
        PyList_SetItem (frames, 0, frame); /* takes the frame */
    return frames;
}

/*  ---- a task ---- */

/*  Read RUN and the SUBMIT in it; the name is lent by the inbox. False: these are none. */
static bool
open_hand (dn_lane_t *self, const dn_packet_t *packet, const dn_run_t *run, dn_submit_t *submit)
{
    dn_msg_t inner;
    if (dn_msg_decode (&inner, W2S, run->submit.ptr, run->submit.len) < 0 ||
        inner.kind != DN_MSG_SUBMIT)
        return false;
    *submit = inner.u.submit;
    self->hand = (dn_hand_t){.open = true,
                             .session = run->session,
                             .seq = submit->seq,
                             .attempt = run->attempt,
                             .depth = submit->depth,
                             .number = packet->number,
                             .arrived_us = packet->arrived_us,
                             .priority = submit->priority};
    return true;
}

/*  Results may wait only while short tasks run. */
static void
flush_before (dn_lane_t *self, const dn_name_t *name, int64_t now_us)
{
    if (dn_outbox_waiting (&self->outbox) == 0)
        return;
    if (!dn_name_is_short (name) || now_us - self->oldest_us >= DN_WAITED_US)
        dn_lane_flush (self);
    else
        dn_outbox_defer (&self->outbox, DN_LATE_MS);
}

/*  Call denim._slot: new reference, or NULL with an exception. */
static PyObject *
call_run (dn_lane_t *self, PyObject *name, uint8_t codec, PyObject *frames)
{
    PyObject *returned = NULL;
    PyObject *number = PyLong_FromLong (codec);
    if (name && number)
        returned = PyObject_CallFunctionObjArgs (self->run, name, number, frames, NULL);
    Py_XDECREF (number);
    return returned;
}

static void
run_task (dn_lane_t *self, const dn_packet_t *packet, const dn_submit_t *submit)
{
    int64_t    began_us = dn_now_us ();
    dn_name_t *name = dn_names_find (&self->names, submit->task);
    flush_before (self, name, began_us);

    bool      small = packet->frames == 0 && submit->small.len;
    PyObject *frames = small ? take_small (submit->small) : take_frames (self, packet);
    if (!frames) {
        PyErr_Clear ();
        dn_lane_answer_text (self, DENIM_TOO_LARGE, "the slot has no memory for the arguments");
        return;
    }
    PyObject *text =
        name ? name->text : PyUnicode_DecodeUTF8 (submit->task.ptr, submit->task.len, "replace");
    look_at_signals (self); /* what is pending is not for this task */
    PyObject *returned = call_run (self, text, submit->codec, frames);
    if (self->lost_by_fork)
        leave_stray ("a child that a task had forked returned from the task, and was ended");
    dn_lane_answer (self, returned);
    Py_XDECREF (returned);
    Py_DECREF (frames);

    if (!name && text && self->hand.started)
        name = dn_names_add (&self->names, submit->task, text);
    if (name)
        dn_name_ran (name, dn_now_us () - began_us);
    if (!name || name->text != text)
        Py_XDECREF (text);
}

/*  ---- packets ---- */

/*  What came is done with: true to go on, false after STOP. */
static bool
handle (dn_lane_t *self, const dn_packet_t *packet, const uint8_t *header)
{
    dn_msg_t    msg;
    dn_submit_t submit;
    if (dn_msg_decode (&msg, W2S, header, packet->header_bytes) < 0)
        leave_stray ("a message that does not decode came from the supervisor");

    dn_inbox_begin (&self->inbox, packet);
    if (msg.kind == DN_MSG_RUN) {
        if (!open_hand (self, packet, &msg.u.run, &submit))
            leave_stray ("a task that does not decode came from the supervisor");
        dn_guard_expect (packet->number); /* before the supervisor can see that it is started */
        bool claimed = !self->page || dn_page_claim (self->page, packet->number);
        if (claimed)
            run_task (self, packet, &submit);
        dn_guard_disarm ();
        self->hand.open = false;
        if (claimed)
            return true; /* else it was taken back: not ours, and no answer */
    }
    take (self, NULL, packet->body_bytes - packet->header_bytes);
    return msg.kind != DN_MSG_STOP;
}

static void
loop (dn_lane_t *self)
{
    dn_packet_t    packet;
    const uint8_t *header;
    for (;;) {
        int rc = dn_inbox_next (&self->inbox, &packet, &header);
        if (rc < 0)
            leave_stray ("bytes that are no packet came from the supervisor");
        if (rc == 0) {
            dn_lane_flush (self);
            wait_for_input (self);
        } else if (!handle (self, &packet, header)) {
            dn_lane_flush (self);
            return;
        }
    }
}

/*  ---- signals ---- */

static void
trip (int signo)
{
    PyErr_SetInterruptEx (signo);
}

/*  Tell Python first, who then calls our method; the C handler, which knows whom it is meant for,
 *  goes in front of Python's. */
static int
install_guard (dn_lane_t *self)
{
    PyObject *signals = PyImport_ImportModule ("signal");
    PyObject *method = PyObject_GetAttrString ((PyObject *) self, "_on_signal");
    PyObject *rc =
        signals && method ? PyObject_CallMethod (signals, "signal", "iO", SIGUSR1, method) : NULL;
    Py_XDECREF (signals);
    Py_XDECREF (method);
    if (!rc)
        return -1;
    Py_DECREF (rc);
    if (dn_guard_install (trip) < 0 || dn_outbox_watch (&self->outbox) < 0) {
        PyErr_SetFromErrno (PyExc_OSError);
        return -1;
    }
    return 0;
}

PyObject *
dn_lane_serve (dn_lane_t *self, PyObject *run)
{
    if (self->serving || install_guard (self) < 0) {
        if (!PyErr_Occurred ())
            PyErr_SetString (PyExc_RuntimeError, "the channel is being served already");
        return NULL;
    }
    watch_forks (self);
    Py_INCREF (run);
    self->run = run;
    self->serving = true;
    loop (self);
    self->serving = false;
    dn_guard_ignore ();
    dn_outbox_unwatch (&self->outbox);
    Py_RETURN_NONE;
}

/*  Would it do harm to raise something in this frame? Without memory that is not known: no. */
static bool
frame_is_critical (const dn_lane_t *self, PyObject *frame)
{
    PyObject *code = (PyObject *) PyFrame_GetCode ((PyFrameObject *) frame);
    PyObject *name = PyObject_GetAttrString (code, "co_name");
    bool      critical = name && PyUnicode_CompareWithASCIIString (name, "__del__") == 0;
    for (Py_ssize_t i = 0; !critical && i < PyTuple_Size (self->critical); i++) {
        PyObject *itself, *place = PyTuple_GetItem (self->critical, i);
        long      begin, end;
        if (!PyArg_ParseTuple (place, "Oll", &itself, &begin, &end) || itself != code)
            continue;
        PyObject *at = PyObject_GetAttrString (frame, "f_lasti");
        long      last = at ? PyLong_AsLong (at) : begin;
        Py_XDECREF (at);
        critical = last < begin || last >= end;
    }
    PyErr_Clear ();
    Py_XDECREF (name);
    Py_DECREF (code);
    return critical;
}

/*  Or in one of those that it is called from? In C, where no signal comes in between. */
static bool
is_critical (const dn_lane_t *self, PyObject *innermost)
{
    bool      critical = false;
    PyObject *frame = innermost;
    Py_INCREF (frame);
    for (int i = 0; i < DN_STACK_LOOKED && frame && frame != Py_None && !critical; i++) {
        critical = frame_is_critical (self, frame);
        PyObject *caller = PyObject_GetAttrString (frame, "f_back");
        Py_DECREF (frame);
        frame = caller;
    }
    PyErr_Clear ();
    Py_XDECREF (frame);
    return critical;
}

/*  What is to be raised for a wish, as Python has it: new reference, None, or NULL. A signal that
 *  comes meanwhile asks nothing: if they came faster than this is answered, the questions would
 *  nest without end. */
static PyObject *
ask_for_error (dn_lane_t *self, dn_wish_t wish)
{
    self->asking = true;
    PyObject *error = PyObject_CallFunction (self->interrupt, "i", (int) wish);
    self->asking = false;
    return error;
}

/*  _on_signal (signo, frame). A wish that is put off is not taken: the guard's timer comes again.
 *  After a second it is raised all the same: whoever is there for so long waits there, and a
 *  finalizer that takes so long ends with it. */
PyObject *
dn_lane_on_signal (dn_lane_t *self, PyObject *args)
{
    PyObject *frame = PyTuple_Size (args) == 2 ? PyTuple_GetItem (args, 1) : Py_None;
    if (self->lost_by_fork || self->asking)
        Py_RETURN_NONE;
    if (self->hand.put_off < DN_PUT_OFF_MAX && is_critical (self, frame)) {
        self->hand.put_off++;
        Py_RETURN_NONE;
    }
    self->hand.put_off = 0;
    dn_wish_t wish = dn_guard_take ();
    if (wish == DN_WISH_NONE)
        Py_RETURN_NONE;
    self->hand.wish = wish;
    PyObject *error = ask_for_error (self, wish);
    if (error && error != Py_None) { /* raised from here, it brings no line of ours along */
        PyErr_SetObject ((PyObject *) Py_TYPE (error), error);
        Py_CLEAR (error);
    }
    return error;
}

static uint32_t
length_us (int64_t begin_us, int64_t end_us)
{
    int64_t us = end_us - begin_us;
    return us < 0 ? 0 : us < UINT32_MAX ? (uint32_t) us : UINT32_MAX;
}

/*  Between arm and disarm only the user's function runs: what the signal raises is raised in it,
 *  and comes out of it. After disarm no Python code runs before the caller has the value. */
PyObject *
dn_lane_call (dn_lane_t *self, PyObject *const *args, Py_ssize_t args_count)
{
    if (args_count != 3 || !self->hand.open || self->hand.started) {
        PyErr_SetString (PyExc_RuntimeError, "call (function, args, kwargs): once for a task");
        return NULL;
    }
    PyObject *positional = PySequence_Tuple (args[1]);
    if (!positional)
        return NULL;
    self->hand.started = true;
    int64_t began_us = dn_now_us ();
    dn_guard_arm ();
    PyObject *value = PyObject_Call (args[0], positional, args[2] == Py_None ? NULL : args[2]);
    dn_guard_disarm ();
    self->hand.run_us = length_us (began_us, dn_now_us ());
    self->hand.wait_us = length_us (self->hand.arrived_us, began_us);
    Py_DECREF (positional);
    return value;
}
