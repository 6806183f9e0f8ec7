/*  module.c - denim._channel: the C half of a slot, for denim._slot
 *
 *  Built for the limited API of 3.11, so one file serves every later CPython.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "slot/lane.h"

#include "slot/birth.h"

#include "denim.h"

/*  settle (parent, is_zygote): tie the process to its parent and prepare it. False: the parent has
 *  died already. Raises OSError when it has not the descriptors that it should have. */
static PyObject *
settle (PyObject *module, PyObject *args)
{
    (void) module;
    int parent, is_zygote;
    if (!PyArg_ParseTuple (args, "ip", &parent, &is_zygote))
        return NULL;
    bool follows = dn_birth_follow ((pid_t) parent);
    dn_guard_ignore ();
    dn_birth_settle (is_zygote ? "denim-zygote" : "denim-slot");
    if (!is_zygote)
        dn_birth_offer_to_oom ();
    if (dn_birth_reserve (!is_zygote) < 0)
        return PyErr_SetFromErrno (PyExc_OSError);
    return PyBool_FromLong (follows);
}

static PyMethodDef functions[] = {
    {"settle", settle, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static int
execute (PyObject *module)
{
    PyObject *type = dn_lane_type (module);
    if (!type)
        return -1;
    int rc = PyModule_AddObjectRef (module, "Channel", type);
    Py_DECREF (type);
#define X(number, name, text)                                                                      \
    if (rc == 0)                                                                                   \
        rc = PyModule_AddIntConstant (module, #name, number);
    DENIM_OUTCOME_MAP (X)
#undef X
    if (rc == 0)
        rc = PyModule_AddIntConstant (module, "WISH_LIMIT", DN_WISH_LIMIT);
    if (rc == 0)
        rc = PyModule_AddIntConstant (module, "WISH_CANCEL", DN_WISH_CANCEL);
    return rc;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, execute},
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "denim._channel",
    .m_doc = "A slot's end of its channel. For denim._slot alone.",
    .m_methods = functions,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__channel (void);

/*  The one symbol that is seen from outside. */
__attribute__ ((visibility ("default"))) PyObject *
PyInit__channel (void)
{
    return PyModuleDef_Init (&definition);
}
