/*  lane.c - the Python object of a channel: making it, and what a slot says over it
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "slot/lane.h"

#include "slot/birth.h"
#include "slot/zygote.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define ROW_MAX 160 /* bytes of an encoded service */

static dn_lane_t *
cast (PyObject *self)
{
    return (dn_lane_t *) self;
}

/*  ---- making ---- */

/*  Channel (payload_max=0, has_page=True, worker="", host=""): of the descriptors that were
 *  inherited. */
static PyObject *
channel_new (PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char       *names[] = {"payload_max", "has_page", "worker", "host", NULL};
    unsigned long long payload_max = 0;
    int                has_page = 1;
    const char        *worker = "", *host = "";
    if (!PyArg_ParseTupleAndKeywords (args, kwargs, "|Kpss", names, &payload_max, &has_page,
                                      &worker, &host))
        return NULL;
    PyObject *object = PyType_GenericAlloc (type, 0);
    if (!object)
        return NULL;
    dn_lane_t *self = cast (object);
    uint64_t   body_max = payload_max ? payload_max + DN_HEADER_MAX : UINT64_MAX;
    self->payload_max = payload_max;
    snprintf (self->worker, sizeof self->worker, "%s", worker);
    snprintf (self->host, sizeof self->host, "%s", host);
    self->outbox.fd = -1;
    if (has_page && !(self->page = dn_birth_map_page ())) {
        PyErr_SetFromErrno (PyExc_OSError);
        Py_DECREF (object);
        return NULL;
    }
    if (dn_inbox_init (&self->inbox, DN_FD_CHANNEL, body_max) < 0 ||
        dn_outbox_init (&self->outbox, DN_FD_CHANNEL) < 0 || dn_names_init (&self->names) < 0) {
        Py_DECREF (object);
        return PyErr_NoMemory ();
    }
    return object;
}

static void
channel_dealloc (PyObject *object)
{
    dn_lane_t    *self = cast (object);
    PyTypeObject *type = Py_TYPE (object);
    dn_inbox_close (&self->inbox);
    if (self->outbox.fd >= 0)
        dn_outbox_close (&self->outbox);
    dn_names_close (&self->names);
    Py_CLEAR (self->run);
    Py_CLEAR (self->interrupt);
    Py_CLEAR (self->critical);
    PyObject_Free (object);
    Py_DECREF (type);
}

/*  ---- what a slot says ---- */

static int
encode_services (PyObject *services, dn_rows_t *rows)
{
    Py_ssize_t n = PyList_Size (services);
    if (n < 0)
        return -1;
    rows->bytes_max = (size_t) n * ROW_MAX + 1;
    rows->bytes = PyMem_Malloc (rows->bytes_max);
    if (!rows->bytes) {
        PyErr_NoMemory ();
        return -1;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        Py_ssize_t  name_bytes;
        const char *name = PyUnicode_AsUTF8AndSize (PyList_GetItem (services, i), &name_bytes);
        if (!name)
            return -1;
        dn_row_service_t row = {dn_str (name)};
        int              rc = dn_rows_put (rows, DN_ROW_SERVICE, &row);
        if (rc < 0) {
            PyErr_Format (PyExc_ValueError, "%.200s: %s", name, dn_wire_strerror (rc));
            return -1;
        }
    }
    return 0;
}

/*  ready (threads, python, executable, library, services) */
static PyObject *
channel_ready (PyObject *self, PyObject *args)
{
    unsigned int threads;
    const char  *python, *executable, *library;
    PyObject    *services;
    if (!PyArg_ParseTuple (args, "IsssO", &threads, &python, &executable, &library, &services))
        return NULL;
    dn_rows_t rows = {0};
    int       rc = encode_services (services, &rows);
    if (rc == 0) {
        dn_msg_t msg = {.kind = DN_MSG_READY};
        msg.u.ready.pid = (uint32_t) getpid ();
        msg.u.ready.threads = threads;
        msg.u.ready.python = dn_str (python);
        msg.u.ready.executable = dn_str (executable);
        msg.u.ready.library = dn_str (library);
        msg.u.ready.services = dn_rows_list (&rows);
        rc = dn_lane_say (cast (self), &msg, NULL);
    }
    PyMem_Free (rows.bytes);
    if (rc < 0)
        return NULL;
    Py_RETURN_NONE;
}

/*  failed (module, text, traceback) */
static PyObject *
channel_failed (PyObject *self, PyObject *args)
{
    const char *module, *text, *traceback;
    if (!PyArg_ParseTuple (args, "sss", &module, &text, &traceback))
        return NULL;
    dn_msg_t msg = {.kind = DN_MSG_FAILED};
    msg.u.failed.module = dn_str (module);
    msg.u.failed.text = dn_str (text);
    struct iovec payload = {(void *) (uintptr_t) traceback, strlen (traceback)};
    if (dn_lane_say (cast (self), &msg, &payload) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static void
say_progress (dn_lane_t *self, const dn_msg_t *msg)
{
    uint8_t     header[DN_HEADER_SMALL];
    dn_packet_t packet = {.header_bytes = (uint32_t) dn_msg_encode (msg, header, sizeof header)};
    if (!dn_outbox_try_enter (&self->outbox))
        return; /* another thread is sending: the next one will say more */
    dn_outbox_put_loose (&self->outbox, &packet, header);
    dn_outbox_defer (&self->outbox, DN_PROGRESS_MS);
    dn_outbox_leave (&self->outbox);
}

/*  progress (done, total, text): nothing outside of a task. What comes soon after another replaces
 *  it, if that still waits, so it may be said as often as the task likes. */
static PyObject *
channel_progress (PyObject *object, PyObject *args)
{
    dn_lane_t         *self = cast (object);
    unsigned long long done, total;
    const char        *text;
    if (!PyArg_ParseTuple (args, "KKs", &done, &total, &text))
        return NULL;
    if (!dn_lane_has_task (self))
        Py_RETURN_NONE;

    dn_msg_t msg = {.kind = DN_MSG_PROGRESS};
    msg.u.progress.session = self->hand.session;
    msg.u.progress.seq = self->hand.seq;
    msg.u.progress.attempt = self->hand.attempt;
    msg.u.progress.done = done;
    msg.u.progress.total = total;
    msg.u.progress.text = dn_str (text);
    if (msg.u.progress.text.len > 255)
        msg.u.progress.text.len = 255;
    int64_t now_us = dn_now_us ();
    if (now_us - self->progress_us < DN_PROGRESS_MS * 1000) {
        say_progress (self, &msg);
        Py_RETURN_NONE;
    }
    self->progress_us = now_us;
    if (dn_lane_say (self, &msg, NULL) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/*  The number of the task that waits; 0: none is in hand. */
static uint32_t
begin_wait (dn_lane_t *self)
{
    if (!dn_lane_has_task (self))
        return 0;
    uint32_t number = self->hand.number;
    self->hand.waits++;
    dn_lane_tell_wait (self);
    return number;
}

/*  A thread that a task has left behind says nothing of the task that is in hand now. */
static void
end_wait (dn_lane_t *self, uint32_t number)
{
    if (!dn_lane_has_task (self) || self->hand.number != number)
        return;
    self->hand.waits--;
    dn_lane_tell_wait (self);
}

/*  wait (function, *args, **kwargs): what a signal raises is raised in the function or after it, so
 *  beginning and end are a pair, unless the task has ended meanwhile: then its count has, too.
 *  Which task has started the thread is not known: it counts for the one in hand when its wait
 *  begins. */
static PyObject *
channel_wait (PyObject *object, PyObject *args, PyObject *kwargs)
{
    dn_lane_t *self = cast (object);
    if (PyTuple_Size (args) < 1) {
        PyErr_SetString (PyExc_TypeError, "wait (function, *args, **kwargs)");
        return NULL;
    }
    PyObject *rest = PyTuple_GetSlice (args, 1, PyTuple_Size (args));
    if (!rest)
        return NULL;
    uint32_t  number = begin_wait (self);
    PyObject *value = PyObject_Call (PyTuple_GetItem (args, 0), rest, kwargs);
    end_wait (self, number);
    Py_DECREF (rest);
    return value;
}

/*  ---- what is asked of it ---- */

/*  task (): (parent, depth, priority) of the task in hand, or None. `parent` is SUBMIT's. */
static PyObject *
channel_task (PyObject *object, PyObject *ignored)
{
    (void) ignored;
    const dn_hand_t *hand = &cast (object)->hand;
    if (!dn_lane_has_task (cast (object)))
        Py_RETURN_NONE;
    uint8_t parent[sizeof hand->session.bytes + 8];
    memcpy (parent, hand->session.bytes, sizeof hand->session.bytes);
    for (unsigned i = 0; i < 8; i++)
        parent[sizeof hand->session.bytes + i] = (uint8_t) (hand->seq >> (56 - 8 * i));
    PyObject *bytes = PyBytes_FromStringAndSize ((const char *) parent, sizeof parent);
    PyObject *result = bytes ? Py_BuildValue ("Oii", bytes, hand->depth, hand->priority) : NULL;
    Py_XDECREF (bytes);
    return result;
}

/*  wish (): what was raised in the task in hand by a signal: 0 nothing, 1 its soft limit, 2 a
 *  cancel. */
static PyObject *
channel_wish (PyObject *self, PyObject *ignored)
{
    (void) ignored;
    return PyLong_FromLong ((long) cast (self)->hand.wish);
}

static PyObject *
channel_call (PyObject *self, PyObject *const *args, Py_ssize_t args_count)
{
    return dn_lane_call (cast (self), args, args_count);
}

static PyObject *
channel_on_signal (PyObject *self, PyObject *args)
{
    return dn_lane_on_signal (cast (self), args);
}

/*  serve (run, interrupt, critical) */
static PyObject *
channel_serve (PyObject *object, PyObject *args)
{
    dn_lane_t *self = cast (object);
    PyObject  *run, *interrupt, *critical;
    if (!PyArg_ParseTuple (args, "OOO!", &run, &interrupt, &PyTuple_Type, &critical))
        return NULL;
    Py_INCREF (interrupt);
    Py_XDECREF (self->interrupt);
    self->interrupt = interrupt;
    Py_INCREF (critical);
    Py_XDECREF (self->critical);
    self->critical = critical;
    return dn_lane_serve (self, run);
}

/*  zygote (): the number of the slot, in each child; None in the zygote, when it is to end. */
static PyObject *
channel_zygote (PyObject *object, PyObject *ignored)
{
    (void) ignored;
    dn_lane_t *self = cast (object);
    uint32_t   slot;
    switch (dn_zygote_run (&self->inbox, &self->outbox, &slot)) {
    case DN_ZYGOTE_CHILD: return PyLong_FromUnsignedLong (slot);
    case DN_ZYGOTE_ERROR: return NULL;
    case DN_ZYGOTE_END: break;
    }
    Py_RETURN_NONE;
}

/*  ---- the type ---- */

#define CAST(function) ((PyCFunction) (void (*) (void)) (function))

static PyMethodDef methods[] = {
    {"ready", channel_ready, METH_VARARGS, NULL},
    {"failed", channel_failed, METH_VARARGS, NULL},
    {"progress", channel_progress, METH_VARARGS, NULL},
    {"wait", CAST (channel_wait), METH_VARARGS | METH_KEYWORDS, NULL},
    {"task", channel_task, METH_NOARGS, NULL},
    {"wish", channel_wish, METH_NOARGS, NULL},
    {"call", CAST (channel_call), METH_FASTCALL, NULL},
    {"serve", channel_serve, METH_VARARGS, NULL},
    {"zygote", channel_zygote, METH_NOARGS, NULL},
    {"_on_signal", channel_on_signal, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "A slot's end of the socketpair to its supervisor."},
    {Py_tp_new, channel_new},
    {Py_tp_dealloc, channel_dealloc},
    {Py_tp_methods, methods},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "denim._channel.Channel",
    .basicsize = sizeof (dn_lane_t),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = slots,
};

PyObject *
dn_lane_type (PyObject *module)
{
    return PyType_FromModuleAndSpec (module, &spec, NULL);
}
