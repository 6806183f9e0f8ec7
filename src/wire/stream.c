/*  stream.c - the lead of a packet, written and read
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "wire/stream.h"

#define BODY_BITS 56 /* of the third field; the rest counts the frames */

static void
put_be (uint8_t *at, uint64_t value, size_t n)
{
    for (size_t i = n; i-- > 0; value >>= 8)
        at[i] = (uint8_t) value;
}

static uint64_t
get_be (const uint8_t *at, size_t n)
{
    uint64_t value = 0;
    for (size_t i = 0; i < n; i++)
        value = value << 8 | at[i];
    return value;
}

size_t
dn_packet_lead (dn_packet_t *self, uint8_t *buffer)
{
    self->body_bytes = self->header_bytes;
    for (unsigned i = 0; i < self->frames; i++) {
        self->body_bytes += self->frame_bytes[i];
        put_be (buffer + DN_LEAD_BYTES + 8 * (size_t) i, self->frame_bytes[i], 8);
    }
    put_be (buffer, self->header_bytes, 4);
    put_be (buffer + 4, self->number, 4);
    put_be (buffer + 8, (uint64_t) self->frames << BODY_BITS | self->body_bytes, 8);
    put_be (buffer + 16, (uint64_t) self->arrived_us, 8);
    self->lead_bytes = DN_LEAD_BYTES + 8 * (size_t) self->frames;
    return self->lead_bytes;
}

int
dn_packet_parse (dn_packet_t *self, const uint8_t *bytes, size_t arrived_bytes, uint64_t body_max)
{
    if (arrived_bytes < DN_LEAD_BYTES)
        return 0;
    uint64_t body = get_be (bytes + 8, 8);
    self->header_bytes = (uint32_t) get_be (bytes, 4);
    self->number = (uint32_t) get_be (bytes + 4, 4);
    self->arrived_us = (int64_t) get_be (bytes + 16, 8);
    self->frames = (unsigned) (body >> BODY_BITS);
    self->body_bytes = body & ((1ULL << BODY_BITS) - 1);
    self->lead_bytes = DN_LEAD_BYTES + 8 * (size_t) self->frames;
    if (self->frames > DN_FRAMES_MAX || self->body_bytes > body_max ||
        self->header_bytes > DN_HEADER_MAX)
        return DN_WIRE_LONG;
    if (arrived_bytes < self->lead_bytes)
        return 0;

    uint64_t sum = self->header_bytes;
    for (unsigned i = 0; i < self->frames; i++) {
        self->frame_bytes[i] = get_be (bytes + DN_LEAD_BYTES + 8 * (size_t) i, 8);
        if (self->frame_bytes[i] > self->body_bytes)
            return DN_WIRE_LONG;
        sum += self->frame_bytes[i];
    }
    return sum == self->body_bytes ? 1 : DN_WIRE_LEFT_OVER;
}
