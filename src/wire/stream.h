/*  stream.h - messages over bytes: how worker and slot talk through a stream socketpair
 *
 *  A packet is a lead, the header frame and the payload frames, without gaps between them.
 *
 *  Must never know: descriptors. Functions look at bytes that somebody else has read. Any thread.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_STREAM_H
#define DN_STREAM_H

#include "wire/wire.h"

#define DN_LEAD_BYTES 24 /* of the lead, before the sizes of the payload frames */
#define DN_LEAD_MAX   (DN_LEAD_BYTES + 8 * DN_FRAMES_MAX)

/*  The lead: u32 bytes of the header frame, u32 number of the task in the slot's channel (0 in all
 *  other messages), u64 bytes of header and payload together, of which the top byte is the number
 *  of payload frames, u64 when the task came to the worker; then a u64 for each payload frame with
 *  its bytes. All big-endian. */
typedef struct {
    uint32_t header_bytes;
    uint32_t number;     /* of a RUN in its channel, rising from 1; else 0 */
    uint64_t body_bytes; /* header and payload frames together */
    int64_t  arrived_us; /* of a RUN at the worker, by the host's monotonic clock; else 0 */
    unsigned frames;     /* payload frames */
    size_t   lead_bytes; /* of the lead with its sizes */
    uint64_t frame_bytes[DN_FRAMES_MAX];
} dn_packet_t;

/*  Write the lead of a packet into `buffer` (DN_LEAD_MAX bytes). Bytes written. The fields
 *  body_bytes and lead_bytes are set, the others are read. */
size_t dn_packet_lead (dn_packet_t *self, uint8_t *buffer);

/*  Read a lead from what has arrived so far: 1 when it is whole, 0 when bytes are missing, negative
 *  (dn_wire_error_t) when it can be none: too many frames, sizes that do not add up, or a body
 *  beyond `body_max`. */
int dn_packet_parse (dn_packet_t *self, const uint8_t *bytes, size_t arrived_bytes,
                     uint64_t body_max);

#endif
