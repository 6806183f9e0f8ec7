/*  _denim.c - the Python extension: the module and its tables
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "_denim.h"

typedef struct {
    const char *name;
    long        number;
} row_t;

static const row_t outcomes[] = {
#define X(number, name, text) {#name, number},
    DENIM_OUTCOME_MAP (X)
#undef X
        {NULL, 0}};

static const row_t reasons[] = {
#define X(number, name, retried, text) {#name, number},
    DENIM_REASON_MAP (X)
#undef X
        {NULL, 0}};

static const row_t codecs[] = {
    {"json", DENIM_CODEC_JSON}, {"pickle", DENIM_CODEC_PICKLE}, {NULL, 0}};

static const row_t priorities[] = {{"high", DENIM_PRIORITY_HIGH},
                                   {"normal", DENIM_PRIORITY_NORMAL},
                                   {"low", DENIM_PRIORITY_LOW},
                                   {NULL, 0}};

PyObject *
dn_raise (int error)
{
    PyObject   *type = PyExc_RuntimeError;
    const char *sentence = denim_strerror (error);
    if (error == DENIM_ERR_MEMORY)
        type = PyExc_MemoryError;
    else if (error == DENIM_ERR_UNAVAILABLE)
        type = PyExc_ConnectionError;
    else if (error == DENIM_ERR_TIMEOUT)
        type = PyExc_TimeoutError;
    else if (error == DENIM_ERR_ARGUMENT || error == DENIM_ERR_ADDRESS)
        type = PyExc_ValueError;
    PyErr_SetString (type, sentence);
    return NULL;
}

static int
add_table (PyObject *module, const char *name, const row_t *row)
{
    PyObject *table = PyDict_New ();
    if (!table)
        return -1;
    for (; row->name; row++) {
        PyObject *number = PyLong_FromLong (row->number);
        int       rc = number ? PyDict_SetItemString (table, row->name, number) : -1;
        Py_XDECREF (number);
        if (rc < 0) {
            Py_DECREF (table);
            return -1;
        }
    }
    int rc = PyModule_AddObjectRef (module, name, table);
    Py_DECREF (table);
    return rc;
}

static int
module_exec (PyObject *module)
{
    dn_module_t *self = PyModule_GetState (module);
    if (add_table (module, "OUTCOMES", outcomes) < 0 ||
        add_table (module, "REASONS", reasons) < 0 || add_table (module, "CODECS", codecs) < 0 ||
        add_table (module, "PRIORITIES", priorities) < 0 ||
        PyModule_AddStringConstant (module, "VERSION", denim_version (NULL, NULL, NULL)) < 0)
        return -1;
    self->client = (PyTypeObject *) PyType_FromModuleAndSpec (module, &dn_client_spec, NULL);
    self->reply = (PyTypeObject *) PyType_FromModuleAndSpec (module, &dn_reply_spec, NULL);
    self->frame = (PyTypeObject *) PyType_FromModuleAndSpec (module, &dn_frame_spec, NULL);
    if (!self->client || !self->reply || !self->frame)
        return -1;
    if (PyModule_AddType (module, self->client) < 0)
        return -1;
    return PyModule_AddType (module, self->reply);
}

static int
module_traverse (PyObject *module, visitproc visit, void *arg)
{
    dn_module_t *self = PyModule_GetState (module);
    Py_VISIT (self->client);
    Py_VISIT (self->reply);
    Py_VISIT (self->frame);
    return 0;
}

static int
module_clear (PyObject *module)
{
    dn_module_t *self = PyModule_GetState (module);
    Py_CLEAR (self->client);
    Py_CLEAR (self->reply);
    Py_CLEAR (self->frame);
    return 0;
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, module_exec}, {0, NULL}};

static PyModuleDef module_def = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "_denim",
    .m_doc = "libdenim for Python; see _denim.pyi.",
    .m_size = sizeof (dn_module_t),
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
};

PyMODINIT_FUNC PyInit__denim (void);

PyMODINIT_FUNC
PyInit__denim (void)
{
    return PyModuleDef_Init (&module_def);
}
