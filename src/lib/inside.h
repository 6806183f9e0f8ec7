/*  inside.h - what the faces that are built here need of the library beside denim.h
 *
 *  The Python extension must be able to stop waiting now and then, and to take a payload without a
 *  copy. (Questions: inquiry.h.)
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_INSIDE_H
#define DN_INSIDE_H

#include "denim.h"

#include <zmq.h>

/*  Was this client made before a fork, and is this the child? Any thread. */
bool dn_client_forked (const denim_client_t *client);

/*  Wait until there is room in the window, `timeout_ms` at most; another thread may take it. 0 or a
 *  denim_error_t. Any thread. */
int dn_client_await_room (denim_client_t *client, int64_t timeout_ms);

/*  Move a frame of an answer to `to`, which is initialised here and then the caller's to close; it
 *  outlives reply and client. The reply's own is empty after. */
void dn_reply_take_frame (denim_reply_t *reply, size_t index, zmq_msg_t *to);

#endif
