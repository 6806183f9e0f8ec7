/*  _denim_args.c - the Python extension: arguments read, and how long to wait at a time
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "_denim.h"

#include "io/process.h"

#include <string.h>
#include <unistd.h>

#define SLICE_MS      50   /* of a wait in the main thread, which runs signal handlers */
#define LONG_SLICE_MS 1000 /* in any other thread */
#define SECONDS_MAX   1e15 /* more is no limit at all */

/*  Seconds as milliseconds, rounded up; -1 for None. -1 with an exception set when it is
 *  neither. */
int
dn_args_seconds (PyObject *object, const char *name, int64_t *ms)
{
    *ms = -1;
    if (object == Py_None)
        return 0;
    double seconds = PyFloat_AsDouble (object);
    if (seconds == -1.0 && PyErr_Occurred ())
        return -1;
    if (!(seconds >= 0)) {
        PyErr_Format (PyExc_ValueError, "%s must be a number of seconds, 0 or more, or None", name);
        return -1;
    }
    if (seconds > SECONDS_MAX)
        return 0;
    *ms = (int64_t) (seconds * 1000);
    *ms += (double) *ms < seconds * 1000;
    return 0;
}

/*  The same for a deadline or limit of a call, where 0 is "none": it becomes the shortest one. */
int
dn_args_limit (PyObject *object, const char *name, int64_t *ms)
{
    if (dn_args_seconds (object, name, ms) < 0)
        return -1;
    if (*ms <= 0)
        *ms = *ms < 0 ? 0 : 1;
    return 0;
}

/*  Borrowed from the string; NULL with an exception set. */
const char *
dn_args_text (PyObject *object, const char *name)
{
    Py_ssize_t text_bytes;
    if (!PyUnicode_Check (object)) {
        PyErr_Format (PyExc_TypeError, "%s must be a str", name);
        return NULL;
    }
    const char *text = PyUnicode_AsUTF8AndSize (object, &text_bytes);
    if (text && strlen (text) != (size_t) text_bytes) {
        PyErr_Format (PyExc_ValueError, "%s must not hold a NUL", name);
        return NULL;
    }
    return text;
}

int
dn_args_int (PyObject *object, const char *name, int *number)
{
    long value = PyLong_AsLong (object);
    if (value == -1 && PyErr_Occurred ()) {
        if (!PyErr_ExceptionMatches (PyExc_OverflowError))
            return -1;
        PyErr_Clear ();
        value = 1000000000;
    }
    if (value < -1000000000 || value > 1000000000) {
        PyErr_Format (PyExc_ValueError, "%s is out of its range", name);
        return -1;
    }
    *number = (int) value;
    return 0;
}

/*  An id; one that cannot be one is -1, which no call has. */
int
dn_args_id (PyObject *object, int64_t *id)
{
    long long value = PyLong_AsLongLong (object);
    if (value == -1 && PyErr_Occurred ()) {
        if (!PyErr_ExceptionMatches (PyExc_OverflowError))
            return -1;
        PyErr_Clear ();
    }
    *id = value;
    return 0;
}

int
dn_args_count (const char *name, Py_ssize_t nargs, Py_ssize_t least, Py_ssize_t most)
{
    if (nargs >= least && nargs <= most)
        return 0;
    PyErr_Format (PyExc_TypeError, "%s() takes %zd to %zd arguments (%zd given)", name, least, most,
                  nargs);
    return -1;
}

/*  ---- waiting ---- */

int64_t
dn_wait_point_ms (int64_t timeout_ms)
{
    return timeout_ms < 0 ? INT64_MAX : dn_process_now_ms () + timeout_ms;
}

/*  How long to wait before signals are looked at again: until then at most, 0 when it has come. */
int64_t
dn_wait_slice_ms (int64_t until_ms)
{
    int64_t slice = getpid () == gettid () ? SLICE_MS : LONG_SLICE_MS;
    if (until_ms == INT64_MAX)
        return slice;
    int64_t left_ms = until_ms - dn_process_now_ms ();
    return left_ms < 0 ? 0 : left_ms < slice ? left_ms : slice;
}
