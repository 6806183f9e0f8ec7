/*  fuzz_stream.c - any bytes on a slot's socketpair, read from both ends
 *
 *  The first byte says how the bytes are parted. The lead of a packet is looked at byte by byte as
 *  it arrives; then the supervisor's channel and the slot's inbox read the whole stream. Both must
 *  find the same packets, and every packet written again has the bytes that came.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "fuzz.h"

#include "io/channel.h"
#include "slot/inbox.h"
#include "wire/stream.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define BODY_MAX (1u << 20)

/*  ---- the lead ---- */

/*  What was said of fewer bytes still holds of more. Is it a lead? */
static bool
check_lead (const uint8_t *bytes, size_t n)
{
    dn_packet_t packet;
    uint8_t     lead[DN_LEAD_MAX];
    int         before = 0;

    for (size_t arrived = 0; arrived <= n && arrived <= DN_LEAD_MAX; arrived++) {
        uint8_t *part = malloc (arrived + 1);
        dn_check (part);
        uint8_t *at = part + 1; /* ends where the memory ends */
        if (arrived)
            memcpy (at, bytes, arrived);
        int rc = dn_packet_parse (&packet, at, arrived, BODY_MAX);
        dn_check (before == 0 || rc == before);
        before = rc;
        free (part);
    }
    if (before != 1)
        return false;
    dn_check (packet.frames <= DN_FRAMES_MAX && packet.body_bytes <= BODY_MAX);
    dn_check (packet.header_bytes <= packet.body_bytes);
    size_t lead_bytes = packet.lead_bytes;
    dn_check (dn_packet_lead (&packet, lead) == lead_bytes);
    dn_check (memcmp (lead, bytes, lead_bytes) == 0);
    return true;
}

/*  ---- the supervisor's end ---- */

/*  A packet came out: it is what stands at `at`. Bytes that it had. */
static size_t
check_packet (dn_frames_t *frames, const uint8_t *at, size_t left)
{
    dn_packet_t packet = {.number = 0};
    dn_check (dn_packet_parse (&packet, at, left, BODY_MAX) == 1);
    dn_check (packet.lead_bytes + packet.body_bytes <= left);
    dn_check (packet.frames == frames->count);
    dn_check (packet.header_bytes == zmq_msg_size (&frames->header));
    at += packet.lead_bytes;
    dn_check (memcmp (zmq_msg_data (&frames->header), at, packet.header_bytes) == 0);
    at += packet.header_bytes;
    for (unsigned i = 0; i < packet.frames; i++) {
        size_t n = zmq_msg_size (&frames->payload[i]);
        dn_check (n == packet.frame_bytes[i]);
        dn_check (n == 0 || memcmp (zmq_msg_data (&frames->payload[i]), at, n) == 0);
        at += n;
    }
    return packet.lead_bytes + packet.body_bytes;
}

static void
send_all (int fd, const uint8_t *bytes, size_t n)
{
    dn_check (n == 0 || send (fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t) n);
}

/*  The packets that came out of the stream, at most. */
static unsigned
read_channel (const uint8_t *bytes, size_t n, size_t part)
{
    int         fd[2];
    dn_frames_t frames = {0};
    size_t      sent = 0, done = 0;
    unsigned    packets = 0;
    int         rc = 0;

    dn_check (socketpair (AF_UNIX, SOCK_STREAM, 0, fd) == 0);
    dn_channel_t *channel = dn_channel_new (fd[0], BODY_MAX);
    dn_check (channel);
    while (sent < n && rc >= 0) {
        size_t now = n - sent < part ? n - sent : part;
        send_all (fd[1], bytes + sent, now);
        sent += now;
        while (dn_channel_read (channel) > 0)
            continue;
        while ((rc = dn_channel_next (channel, &frames)) == 1) {
            done += check_packet (&frames, bytes + done, n - done);
            packets++;
        }
    }
    dn_frames_clear (&frames);
    dn_channel_destroy (&channel);
    close (fd[1]);
    return packets;
}

/*  ---- the slot's end ---- */

/*  Take the payload of a packet, one frame after the other; false at the end of the stream. */
static bool
take_frames (dn_inbox_t *inbox, const dn_packet_t *packet, const uint8_t *at)
{
    for (unsigned i = 0; i < packet->frames; i++) {
        size_t   n = (size_t) packet->frame_bytes[i];
        uint8_t *frame = i % 2 ? NULL : malloc (n + 1);
        bool     came = dn_inbox_take (inbox, frame, n) == 0;
        dn_check (!came || !frame || memcmp (frame, at, n) == 0);
        free (frame);
        if (!came)
            return false;
        at += n;
    }
    return true;
}

static unsigned
read_inbox (const uint8_t *bytes, size_t n, size_t part)
{
    int            fd[2];
    dn_inbox_t     inbox;
    dn_packet_t    packet;
    const uint8_t *header;
    size_t         done = 0;
    unsigned       packets = 0;
    bool           more = true;

    dn_check (socketpair (AF_UNIX, SOCK_STREAM, 0, fd) == 0);
    send_all (fd[1], bytes, n);
    close (fd[1]);
    dn_check (dn_inbox_init (&inbox, fd[0], BODY_MAX) == 0);
    while (more) {
        size_t   room_bytes;
        uint8_t *room = dn_inbox_room (&inbox, &room_bytes);
        dn_check (room_bytes);
        ssize_t got = recv (fd[0], room, part < room_bytes ? part : room_bytes, 0);
        more = got > 0;
        dn_inbox_filled (&inbox, more ? (size_t) got : 0);
        int rc = 0;
        while ((rc = dn_inbox_next (&inbox, &packet, &header)) == 1) {
            dn_check (memcmp (header, bytes + done + packet.lead_bytes, packet.header_bytes) == 0);
            dn_inbox_begin (&inbox, &packet);
            const uint8_t *at = bytes + done + packet.lead_bytes + packet.header_bytes;
            more = take_frames (&inbox, &packet, at);
            if (!more)
                break;
            done += packet.lead_bytes + packet.body_bytes;
            packets++;
        }
        more = more && rc >= 0;
    }
    dn_inbox_close (&inbox);
    close (fd[0]);
    return packets;
}

/*  Is there a packet that one end takes and the other does not: a header with a length between
 *  their bounds? */
static bool
bounds_differ (const uint8_t *bytes, size_t n)
{
    dn_packet_t packet;
    size_t      done = 0;
    while (done < n && dn_packet_parse (&packet, bytes + done, n - done, BODY_MAX) == 1) {
        if (packet.header_bytes > DN_INBOX_HEADER_MAX)
            return true;
        done += packet.lead_bytes + packet.body_bytes;
    }
    return false;
}

int
LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t n)
{
    if (n < 1 || n > 65536)
        return 0;
    size_t part = bytes[0] < 128 ? bytes[0] + 1u : (size_t) bytes[0] * 256;
    bytes++, n--;
    if (!check_lead (bytes, n))
        return 0;
    unsigned by_channel = read_channel (bytes, n, part);
    unsigned by_inbox = read_inbox (bytes, n, part);
    dn_check (by_channel == by_inbox || bounds_differ (bytes, n));
    return 0;
}
