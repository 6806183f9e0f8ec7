/*  _denim.h - the Python extension: what its files share
 *
 *  libdenim for Python, as _denim.pyi says. It moves bytes and has no opinions: what a payload
 *  means and which exception an outcome becomes is decided in Python. Limited API of CPython 3.11,
 *  multi-phase initialisation, heap types; whatever waits releases the GIL and lets signal handlers
 *  run every 50 ms. References are new unless a comment says "borrowed" or "stolen".
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_DENIM_PY_H
#define DN_DENIM_PY_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "denim.h"

/*  Types of one copy of the module; owned by it. */
typedef struct {
    PyTypeObject *client;
    PyTypeObject *reply;
    PyTypeObject *frame; /* memory of a frame, under a memoryview; not exported */
} dn_module_t;

extern PyType_Spec dn_client_spec;
extern PyType_Spec dn_reply_spec;
extern PyType_Spec dn_frame_spec;

/*  A Reply. Takes `reply` (NULL: one of a call that did not get into the window) and steals `token`
 *  (NULL: None), also when it fails. */
PyObject *dn_reply_object (PyTypeObject *type, denim_reply_t *reply, PyObject *token);

/*  Set the exception for a denim_error_t; returns NULL. */
PyObject *dn_raise (int error);

/*  ---- arguments: 0 or a value, or -1 or NULL with an exception set ---- */

/*  Seconds as milliseconds, rounded up; -1 for None. */
int dn_args_seconds (PyObject *object, const char *name, int64_t *ms);

/*  The same for a deadline or limit of a call, where 0 is "none": 0 s becomes the shortest one. */
int dn_args_limit (PyObject *object, const char *name, int64_t *ms);

/*  Borrowed from the string. */
const char *dn_args_text (PyObject *object, const char *name);

int dn_args_int (PyObject *object, const char *name, int *number);

/*  An id; one that cannot be one is -1, which no call has. */
int dn_args_id (PyObject *object, int64_t *id);

/*  Are there so many? */
int dn_args_count (const char *name, Py_ssize_t nargs, Py_ssize_t least, Py_ssize_t most);

/*  ---- waiting ---- */

/*  The point that is `timeout_ms` from now; INT64_MAX for a negative one. */
int64_t dn_wait_point_ms (int64_t timeout_ms);

/*  How long to wait before signals are looked at again: until then at most, 0 when it has come. */
int64_t dn_wait_slice_ms (int64_t until_ms);

#endif
