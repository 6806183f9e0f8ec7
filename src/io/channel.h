/*  channel.h - the supervisor's end of a slot's socketpair: packets in and out, without waiting
 *
 *  Owns: a non-blocking stream socket, the bytes on their way out (small ones gathered, large
 *  frames by reference) and those that came in, cut into messages. A message comes out as
 *  dn_frames_t, so that it can go on to ZeroMQ as it is; a large frame is read straight into the
 *  memory that it stays in. Must never know: what a message means.
 *
 *  What is put goes out with the next dn_channel_flush; what the socket does not take waits, and
 *  the owner waits for it to be writable. One thread.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_CHANNEL_H
#define DN_CHANNEL_H

#include "io/link.h"
#include "wire/stream.h"

#define DN_CHANNEL_SOCKET_BYTES (512 * 1024) /* kernel buffer of each direction, if it is allowed */
#define DN_CHANNEL_HEADER_MAX   (64 * 1024)  /* of a header from a slot; a longer one garbles it */

typedef struct dn_channel dn_channel_t;

/*  Take over `fd`, which is closed with it; a body (header and payload) is at most `body_max`
 *  bytes. Owned; NULL when memory is short, then `fd` is still the caller's. */
dn_channel_t *dn_channel_new (int fd, uint64_t body_max);
void          dn_channel_destroy (dn_channel_t **self_p);

int dn_channel_fd (const dn_channel_t *self);

/*  Put a message: a header, and `count` payload frames, which stay the caller's (large ones are
 *  shared). `number` and `arrived_us`: of a task, as in dn_packet_t, else 0. 0, or -ENOMEM, with
 *  nothing put. */
int dn_channel_put (dn_channel_t *self, uint32_t number, int64_t arrived_us, const void *header,
                    size_t header_bytes, zmq_msg_t *payload, unsigned count);

/*  The same for a small message without payload. */
int dn_channel_put_msg (dn_channel_t *self, const dn_msg_t *msg);

/*  Send a small message now with descriptors, which stay the caller's. -EAGAIN: other bytes are in
 *  the way; -errno. */
int dn_channel_send_fds (dn_channel_t *self, const dn_msg_t *msg, const int *fds, int fds_count);

/*  Send what was put, as much as the socket takes: 1 if something is left, 0, or -errno when the
 *  other end is gone. */
int  dn_channel_flush (dn_channel_t *self);
bool dn_channel_waiting (const dn_channel_t *self);

/*  Read what has arrived, one batch: 1 when there is more, 0 when that was all, -EPIPE at the end
 *  of file, -errno. Then take the messages with dn_channel_next until it gives 0. */
int dn_channel_read (dn_channel_t *self);

/*  The next message that is there whole: 1 and it is in `frames` (what that held is closed), 0, or
 *  negative: a dn_wire_error_t or -ENOMEM, and the channel is of no more use. */
int dn_channel_next (dn_channel_t *self, dn_frames_t *frames);

#endif
