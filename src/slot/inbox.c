/*  inbox.c - reads in batches, shows packets, hands out their bytes
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "slot/inbox.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#define BATCH_MIN (DN_INBOX_BYTES / 4) /* room below this is made larger before a read */

_Static_assert(DN_INBOX_WHOLE + BATCH_MIN <= DN_INBOX_BYTES, "a whole packet finds room");
_Static_assert(DN_LEAD_MAX + DN_INBOX_HEADER_MAX <= DN_INBOX_WHOLE, "a header finds room");

int
dn_inbox_init (dn_inbox_t *self, int fd, uint64_t body_max)
{
    *self = (dn_inbox_t){.fd = fd, .body_max = body_max};
    self->bytes = malloc (DN_INBOX_BYTES);
    return self->bytes ? 0 : -1;
}

void
dn_inbox_close (dn_inbox_t *self)
{
    free (self->bytes);
    *self = (dn_inbox_t){.fd = -1};
}

int
dn_inbox_next (dn_inbox_t *self, dn_packet_t *packet, const uint8_t **header)
{
    size_t         arrived = self->end - self->begin;
    const uint8_t *at = self->bytes + self->begin;
    int            rc = dn_packet_parse (packet, at, arrived, self->body_max);
    if (rc <= 0)
        return rc;
    if (packet->header_bytes > DN_INBOX_HEADER_MAX)
        return DN_WIRE_LONG;

    uint64_t packet_bytes = packet->lead_bytes + packet->body_bytes;
    uint64_t needed =
        packet_bytes <= DN_INBOX_WHOLE ? packet_bytes : packet->lead_bytes + packet->header_bytes;
    if (arrived < needed)
        return 0;
    *header = at + packet->lead_bytes;
    return 1;
}

bool
dn_inbox_has (const dn_inbox_t *self, uint64_t skip, uint64_t bytes)
{
    return self->end - self->begin >= skip + bytes;
}

void
dn_inbox_begin (dn_inbox_t *self, const dn_packet_t *packet)
{
    self->begin += packet->lead_bytes + packet->header_bytes;
}

/*  Receive all of it; 0, or -1 with errno (0: end of file). */
static int
recv_all (int fd, uint8_t *to, uint64_t bytes)
{
    while (bytes) {
        ssize_t n = recv (fd, to, bytes, MSG_WAITALL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            errno = n < 0 ? errno : 0;
            return -1;
        }
        to += n;
        bytes -= (uint64_t) n;
    }
    return 0;
}

int
dn_inbox_take (dn_inbox_t *self, void *to, uint64_t bytes)
{
    uint64_t arrived = self->end - self->begin;
    size_t   here = (size_t) (bytes < arrived ? bytes : arrived);
    if (to && here)
        memcpy (to, self->bytes + self->begin, here);
    self->begin += here;
    bytes -= here;
    if (to)
        return recv_all (self->fd, (uint8_t *) to + here, bytes);

    while (bytes) { /* all that was in the buffer is used up: it is free for the rest */
        uint64_t part = bytes < DN_INBOX_BYTES ? bytes : DN_INBOX_BYTES;
        self->begin = self->end = 0;
        if (recv_all (self->fd, self->bytes, part) < 0)
            return -1;
        bytes -= part;
    }
    return 0;
}

uint8_t *
dn_inbox_room (dn_inbox_t *self, size_t *room_bytes)
{
    if (self->begin == self->end) {
        self->begin = self->end = 0;
    } else if (DN_INBOX_BYTES - self->end < BATCH_MIN) {
        memmove (self->bytes, self->bytes + self->begin, self->end - self->begin);
        self->end -= self->begin;
        self->begin = 0;
    }
    *room_bytes = DN_INBOX_BYTES - self->end;
    return self->bytes + self->end;
}

void
dn_inbox_filled (dn_inbox_t *self, size_t bytes)
{
    self->end += bytes;
}

ssize_t
dn_inbox_fill (dn_inbox_t *self, int flags)
{
    size_t   room_bytes;
    uint8_t *room = dn_inbox_room (self, &room_bytes);
    ssize_t  n = recv (self->fd, room, room_bytes, flags);
    if (n > 0)
        dn_inbox_filled (self, (size_t) n);
    return n;
}
