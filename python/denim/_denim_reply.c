/*  _denim_reply.c - the Python extension: a reply and the memory of its frames
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "_denim.h"

#include "lib/inside.h"

#include <string.h>

/*  Frames shorter than this are copied: that is cheaper than a view's own object, and what ZeroMQ
 *  hands out of its read buffer (8 KiB) is aligned to nothing. */
#define COPIED_BYTES 8192

/*  ---- the memory of a frame ---- */

typedef struct {
    PyObject  ob_base;
    zmq_msg_t bytes;
} frame_t;

static int
frame_getbuffer (PyObject *object, Py_buffer *view, int flags)
{
    frame_t *self = (frame_t *) object;
    return PyBuffer_FillInfo (view, object, zmq_msg_data (&self->bytes),
                              (Py_ssize_t) zmq_msg_size (&self->bytes), 0, flags);
}

static void
frame_dealloc (PyObject *object)
{
    PyTypeObject *type = Py_TYPE (object);
    zmq_msg_close (&((frame_t *) object)->bytes);
    PyObject_Free (object);
    Py_DECREF (type);
}

static PyType_Slot frame_slots[] = {
    {Py_tp_dealloc, frame_dealloc},
    {Py_bf_getbuffer, frame_getbuffer},
    {0, NULL},
};

PyType_Spec dn_frame_spec = {
    .name = "denim._denim._Frame",
    .basicsize = sizeof (frame_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = frame_slots,
};

/*  ---- the reply ---- */

typedef struct {
    PyObject       ob_base;
    denim_reply_t *reply;  /* owned; NULL: the call did not get into the window */
    PyObject      *token;  /* NULL: None */
    PyObject      *frames; /* NULL: nobody has asked for them */
} reply_t;

PyObject *
dn_reply_object (PyTypeObject *type, denim_reply_t *reply, PyObject *token)
{
    reply_t *self = PyObject_New (reply_t, type);
    if (!self) {
        denim_reply_destroy (&reply);
        Py_XDECREF (token);
        return NULL;
    }
    self->reply = reply;
    self->token = token;
    self->frames = NULL;
    return (PyObject *) self;
}

static void
reply_dealloc (PyObject *object)
{
    reply_t      *self = (reply_t *) object;
    PyTypeObject *type = Py_TYPE (object);
    denim_reply_destroy (&self->reply);
    Py_XDECREF (self->token);
    Py_XDECREF (self->frames);
    PyObject_Free (object);
    Py_DECREF (type);
}

static PyObject *
get_token (PyObject *object, void *closure)
{
    reply_t *self = (reply_t *) object;
    (void) closure;
    PyObject *token = self->token ? self->token : Py_None;
    Py_INCREF (token);
    return token;
}

/*  A view of one frame: of a copy, or of the frame itself, taken out of the reply. */
static PyObject *
make_view (reply_t *self, size_t index, PyTypeObject *frame_type)
{
    size_t      frame_bytes;
    const void *bytes = denim_reply_frame (self->reply, index, &frame_bytes);
    PyObject   *memory;
    if (frame_bytes < COPIED_BYTES) {
        memory = PyByteArray_FromStringAndSize (bytes, (Py_ssize_t) frame_bytes);
    } else {
        memory = (PyObject *) PyObject_New (frame_t, frame_type);
        if (memory)
            dn_reply_take_frame (self->reply, index, &((frame_t *) memory)->bytes);
    }
    if (!memory)
        return NULL;
    PyObject *view = PyMemoryView_FromObject (memory);
    Py_DECREF (memory);
    return view;
}

static PyObject *
get_frames (PyObject *object, void *closure)
{
    reply_t *self = (reply_t *) object;
    (void) closure;
    if (!self->frames) {
        dn_module_t *module = PyType_GetModuleState (Py_TYPE (object));
        size_t       count = self->reply ? denim_reply_frames (self->reply) : 0;
        PyObject    *frames = PyList_New ((Py_ssize_t) count);
        if (!frames)
            return NULL;
        for (size_t i = 0; i < count; i++) {
            PyObject *view = make_view (self, i, module->frame);
            if (!view) {
                Py_DECREF (frames);
                return NULL;
            }
            PyList_SetItem (frames, (Py_ssize_t) i, view); /* stolen */
        }
        self->frames = frames;
    }
    Py_INCREF (self->frames);
    return self->frames;
}

static PyObject *
get_text (PyObject *object, void *closure)
{
    const denim_reply_t *reply = ((reply_t *) object)->reply;
    const char *(*get) (const denim_reply_t *) = NULL;
    memcpy (&get, closure, sizeof get);
    const char *text = reply ? get (reply) : "";
    return PyUnicode_DecodeUTF8 (text, (Py_ssize_t) strlen (text), "replace");
}

typedef const char *(text_fn) (const denim_reply_t *);
static text_fn *text_of = denim_reply_text;
static text_fn *worker_of = denim_reply_worker;
static text_fn *host_of = denim_reply_host;

/*  Numbers: how to get one, and what it is for a call that did not get into the window. */
typedef struct {
    int (*get) (const denim_reply_t *);
    int64_t (*get_long) (const denim_reply_t *);
    bool (*get_bool) (const denim_reply_t *);
    long unsent;
} number_t;

static number_t number_id = {.get_long = denim_reply_id};
static number_t number_outcome = {.get = denim_reply_outcome, .unsent = DENIM_REJECTED};
static number_t number_reason = {.get = denim_reply_reason, .unsent = DENIM_REASON_WINDOW_FULL};
static number_t number_codec = {.get = denim_reply_codec, .unsent = DENIM_CODEC_JSON};
static number_t number_signal = {.get = denim_reply_signal};
static number_t number_exit_code = {.get = denim_reply_exit_code, .unsent = -1};
static number_t number_oom = {.get_bool = denim_reply_oom};
static number_t number_started = {.get_bool = denim_reply_started};
static number_t number_attempts = {.get = denim_reply_attempts};
static number_t number_run_us = {.get_long = denim_reply_run_us};
static number_t number_wait_us = {.get_long = denim_reply_wait_us};

static PyObject *
get_number (PyObject *object, void *closure)
{
    const denim_reply_t *reply = ((reply_t *) object)->reply;
    const number_t      *number = closure;
    if (number->get_bool)
        return PyBool_FromLong (reply ? number->get_bool (reply) : 0);
    if (!reply)
        return PyLong_FromLong (number->unsent);
    if (number->get_long)
        return PyLong_FromLongLong (number->get_long (reply));
    return PyLong_FromLong (number->get (reply));
}

static PyGetSetDef reply_getset[] = {
    {"token", get_token, NULL, NULL, NULL},
    {"id", get_number, NULL, NULL, &number_id},
    {"outcome", get_number, NULL, NULL, &number_outcome},
    {"reason", get_number, NULL, NULL, &number_reason},
    {"text", get_text, NULL, NULL, &text_of},
    {"codec", get_number, NULL, NULL, &number_codec},
    {"frames", get_frames, NULL, NULL, NULL},
    {"worker", get_text, NULL, NULL, &worker_of},
    {"host", get_text, NULL, NULL, &host_of},
    {"signal", get_number, NULL, NULL, &number_signal},
    {"exit_code", get_number, NULL, NULL, &number_exit_code},
    {"oom", get_number, NULL, NULL, &number_oom},
    {"started", get_number, NULL, NULL, &number_started},
    {"attempts", get_number, NULL, NULL, &number_attempts},
    {"run_us", get_number, NULL, NULL, &number_run_us},
    {"wait_us", get_number, NULL, NULL, &number_wait_us},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyObject *
reply_repr (PyObject *object)
{
    const denim_reply_t *reply = ((reply_t *) object)->reply;
    int                  outcome = reply ? denim_reply_outcome (reply) : DENIM_REJECTED;
    long long            id = reply ? denim_reply_id (reply) : 0;
    return PyUnicode_FromFormat ("<denim._denim.Reply %lld %s>", id, denim_outcome_name (outcome));
}

static PyType_Slot reply_slots[] = {
    {Py_tp_doc, "How one call ended."},
    {Py_tp_dealloc, reply_dealloc},
    {Py_tp_getset, reply_getset},
    {Py_tp_repr, reply_repr},
    {0, NULL},
};

PyType_Spec dn_reply_spec = {
    .name = "denim._denim.Reply",
    .basicsize = sizeof (reply_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = reply_slots,
};
