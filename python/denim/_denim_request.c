/*  _denim_request.c - the Python extension: a call that is asked for
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "_denim_request.h"

#include "io/process.h"
#include "lib/inside.h"

#include <stddef.h>
#include <string.h>

#define COPY_UNDER_GIL_BYTES 65536 /* larger payloads are copied without the GIL */

void
dn_request_release (dn_py_request_t *self)
{
    for (size_t i = 0; i < self->frames_count; i++)
        PyBuffer_Release (&self->views[i]);
    self->frames_count = 0;
}

static int
request_add_frame (dn_py_request_t *self, PyObject *frame)
{
    Py_buffer *view = &self->views[self->frames_count];
    if (!frame || PyObject_GetBuffer (frame, view, PyBUF_SIMPLE) < 0)
        return -1;
    self->frames[self->frames_count].bytes = view->buf;
    self->frames[self->frames_count].frame_bytes = (size_t) view->len;
    self->payload_bytes += (size_t) view->len;
    self->frames_count++;
    return 0;
}

static int
request_set_list (dn_py_request_t *self, PyObject *list)
{
    Py_ssize_t count = PyList_Size (list);
    if (count < 1 || count > DN_PY_FRAMES_MAX) {
        PyErr_SetString (PyExc_ValueError, "a payload has 1 to 64 frames");
        return -1;
    }
    for (Py_ssize_t i = 0; i < count; i++)
        if (request_add_frame (self, PyList_GetItem (list, i)) < 0) /* borrowed */
            return -1;
    return 0;
}

static int
request_set_frames (dn_py_request_t *self, PyObject *frames)
{
    if (PyList_Check (frames))
        return request_set_list (self, frames);
    if (!PySequence_Check (frames) || PyBytes_Check (frames) || PyUnicode_Check (frames)) {
        PyErr_SetString (PyExc_TypeError, "frames must be a sequence of buffers");
        return -1;
    }
    PyObject *list = PySequence_List (frames);
    if (!list)
        return -1;
    int rc = request_set_list (self, list);
    Py_DECREF (list);
    return rc;
}

/*  Of a call that a task makes: depth, parent. The bytes are borrowed. */
static int
request_set_nesting (dn_py_request_t *self, PyObject *const *args, Py_ssize_t nargs)
{
    denim_options_t *options = &self->options;
    if (nargs > 0) {
        if (dn_args_int (args[0], "depth", &options->depth) < 0)
            return -1;
        if (options->depth < 0 || options->depth > UINT8_MAX) {
            PyErr_SetString (PyExc_ValueError, "depth must be 0 to 255");
            return -1;
        }
    }
    if (nargs > 1 && args[1] != Py_None) {
        if (!PyBytes_Check (args[1])) {
            PyErr_SetString (PyExc_TypeError, "parent must be bytes or None");
            return -1;
        }
        if (PyBytes_Size (args[1]) != DENIM_PARENT_BYTES) {
            PyErr_Format (PyExc_ValueError, "parent must have %d bytes", DENIM_PARENT_BYTES);
            return -1;
        }
        options->parent = PyBytes_AsString (args[1]);
    }
    return 0;
}

/*  From `service` on: service, deadline, soft_limit, hard_limit, priority, idempotent, depth,
 *  parent. */
static int
request_set_options (dn_py_request_t *self, PyObject *const *args, Py_ssize_t nargs)
{
    denim_options_t *options = &self->options;
    if (nargs > 0 && args[0] != Py_None) {
        options->service = dn_args_text (args[0], "service");
        if (!options->service)
            return -1;
    }
    if (nargs > 1 && dn_args_limit (args[1], "deadline", &options->deadline_ms) < 0)
        return -1;
    if (nargs > 2 && dn_args_limit (args[2], "soft_limit", &options->soft_limit_ms) < 0)
        return -1;
    if (nargs > 3 && dn_args_limit (args[3], "hard_limit", &options->hard_limit_ms) < 0)
        return -1;
    options->priority = DENIM_PRIORITY_NORMAL + 1;
    if (nargs > 4) {
        int priority;
        if (dn_args_int (args[4], "priority", &priority) < 0)
            return -1;
        if (priority < DENIM_PRIORITY_HIGH || priority > DENIM_PRIORITY_LOW) {
            PyErr_SetString (PyExc_ValueError, "priority is one of PRIORITIES");
            return -1;
        }
        options->priority = priority + 1;
    }
    int idempotent = nargs > 5 ? PyObject_IsTrue (args[5]) : 0;
    options->idempotent = idempotent > 0;
    return idempotent < 0 ? -1 : request_set_nesting (self, args + 6, nargs - 6);
}

/*  Read task, frames and codec, and the options behind them. */
int
dn_request_init (dn_py_request_t *self, PyObject *const *args, PyObject *const *options,
                 Py_ssize_t noptions)
{
    int codec;
    memset (self, 0, offsetof (dn_py_request_t, frames));
    self->task = dn_args_text (args[0], "task");
    if (!self->task || dn_args_int (args[2], "codec", &codec) < 0)
        return -1;
    if (codec != DENIM_CODEC_JSON && codec != DENIM_CODEC_PICKLE) {
        PyErr_SetString (PyExc_ValueError, "codec is one of CODECS");
        return -1;
    }
    self->options.codec = codec;
    if (request_set_options (self, options, noptions) < 0)
        return -1;
    int64_t deadline_ms = self->options.deadline_ms;
    self->until_ms = deadline_ms ? dn_wait_point_ms (deadline_ms) : INT64_MAX;
    if (request_set_frames (self, args[1]) == 0)
        return 0;
    dn_request_release (self);
    return -1;
}

/*  One try, without waiting: its id, or a denim_error_t. */
int64_t
dn_request_try (dn_py_request_t *self, denim_client_t *client)
{
    int64_t id;
    if (self->payload_bytes <= COPY_UNDER_GIL_BYTES)
        return denim_client_submit_frames (client, self->task, self->frames, self->frames_count,
                                           &self->options, 0);
    Py_BEGIN_ALLOW_THREADS id = denim_client_submit_frames (client, self->task, self->frames,
                                                            self->frames_count, &self->options, 0);
    Py_END_ALLOW_THREADS return id;
}

/*  Wait for room in the window and try again, until then at most. A denim_error_t, DENIM_ERR_WINDOW
 *  when time is over, DENIM_ERR_INTERRUPTED with an exception set; or the id. */
int64_t
dn_request_insist (dn_py_request_t *self, denim_client_t *client, int64_t until_ms)
{
    int64_t id = DENIM_ERR_WINDOW;
    if (self->until_ms < until_ms)
        until_ms = self->until_ms;
    while (id == DENIM_ERR_WINDOW) {
        int64_t wait_ms = dn_wait_slice_ms (until_ms);
        int     rc;
        if (wait_ms == 0)
            return DENIM_ERR_WINDOW;
        Py_BEGIN_ALLOW_THREADS rc = dn_client_await_room (client, wait_ms);
        Py_END_ALLOW_THREADS if (PyErr_CheckSignals () < 0) return DENIM_ERR_INTERRUPTED;
        if (rc != 0 && rc != DENIM_ERR_WINDOW)
            return rc;
        if (self->until_ms != INT64_MAX) {
            int64_t left_ms = self->until_ms - dn_process_now_ms ();
            self->options.deadline_ms = left_ms > 0 ? left_ms : 1;
        }
        id = dn_request_try (self, client);
    }
    return id;
}

/*  The exception for a call that could not be made; returns NULL. */
PyObject *
dn_request_raise (int64_t error)
{
    if (error == DENIM_ERR_INTERRUPTED)
        return NULL;
    if (error != DENIM_ERR_ARGUMENT)
        return dn_raise ((int) error);
    PyErr_SetString (PyExc_ValueError, "a task is named MODULE:FUNCTION, of 1 to 255 bytes; "
                                       "its service, of 1 to 127 bytes, is MODULE if not given");
    return NULL;
}
