/*  address.h - the one address that a user writes, and the two doors behind it
 *
 *  Owns: what an address is, which endpoint each role binds or connects to, and the ground on
 *  which to bind (names, free ports, the lock of an ipc path). Must never know: ZeroMQ; an
 *  endpoint is a string.
 *
 *      address              clients' door      workers' door
 *      tcp://HOST[:PORT]    tcp://HOST:PORT    tcp://HOST:PORT+1      PORT is 5570 if not given
 *      ipc://PATH           ipc://PATH         ipc://PATH.workers
 *      ipc://@NAME          ipc://@NAME        ipc://@NAME.workers    abstract, no file
 *
 *  HOST is a name, an IPv4 address or [IPv6]; `*` (all IPv4 interfaces) and port 0 (two free
 *  neighbours) make sense to a manager only. [::] is all interfaces of both families.
 *
 *  A manager: parse, resolve, (propose,) lock, bind both endpoints. A client or worker: parse,
 *  connect to one. Each step returns 0 or a negative errno, and then a sentence without a full
 *  stop in `why` (cut to fit; a sentence may be refused with why_bytes 0). No log, no globals; any
 *  thread.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_ADDRESS_H
#define DN_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DN_ADDRESS_DEFAULT  "tcp://127.0.0.1"
#define DN_ADDRESS_PORT     5570
#define DN_ADDRESS_PORT_MAX 65534 /* the workers' door is the next one */

#define DN_HOST_MAX      254 /* a host name has 253 bytes */
#define DN_IPC_PATH_MAX  107 /* bytes that the system takes for a door */
#define DN_IPC_PLACE_MAX 100 /* of those, PATH or @NAME: `.workers` must fit too */
#define DN_ENDPOINT_MAX  272 /* bytes of an endpoint and of an address */
#define DN_WHY_MAX       400 /* bytes that hold any sentence from here */

typedef enum { DN_TRANSPORT_TCP = 0, DN_TRANSPORT_IPC } dn_transport_t;
typedef enum { DN_DOOR_CLIENTS = 0, DN_DOOR_WORKERS } dn_door_t;
typedef enum { DN_TO_CONNECT = 0, DN_TO_BIND } dn_purpose_t;

typedef struct {
    dn_transport_t transport;
    char           host[DN_HOST_MAX];       /* tcp: without brackets */
    uint16_t       port;                    /* tcp: the clients' door; 0: not yet chosen */
    bool           ipv6;                    /* tcp: set ZMQ_IPV6 on the socket */
    char           place[DN_IPC_PLACE_MAX]; /* ipc: PATH, or @NAME */
} dn_address_t;

/*  Read an address. -EINVAL: it is none (`why` quotes it and says what to write). Asks nobody: a
 *  name is not looked up. */
int dn_address_parse (dn_address_t *self, const char *text, dn_purpose_t purpose, char *why,
                      size_t why_bytes);

/*  Write an endpoint of a door; always fits. Returns `endpoint`. */
const char *dn_address_endpoint (const dn_address_t *self, dn_door_t door,
                                 char endpoint[DN_ENDPOINT_MAX]);

/*  Write the address as a user would give it, port included. Returns `text`. */
const char *dn_address_text (const dn_address_t *self, char text[DN_ENDPOINT_MAX]);

/*  Look the host's name up (this may take seconds) and put its number in its place, an IPv4 one if
 *  there is any; `ipv6` follows. Before a bind this is a must: libzmq does not bind to `localhost`.
 *  Before a connect it is wrong: libzmq looks up anew each time it reconnects; see _learn. Numbers,
 *  `*` and ipc stay as they are. -ENOENT: no such host. */
int dn_address_resolve (dn_address_t *self, char *why, size_t why_bytes);

/*  Look the name up (may take seconds), only to set `ipv6` for a host that has nothing else. A name
 *  that cannot be looked up now stays as it is: it may come to exist later. */
void dn_address_learn (dn_address_t *self);

/*  Whether nobody outside this host can get there: all that the host's name stands for is
 *  127.0.0.0/8 or ::1, or it is ipc. Looks a name up, so call it after _resolve, to judge what is
 *  then bound. A name that cannot be looked up is not loopback. */
bool dn_address_is_loopback (const dn_address_t *self);

/*  For port 0: find two free neighbours on the (resolved) host and set `port`. They are free now,
 *  not reserved: when a bind then says EADDRINUSE, set port to 0 and propose again. Any other
 *  port, and ipc, stays. -EADDRINUSE: none found; -errno otherwise. */
int dn_address_propose (dn_address_t *self, char *why, size_t why_bytes);

/*  Lock PATH.lock, as libzmq takes an ipc path over from whoever has it. *fd: keep it open while
 *  the doors are (close it with close (2); the file stays, taking it away would be a race), or -1
 *  if there is nothing to lock (tcp, abstract names: there the system refuses the second).
 *  -EWOULDBLOCK: in use by another denimd, whose pid `why` gives; -errno: the file cannot be
 *  made. */
int dn_address_lock (const dn_address_t *self, int *fd, char *why, size_t why_bytes);

#endif
