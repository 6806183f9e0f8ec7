/*  _denim_client.c - the Python extension: a handle on a connection
 *
 *  The fast way through keeps the GIL: submitting a small call and taking answers that are there
 *  cost less than letting go of it. Whatever waits, or copies much, lets go of it.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "_denim_request.h"

#include "io/address.h"
#include "lib/inquiry.h"
#include "lib/inside.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define RECV_MAX 256 /* replies taken in one go */

typedef struct {
    PyObject        ob_base;
    denim_client_t *client; /* owned; NULL: could not be made */
    bool            closed;
} client_t;

static denim_client_t *
client_of (PyObject *object)
{
    return ((client_t *) object)->client;
}

static dn_module_t *
module_of (PyObject *object)
{
    return PyType_GetModuleState (Py_TYPE (object));
}

/*  May the handle be used? -1 with an exception set otherwise. */
static int
check_open (PyObject *object)
{
    int error = 0;
    if (dn_client_forked (client_of (object)))
        error = DENIM_ERR_FORKED;
    else if (((client_t *) object)->closed)
        error = DENIM_ERR_CLOSED;
    if (!error)
        return 0;
    dn_raise (error);
    return -1;
}

static PyObject *
client_submit (PyObject *object, PyObject *const *args, Py_ssize_t nargs)
{
    dn_py_request_t request;
    int64_t         timeout_ms = -1;
    if (dn_args_count ("submit", nargs, 3, 13) < 0 || check_open (object) < 0)
        return NULL;
    if (nargs > 4 && dn_args_seconds (args[4], "timeout", &timeout_ms) < 0)
        return NULL;
    if (dn_request_init (&request, args, args + 5, nargs - 5) < 0)
        return NULL;

    PyObject *token = nargs > 3 ? args[3] : Py_None;
    Py_INCREF (token); /* the reply's, when there is one */
    request.options.take_later = true;
    request.options.tag = token;
    int64_t id = dn_request_try (&request, client_of (object));
    if (id == DENIM_ERR_WINDOW && timeout_ms)
        id = dn_request_insist (&request, client_of (object), dn_wait_point_ms (timeout_ms));
    dn_request_release (&request);
    if (id > 0)
        return PyLong_FromLongLong (id);
    Py_DECREF (token);
    return id == DENIM_ERR_WINDOW ? PyLong_FromLong (0) : dn_request_raise (id);
}

/*  ---- call ---- */

/*  Nobody wants the answer any more; keeps the exception that is set. */
static void
forget (PyObject *object, int64_t id)
{
    Py_BEGIN_ALLOW_THREADS denim_client_forget (client_of (object), id);
    Py_END_ALLOW_THREADS
}

static PyObject *
await_reply (PyObject *object, int64_t id)
{
    for (;;) {
        denim_reply_t         *reply;
        int                    error;
        int64_t                wait_ms = dn_wait_slice_ms (INT64_MAX);
        Py_BEGIN_ALLOW_THREADS reply = denim_client_wait (client_of (object), id, wait_ms, &error);
        Py_END_ALLOW_THREADS if (reply) return dn_reply_object (module_of (object)->reply, reply,
                                                                NULL);
        if (error != DENIM_ERR_TIMEOUT)
            return dn_raise (error);
        if (PyErr_CheckSignals () < 0) {
            forget (object, id);
            return NULL;
        }
    }
}

static PyObject *
client_call (PyObject *object, PyObject *const *args, Py_ssize_t nargs)
{
    dn_py_request_t request;
    if (dn_args_count ("call", nargs, 3, 11) < 0 || check_open (object) < 0)
        return NULL;
    if (dn_request_init (&request, args, args + 3, nargs - 3) < 0)
        return NULL;
    int64_t id = dn_request_try (&request, client_of (object));
    if (id == DENIM_ERR_WINDOW)
        id = dn_request_insist (&request, client_of (object), INT64_MAX);
    dn_request_release (&request);
    if (id > 0)
        return await_reply (object, id);
    if (id == DENIM_ERR_WINDOW) /* until its deadline */
        return dn_reply_object (module_of (object)->reply, NULL, NULL);
    return dn_request_raise (id);
}

/*  ---- answers ---- */

/*  Replies as a list, their tokens with them. Takes all of them. */
static PyObject *
make_list (PyTypeObject *type, denim_reply_t **replies, size_t count)
{
    PyObject *list = PyList_New ((Py_ssize_t) count);
    for (size_t i = 0; i < count; i++) {
        PyObject *token = denim_reply_tag (replies[i]);
        PyObject *reply = dn_reply_object (type, replies[i], token);
        if (list && reply)
            PyList_SetItem (list, (Py_ssize_t) i, reply); /* stolen */
        else
            Py_CLEAR (list);
        if (!list)
            Py_XDECREF (reply);
    }
    return list;
}

static PyObject *
client_recv (PyObject *object, PyObject *const *args, Py_ssize_t nargs)
{
    client_t      *self = (client_t *) object;
    denim_reply_t *replies[RECV_MAX];
    int64_t        timeout_ms;
    int            most;

    if (dn_args_count ("recv", nargs, 2, 2) < 0 || dn_args_int (args[0], "max", &most) < 0 ||
        dn_args_seconds (args[1], "timeout", &timeout_ms) < 0)
        return NULL;
    if (most < 1) {
        PyErr_SetString (PyExc_ValueError, "max must be 1 or more");
        return NULL;
    }
    if (dn_client_forked (self->client))
        return dn_raise (DENIM_ERR_FORKED);
    size_t  room = most < RECV_MAX ? (size_t) most : RECV_MAX;
    size_t  count = denim_client_recv_many (self->client, replies, room);
    int64_t until_ms = count || timeout_ms == 0 ? 0 : dn_wait_point_ms (timeout_ms);
    int64_t wait_ms;
    while (!count && !self->closed && until_ms && (wait_ms = dn_wait_slice_ms (until_ms)) > 0) {
        Py_BEGIN_ALLOW_THREADS count =
            denim_client_recv_wait (self->client, replies, room, wait_ms);
        Py_END_ALLOW_THREADS if (!count && PyErr_CheckSignals () < 0) return NULL;
    }
    if (!count && self->closed) /* it was closed while we waited: what came with that */
        count = denim_client_recv_many (self->client, replies, room);
    return make_list (module_of (object)->reply, replies, count);
}

static PyObject *
client_fileno (PyObject *object, PyObject *unused)
{
    (void) unused;
    if (((client_t *) object)->closed)
        return dn_raise (DENIM_ERR_CLOSED);
    return PyLong_FromLong (denim_client_fd (client_of (object)));
}

/*  ---- wishes and questions ---- */

static PyObject *
client_cancel (PyObject *object, PyObject *const *args, Py_ssize_t nargs)
{
    int64_t id;
    int     rc;
    if (dn_args_count ("cancel", nargs, 1, 2) < 0 || check_open (object) < 0 ||
        dn_args_id (args[0], &id) < 0)
        return NULL;
    int kill = nargs > 1 ? PyObject_IsTrue (args[1]) : 0;
    if (kill < 0)
        return NULL;
    Py_BEGIN_ALLOW_THREADS rc = denim_client_cancel (client_of (object), id, kill);
    Py_END_ALLOW_THREADS return PyBool_FromLong (rc == 1);
}

static PyObject *
client_running (PyObject *object, PyObject *arg)
{
    int64_t id;
    if (check_open (object) < 0 || dn_args_id (arg, &id) < 0)
        return NULL;
    return PyBool_FromLong (denim_client_running (client_of (object), id) == 1);
}

static PyObject *
client_progress (PyObject *object, PyObject *arg)
{
    int64_t          id;
    denim_progress_t progress;
    if (check_open (object) < 0 || dn_args_id (arg, &id) < 0)
        return NULL;
    if (denim_client_progress (client_of (object), id, &progress) != 1)
        Py_RETURN_NONE;
    PyObject *text =
        PyUnicode_DecodeUTF8 (progress.text, (Py_ssize_t) strlen (progress.text), "replace");
    if (!text)
        return NULL;
    return Py_BuildValue ("KKN", (unsigned long long) progress.done,
                          (unsigned long long) progress.total, text);
}

static PyObject *
client_status (PyObject *object, PyObject *arg)
{
    denim_client_t *client = client_of (object);
    int64_t         timeout_ms;
    int             error;
    bool            over = false;
    if (check_open (object) < 0 || dn_args_seconds (arg, "timeout", &timeout_ms) < 0)
        return NULL;
    dn_inquiry_t *inquiry = dn_inquiry_begin (client, "status", NULL, timeout_ms, &error);
    if (!inquiry)
        return dn_raise (error);
    while (!over && PyErr_CheckSignals () == 0) {
        int64_t                wait_ms = dn_wait_slice_ms (INT64_MAX);
        Py_BEGIN_ALLOW_THREADS over = dn_inquiry_wait (client, inquiry, wait_ms);
        Py_END_ALLOW_THREADS
    }
    char *answer = dn_inquiry_end (client, inquiry, &error);
    if (!over) {
        free (answer);
        return NULL; /* a signal handler raised */
    }
    if (!answer)
        return dn_raise (error);
    PyObject *text = PyUnicode_FromString (answer);
    free (answer);
    return text;
}

static PyObject *
client_info (PyObject *object, PyObject *unused)
{
    (void) unused;
    if (check_open (object) < 0)
        return NULL;
    json_t     *info = denim_client_info (client_of (object));
    PyObject   *dict = PyDict_New ();
    const char *key;
    json_t     *value;
    json_object_foreach (info, key, value)
    {
        PyObject *item = json_is_string (value) ? PyUnicode_FromString (json_string_value (value))
                                                : PyLong_FromLongLong (json_integer_value (value));
        if (!dict || !item || PyDict_SetItemString (dict, key, item) < 0)
            Py_CLEAR (dict);
        Py_XDECREF (item);
    }
    json_decref (info);
    if (!dict && !PyErr_Occurred ())
        PyErr_NoMemory ();
    return dict;
}

/*  ---- life ---- */

static PyObject *
client_dup (PyObject *object, PyObject *unused)
{
    (void) unused;
    if (check_open (object) < 0)
        return NULL;
    denim_client_t *client = denim_client_dup (client_of (object));
    if (!client)
        return dn_raise (DENIM_ERR_MEMORY);
    client_t *self = PyObject_New (client_t, Py_TYPE (object));
    if (!self) {
        denim_client_destroy (&client);
        return NULL;
    }
    self->client = client;
    self->closed = false;
    return (PyObject *) self;
}

static PyObject *
client_close (PyObject *object, PyObject *unused)
{
    client_t *self = (client_t *) object;
    (void) unused;
    self->closed = true;
    Py_BEGIN_ALLOW_THREADS denim_client_close (self->client);
    Py_END_ALLOW_THREADS   Py_RETURN_NONE;
}

/*  What nobody received still refers to its tokens. */
static void
drop_answers (denim_client_t *client)
{
    denim_reply_t *replies[RECV_MAX];
    size_t         count;
    while ((count = denim_client_recv_many (client, replies, RECV_MAX)) > 0)
        for (size_t i = 0; i < count; i++) {
            PyObject *token = denim_reply_tag (replies[i]);
            denim_reply_destroy (&replies[i]);
            Py_XDECREF (token);
        }
}

static void
client_dealloc (PyObject *object)
{
    client_t     *self = (client_t *) object;
    PyTypeObject *type = Py_TYPE (object);
    if (self->client) {
        Py_BEGIN_ALLOW_THREADS denim_client_close (self->client);
        Py_END_ALLOW_THREADS   drop_answers (self->client);
        denim_client_destroy (&self->client);
    }
    PyObject_Free (object);
    Py_DECREF (type);
}

/*  The sentence that quotes what is no address. */
static void
raise_address (const char *address)
{
    dn_address_t parsed;
    char         why[DN_WHY_MAX] = "";
    if (!address)
        address = getenv ("DENIM_MANAGER");
    dn_address_parse (&parsed, address ? address : "", DN_TO_CONNECT, why, sizeof why);
    PyErr_SetString (PyExc_ValueError, why);
}

static int
set_up (denim_client_t *client, int window, int64_t connect_timeout_ms, const char *name)
{
    if (denim_client_set_window (client, window) < 0) {
        PyErr_SetString (PyExc_ValueError, "window must be 1 to 1,000,000");
        return -1;
    }
    denim_client_set_connect_timeout (client, connect_timeout_ms);
    if (name && denim_client_set_name (client, name) < 0) {
        PyErr_SetString (PyExc_ValueError, "name must have 1 to 63 bytes");
        return -1;
    }
    return 0;
}

static PyObject *
client_new (PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"", "window", "connect_timeout", "name", NULL};
    const char  *address, *name = NULL;
    PyObject    *timeout = NULL;
    int          window = 1000, error;
    int64_t      connect_timeout_ms = 10000;

    if (!PyArg_ParseTupleAndKeywords (args, kwargs, "z|$iOz:Client", keywords, &address, &window,
                                      &timeout, &name))
        return NULL;
    if (timeout && dn_args_seconds (timeout, "connect_timeout", &connect_timeout_ms) < 0)
        return NULL;
    denim_client_t *client = denim_client_new (address, &error);
    if (!client && error == DENIM_ERR_ADDRESS)
        raise_address (address);
    else if (!client)
        dn_raise (error);
    if (!client || set_up (client, window, connect_timeout_ms, name) < 0) {
        denim_client_destroy (&client);
        return NULL;
    }
    client_t *self = PyObject_New (client_t, type);
    if (!self) {
        denim_client_destroy (&client);
        return NULL;
    }
    self->client = client;
    self->closed = false;
    return (PyObject *) self;
}

#define FAST(name) (PyCFunction) (void (*) (void)) name

static PyMethodDef client_methods[] = {
    {"dup", client_dup, METH_NOARGS, NULL},
    {"submit", FAST (client_submit), METH_FASTCALL, NULL},
    {"call", FAST (client_call), METH_FASTCALL, NULL},
    {"recv", FAST (client_recv), METH_FASTCALL, NULL},
    {"fileno", client_fileno, METH_NOARGS, NULL},
    {"cancel", FAST (client_cancel), METH_FASTCALL, NULL},
    {"running", client_running, METH_O, NULL},
    {"progress", client_progress, METH_O, NULL},
    {"status", client_status, METH_O, NULL},
    {"info", client_info, METH_NOARGS, NULL},
    {"close", client_close, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot client_slots[] = {
    {Py_tp_doc, "One handle on a connection to a manager."},
    {Py_tp_new, client_new},
    {Py_tp_dealloc, client_dealloc},
    {Py_tp_methods, client_methods},
    {0, NULL},
};

PyType_Spec dn_client_spec = {
    .name = "denim._denim.Client",
    .basicsize = sizeof (client_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = client_slots,
};
