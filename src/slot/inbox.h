/*  inbox.h - the bytes that come in on a channel, cut into packets
 *
 *  Owns: one buffer, read in batches as large as the kernel has them, and the place of the next
 *  packet in it. A packet of up to DN_INBOX_WHOLE bytes is shown when all of it is there; of a
 *  larger one the lead and the header are shown first, and its frames are taken one by one, read
 *  straight into the memory they are to stay in. Must never know: what a packet means, Python.
 *
 *  One thread at a time. The descriptor is borrowed.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_SLOT_INBOX_H
#define DN_SLOT_INBOX_H

#include "wire/stream.h"

#include <sys/types.h>

#define DN_INBOX_BYTES      (256 * 1024) /* of the buffer: a batch is at most this */
#define DN_INBOX_WHOLE      (64 * 1024)  /* a packet up to this is shown whole */
#define DN_INBOX_HEADER_MAX 8192         /* of a header that a worker sends to a slot */

typedef struct {
    int      fd;
    uint8_t *bytes;
    size_t   begin;    /* bytes before this one have been taken */
    size_t   end;      /* bytes from here on are free */
    uint64_t body_max; /* a packet with a larger body is refused */
} dn_inbox_t;

/*  0, or -1 without memory. `body_max` bounds header and payload of one packet. */
int  dn_inbox_init (dn_inbox_t *self, int fd, uint64_t body_max);
void dn_inbox_close (dn_inbox_t *self);

/*  Show the next packet without taking it. 1: it is there (the frames of a large one may be under
 *  way), *header points at its header until the next fill. 0: bytes are missing, fill first.
 *  Negative: a dn_wire_error_t, the channel is of no more use. */
int dn_inbox_next (dn_inbox_t *self, dn_packet_t *packet, const uint8_t **header);

/*  Whether dn_inbox_take of that many bytes, after `skip` others, would not have to read. */
bool dn_inbox_has (const dn_inbox_t *self, uint64_t skip, uint64_t bytes);

/*  Take lead and header of the packet that dn_inbox_next has shown. */
void dn_inbox_begin (dn_inbox_t *self, const dn_packet_t *packet);

/*  Take the next bytes of that packet into `to` (NULL: nowhere), waiting for them. 0, or -1 with
 *  errno (0: end of file) when they do not come. Goes on after a signal. */
int dn_inbox_take (dn_inbox_t *self, void *to, uint64_t bytes);

/*  Read once what has arrived; `flags` are recv's. Bytes, 0 at the end of file, -1 with errno. */
ssize_t dn_inbox_fill (dn_inbox_t *self, int flags);

/*  The same for a reader of its own: lends the free space, *room_bytes of it, then is told how much
 *  was used. */
uint8_t *dn_inbox_room (dn_inbox_t *self, size_t *room_bytes);
void     dn_inbox_filled (dn_inbox_t *self, size_t bytes);

#endif
