/*  _denim.h - the Python extension: what its files share
 *
 *  libdenim for Python, as _denim.pyi says. It moves bytes and has no opinions: what a payload means and
 *  which exception an outcome becomes is decided in Python. Limited API of CPython 3.11, multi-phase
 *  initialisation, heap types; whatever waits releases the GIL and lets signal handlers run every
 *  50 ms. References are new unless a comment says "borrowed" or "stolen".
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

#endif
