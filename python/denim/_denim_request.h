/*  _denim_request.h - the Python extension: a call that is asked for
 *
 *  Arguments of submit() and call() as the library wants them. It holds views on the buffers until
 *  dn_request_release. With the GIL held throughout; what copies much or waits lets go of it.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_DENIM_REQUEST_H
#define DN_DENIM_REQUEST_H

#include "_denim.h"

#define DN_PY_FRAMES_MAX 64

typedef struct {
    const char     *task; /* borrowed */
    denim_options_t options;
    int64_t         until_ms;     /* of its deadline; INT64_MAX: none */
    size_t          frames_count; /* frames held */
    size_t          payload_bytes;
    denim_frame_t   frames[DN_PY_FRAMES_MAX];
    Py_buffer       views[DN_PY_FRAMES_MAX];
} dn_py_request_t;

/*  Read task, frames and codec, and the `noptions` options behind them: service, deadline,
 *  soft_limit, hard_limit, priority, idempotent, depth, parent. They are borrowed. 0, or -1 with an
 *  exception set and nothing to release. */
int  dn_request_init (dn_py_request_t *self, PyObject *const *args, PyObject *const *options,
                      Py_ssize_t noptions);
void dn_request_release (dn_py_request_t *self);

/*  One try, without waiting: the call's id, or a denim_error_t. */
int64_t dn_request_try (dn_py_request_t *self, denim_client_t *client);

/*  Wait for room in the window and try again, until then at most: the id or a denim_error_t.
 *  DENIM_ERR_WINDOW when time is over, DENIM_ERR_INTERRUPTED with an exception set. */
int64_t dn_request_insist (dn_py_request_t *self, denim_client_t *client, int64_t until_ms);

/*  The exception for a call that could not be made; returns NULL. */
PyObject *dn_request_raise (int64_t error);

#endif
