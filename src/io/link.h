/*  link.h - ZeroMQ sockets as denim uses them: a DEALER, a ROUTER, and whole messages in and out
 *
 *  Owns: the settings of a socket, the shape of a message on it (a header frame and up to 64
 *  payload frames, behind a routing id on a ROUTER), and that a message is sent whole or not at
 *  all. Must never know: what is in a frame, who a peer is, and when to send.
 *
 *  Raw libzmq throughout (a zmsg costs 4.6 times as much). A socket is a void *, made here, used by
 *  one thread, closed with zmq_close. Nothing here waits: every send and receive is non-blocking,
 *  and waiting is zmq_poll in a shell. After a poll, receive until there is nothing, or up to a
 *  bound and poll again. Functions return 0 or more, or -errno.
 *
 *  A peer is known by the routing id that the ROUTER gave to its connection, as a dn_link_t:
 *  libzmq's own ids are a zero byte and 32 bits; those bits are the link's lower half, and the
 *  upper half is 1, so that no link is 0. An id is new for each connection: an answer to an old one
 *  never reaches a new one.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_LINK_H
#define DN_LINK_H

#include "core/effects.h"
#include "wire/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zmq.h>

#define DN_LINK_BUFFER_BYTES (256 * 1024) /* SNDBUF and RCVBUF: what may be lost with a peer */
#define DN_LINK_RECONNECT_MS 100          /* libzmq waits this and up to as much again at random */
#define DN_LINK_CONNECT_MS   1000         /* a connection not made by then is tried anew */
#define DN_LINK_HANDSHAKE_MS 1000         /* DEALER: a frozen peer accepts, and then says nothing */
#define DN_LINK_GREETING_MS  3000 /* ROUTER: for a peer that connects and then says nothing */
#define DN_LINK_BACKLOG      4096 /* ROUTER: connections not accepted yet */

/*  A message in hand. The frames in use are live zmq_msg_t: header if `whole`, and payload [0,
 *  count). */
typedef struct {
    dn_link_t   from;          /* ROUTER: the sender; 0: one that made up its own id. DEALER: 0 */
    const char *fault;         /* why it is none of ours (it was read to its end); NULL: it is */
    bool        whole;         /* there is a header */
    unsigned    count;         /* payload frames */
    uint64_t    payload_bytes; /* the sum of them */
    zmq_msg_t   header;
    zmq_msg_t   payload[DN_FRAMES_MAX];
} dn_frames_t;

/*  What differs between sockets; zero is a valid default but for the marks. */
typedef struct {
    int      send_max;        /* SNDHWM: messages waiting for a peer; then -EAGAIN */
    int      receive_max;     /* RCVHWM: messages read ahead, for each peer */
    int      buffer_bytes;    /* kernel buffers, both ways; 0: DN_LINK_BUFFER_BYTES */
    int64_t  frame_max_bytes; /* a peer that sends a longer one is cut off; 0: no limit */
    uint64_t affinity;        /* bits of I/O threads; 0: any */
    bool     ipv6;
} dn_link_config_t;

/*  A context of its own with `io_threads` threads, which take no signals. They run as SCHED_BATCH
 *  if the caller runs as SCHED_OTHER: then they send and receive larger batches, which was 1.1
 *  times the tiny tasks a second on 2 cores, and one at a time took as long in the middle. Owned:
 *  zmq_ctx_term, after all its sockets are closed. NULL and errno when the system says no. */
void *dn_link_context (int io_threads);

/*  A DEALER that connects to `endpoint` and goes on trying for ever. It holds nothing for a peer
 *  that is not there (IMMEDIATE): a send then is -EAGAIN. Owned: dn_link_close; NULL and errno. */
void *dn_link_dealer (void *context, const char *endpoint, const dn_link_config_t *config);

/*  Close it, with its monitor (or NULL). What was sent is given so long to leave. */
void dn_link_close (void *dealer, void *monitor, int linger_ms);

/*  A ROUTER bound to `endpoint`, MANDATORY: a send to a peer that is gone is -EHOSTUNREACH, to one
 *  that is full -EAGAIN. Owned: zmq_close; NULL and errno. */
void *dn_link_router (void *context, const char *endpoint, const dn_link_config_t *config);

/*  Who is told that the connection of a DEALER has broken, before its silence is noticed: a PAIR,
 *  and in *fd a descriptor that is readable when dn_link_broken is to be asked. Owned:
 *  dn_link_unmonitor; NULL and errno when the system says no: then silence must do. */
void *dn_link_monitor (void *context, void *dealer, int *fd);

/*  Before the DEALER is closed, or instead of that. Without it libzmq waits, in the I/O thread, for
 *  somebody to read of a connection that breaks while both are closed: for ever, and nothing that
 *  has this context is heard of again. `monitor` may be NULL. */
void dn_link_unmonitor (void *dealer, void *monitor);

/*  Has it broken since this was asked last? */
bool dn_link_broken (void *monitor);

/*  The next message, if there is one: 1 and it is in `frames` (what that held is closed); 0 and
 *  `frames` is empty; -errno (ETERM, ENOMEM …). A message with a `fault` counts: it is to be
 *  counted and dropped. */
int dn_link_recv (void *dealer, dn_frames_t *frames);
int dn_link_recv_from (void *router, dn_frames_t *frames);

/*  Send a header of `header_bytes`, copied, and `count` payload frames; all of it or nothing. `to`
 *  is 0 on a DEALER. `keep`: the payload stays with the caller (frames are shared, not copied);
 *  otherwise it is taken, and its frames are empty after a 0. -EAGAIN, -EHOSTUNREACH, -ENOMEM:
 *  nothing sent or taken. 0 says nothing about arrival: what was on its way is lost with the
 *  connection. */
int dn_link_send (void *socket, dn_link_t to, const void *header, size_t header_bytes,
                  zmq_msg_t *payload, unsigned count, bool keep);

/*  The same with the header frame of a message as it came. */
int dn_link_relay (void *socket, dn_link_t to, dn_frames_t *frames, bool keep);

/*  Encode `msg` (up to DN_HEADER_SMALL bytes, else in `room`, which may be NULL and then is
 *  -EMSGSIZE) and send it with a payload, as above. */
int dn_link_send_msg (void *socket, dn_link_t to, const dn_msg_t *msg, zmq_msg_t *payload,
                      unsigned count, bool keep, void *room, size_t room_bytes);

/*  ---- frames ---- */

/*  Close what it holds; it is empty after and may be used again. A zeroed one is empty. */
void dn_frames_clear (dn_frames_t *self);

/*  Move everything from one to the other: `to` is cleared first, `from` is empty after. */
void dn_frames_move (dn_frames_t *to, dn_frames_t *from);

#endif
