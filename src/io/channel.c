/*  channel.c - the supervisor's end of a slot's socketpair
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "io/channel.h"

#include "base/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define IN_BYTES    (256 * 1024)  /* of the buffer: a batch is at most this */
#define WHOLE_BYTES (128 * 1024)  /* a packet up to this is awaited in the buffer */
#define LARGE_BATCH (1024 * 1024) /* read of large frames before others have their turn */
#define CHUNK_BYTES (128 * 1024)  /* small packets gathered in one piece */
#define PIECES_MAX  256           /* waiting to go out: a few chunks, and the frames of one task */
#define IOV_COUNT   64            /* pieces in one call */
#define FDS_MAX     8

/*  A piece of what goes out: gathered bytes, or a frame shared with the caller. */
typedef struct {
    uint8_t  *chunk; /* owned; NULL: it is `frame` */
    zmq_msg_t frame;
    size_t    begin; /* bytes before this one are sent */
    size_t    end;   /* bytes from here on are none, or free (chunk) */
} piece_t;

struct dn_channel {
    int      fd;
    uint64_t body_max;

    piece_t  piece[PIECES_MAX]; /* a ring: `pieces` of them in use, from `first` */
    unsigned first;
    unsigned pieces;
    uint8_t *spare; /* a chunk that was sent, to be used again */

    uint8_t *in; /* IN_BYTES, filled [begin, end) */
    size_t   begin;
    size_t   end;

    bool        large;       /* a large packet is being read, */
    unsigned    large_frame; /* of which this frame, */
    size_t      large_bytes; /* of which so much is there */
    dn_frames_t frames;      /* the large packet */
};

dn_channel_t *
dn_channel_new (int fd, uint64_t body_max)
{
    dn_channel_t *self = calloc (1, sizeof *self);
    if (!self)
        return NULL;
    self->fd = fd;
    self->body_max = body_max;
    self->in = malloc (IN_BYTES);
    if (!self->in) {
        free (self);
        return NULL;
    }
    return self;
}

static piece_t *
piece_at (dn_channel_t *self, unsigned i)
{
    return &self->piece[(self->first + i) % PIECES_MAX];
}

static void
drop_first (dn_channel_t *self)
{
    piece_t *piece = piece_at (self, 0);
    if (!piece->chunk)
        zmq_msg_close (&piece->frame);
    else if (self->spare)
        free (piece->chunk);
    else
        self->spare = piece->chunk;
    self->first = (self->first + 1) % PIECES_MAX;
    self->pieces--;
}

void
dn_channel_destroy (dn_channel_t **self_p)
{
    dn_channel_t *self = *self_p;
    if (!self)
        return;
    while (self->pieces)
        drop_first (self);
    dn_frames_clear (&self->frames);
    free (self->spare);
    free (self->in);
    close (self->fd);
    free (self);
    *self_p = NULL;
}

int
dn_channel_fd (const dn_channel_t *self)
{
    return self->fd;
}

/*  ---- out ---- */

/*  A chunk with room for `n` more bytes, n <= CHUNK_BYTES: the last one, or a new one. NULL without
 *  memory or room. */
static piece_t *
open_chunk (dn_channel_t *self, size_t n)
{
    piece_t *piece = self->pieces ? piece_at (self, self->pieces - 1) : NULL;
    if (piece && piece->chunk && piece->end + n <= CHUNK_BYTES)
        return piece;
    if (self->pieces == PIECES_MAX)
        return NULL;
    uint8_t *chunk = self->spare ? self->spare : malloc (CHUNK_BYTES);
    if (!chunk)
        return NULL;
    self->spare = NULL;
    piece = piece_at (self, self->pieces++);
    piece->chunk = chunk;
    piece->begin = piece->end = 0;
    return piece;
}

static void
gather (piece_t *piece, const void *bytes, size_t n)
{
    if (n)
        memcpy (piece->chunk + piece->end, bytes, n);
    piece->end += n;
}

static void
share (dn_channel_t *self, zmq_msg_t *frame)
{
    piece_t *piece = piece_at (self, self->pieces++);
    piece->chunk = NULL;
    zmq_msg_init (&piece->frame);
    zmq_msg_copy (&piece->frame, frame);
    piece->begin = 0;
    piece->end = zmq_msg_size (frame);
}

/*  A small packet is gathered whole, of a large one lead and header are. */
int
dn_channel_put (dn_channel_t *self, uint32_t number, int64_t arrived_us, const void *header,
                size_t header_bytes, zmq_msg_t *payload, unsigned count)
{
    uint8_t     lead[DN_LEAD_MAX];
    dn_packet_t packet;

    packet.header_bytes = (uint32_t) header_bytes;
    packet.number = number;
    packet.arrived_us = arrived_us;
    packet.frames = count;
    for (unsigned i = 0; i < count; i++)
        packet.frame_bytes[i] = zmq_msg_size (&payload[i]);
    size_t lead_bytes = dn_packet_lead (&packet, lead);
    bool   small = lead_bytes + packet.body_bytes <= CHUNK_BYTES;
    size_t gathered = small ? lead_bytes + packet.body_bytes : lead_bytes + header_bytes;

    if (gathered > CHUNK_BYTES || (!small && self->pieces + count + 1 > PIECES_MAX))
        return -ENOBUFS;
    piece_t *piece = open_chunk (self, gathered);
    if (!piece)
        return -ENOMEM;
    gather (piece, lead, lead_bytes);
    gather (piece, header, header_bytes);
    for (unsigned i = 0; i < count; i++) {
        if (small)
            gather (piece, zmq_msg_data (&payload[i]), zmq_msg_size (&payload[i]));
        else
            share (self, &payload[i]);
    }
    return 0;
}

int
dn_channel_put_msg (dn_channel_t *self, const dn_msg_t *msg)
{
    uint8_t   header[DN_HEADER_SMALL];
    ptrdiff_t n = dn_msg_encode (msg, header, sizeof header);
    dn_check (n > 0);
    return dn_channel_put (self, 0, 0, header, (size_t) n, NULL, 0);
}

int
dn_channel_send_fds (dn_channel_t *self, const dn_msg_t *msg, const int *fds, int fds_count)
{
    union {
        struct cmsghdr align;
        uint8_t        bytes[CMSG_SPACE (FDS_MAX * sizeof (int))];
    } control = {.bytes = {0}};
    uint8_t       bytes[DN_LEAD_MAX + DN_HEADER_SMALL];
    struct iovec  iov = {bytes, 0};
    struct msghdr out = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes};
    size_t        fds_bytes = (size_t) fds_count * sizeof (int);
    dn_packet_t   packet = {0};

    if (self->pieces)
        return -EAGAIN;
    dn_check (fds_count <= FDS_MAX);
    ptrdiff_t n = dn_msg_encode (msg, bytes + DN_LEAD_BYTES, DN_HEADER_SMALL);
    dn_check (n > 0);
    packet.header_bytes = (uint32_t) n;
    iov.iov_len = dn_packet_lead (&packet, bytes) + (size_t) n;
    out.msg_controllen = CMSG_SPACE (fds_bytes);
    struct cmsghdr *cmsg = CMSG_FIRSTHDR (&out);
    cmsg->cmsg_level = SOL_SOCKET;
    cmsg->cmsg_type = SCM_RIGHTS;
    cmsg->cmsg_len = CMSG_LEN (fds_bytes);
    memcpy (CMSG_DATA (cmsg), fds, fds_bytes);
    ssize_t sent = sendmsg (self->fd, &out, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0)
        return -errno;
    return (size_t) sent == iov.iov_len ? 0 : -EIO; /* so few bytes are never parted */
}

static size_t
fill_iov (dn_channel_t *self, struct iovec iov[IOV_COUNT])
{
    size_t count = 0;
    for (unsigned i = 0; i < self->pieces && count < IOV_COUNT; i++) {
        piece_t *piece = piece_at (self, i);
        uint8_t *bytes = piece->chunk ? piece->chunk : zmq_msg_data (&piece->frame);
        iov[count++] = (struct iovec){bytes + piece->begin, piece->end - piece->begin};
    }
    return count;
}

static void
consume (dn_channel_t *self, size_t sent)
{
    while (self->pieces) {
        piece_t *piece = piece_at (self, 0);
        size_t   left = piece->end - piece->begin;
        if (sent < left) {
            piece->begin += sent;
            return;
        }
        sent -= left;
        drop_first (self);
    }
}

int
dn_channel_flush (dn_channel_t *self)
{
    while (self->pieces) {
        struct iovec  iov[IOV_COUNT];
        struct msghdr out = {.msg_iov = iov};
        out.msg_iovlen = fill_iov (self, iov);
        ssize_t sent = sendmsg (self->fd, &out, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent >= 0)
            consume (self, (size_t) sent);
        else if (errno == EAGAIN)
            return 1;
        else if (errno != EINTR)
            return -errno;
    }
    return 0;
}

bool
dn_channel_waiting (const dn_channel_t *self)
{
    return self->pieces > 0;
}

/*  ---- in ---- */

/*  Read into memory: bytes, 0 when nothing is there, -EPIPE at the end of file, -errno. */
static ssize_t
read_some (dn_channel_t *self, void *to, size_t n)
{
    for (;;) {
        ssize_t got = recv (self->fd, to, n, MSG_DONTWAIT);
        if (got > 0)
            return got;
        if (got == 0)
            return -EPIPE;
        if (errno == EAGAIN)
            return 0;
        if (errno != EINTR)
            return -errno;
    }
}

static bool
large_is_whole (const dn_channel_t *self)
{
    return self->large_frame == self->frames.count;
}

/*  Frames without bytes need no reading. */
static void
skip_whole_frames (dn_channel_t *self)
{
    while (!large_is_whole (self) &&
           self->large_bytes == zmq_msg_size (&self->frames.payload[self->large_frame])) {
        self->large_frame++;
        self->large_bytes = 0;
    }
}

static int
read_large (dn_channel_t *self)
{
    size_t left = LARGE_BATCH;
    while (!large_is_whole (self)) {
        if (left == 0)
            return 1;
        zmq_msg_t *frame = &self->frames.payload[self->large_frame];
        size_t     missing = zmq_msg_size (frame) - self->large_bytes;
        ssize_t    got = read_some (self, (uint8_t *) zmq_msg_data (frame) + self->large_bytes,
                                 missing < left ? missing : left);
        if (got <= 0)
            return (int) got;
        left -= (size_t) got;
        self->large_bytes += (size_t) got;
        skip_whole_frames (self);
    }
    return 1;
}

int
dn_channel_read (dn_channel_t *self)
{
    if (self->large && !large_is_whole (self))
        return read_large (self);
    if (self->begin) {
        memmove (self->in, self->in + self->begin, self->end - self->begin);
        self->end -= self->begin;
        self->begin = 0;
    }
    ssize_t got = read_some (self, self->in + self->end, IN_BYTES - self->end);
    if (got <= 0)
        return (int) got;
    self->end += (size_t) got;
    return self->end == IN_BYTES;
}

/*  Make the frames of a packet and fill them with what is in the buffer: the bytes that were
 *  there. */
static int
make_frames (dn_frames_t *frames, const dn_packet_t *packet, const uint8_t *bytes, size_t arrived)
{
    dn_frames_clear (frames);
    if (zmq_msg_init_size (&frames->header, packet->header_bytes) < 0)
        return -ENOMEM;
    frames->whole = true;
    memcpy (zmq_msg_data (&frames->header), bytes, packet->header_bytes);
    size_t at = packet->header_bytes;
    for (unsigned i = 0; i < packet->frames; i++) {
        zmq_msg_t *frame = &frames->payload[i];
        size_t     n = (size_t) packet->frame_bytes[i];
        if (zmq_msg_init_size (frame, n) < 0)
            return -ENOMEM;
        frames->count++;
        frames->payload_bytes += n;
        size_t there = at < arrived ? arrived - at : 0;
        if (there)
            memcpy (zmq_msg_data (frame), bytes + at, there < n ? there : n);
        at += n;
    }
    return 0;
}

/*  The rest of a large packet is read into its frames from here on. */
static int
begin_large (dn_channel_t *self, const dn_packet_t *packet, const uint8_t *bytes, size_t arrived)
{
    int rc = make_frames (&self->frames, packet, bytes, arrived);
    if (rc < 0)
        return rc;
    self->large = true;
    self->large_frame = 0;
    self->begin = self->end; /* the packet is longer than what has arrived */
    size_t left = arrived - packet->header_bytes;
    while (left >= zmq_msg_size (&self->frames.payload[self->large_frame])) {
        left -= zmq_msg_size (&self->frames.payload[self->large_frame]);
        self->large_frame++;
    }
    self->large_bytes = left;
    return 0;
}

static int
next_large (dn_channel_t *self, dn_frames_t *frames)
{
    if (!large_is_whole (self))
        return 0;
    dn_frames_move (frames, &self->frames);
    self->large = false;
    return 1;
}

int
dn_channel_next (dn_channel_t *self, dn_frames_t *frames)
{
    dn_packet_t packet;

    dn_frames_clear (frames);
    if (self->large)
        return next_large (self, frames);
    const uint8_t *bytes = self->in + self->begin;
    size_t         arrived = self->end - self->begin;
    int            rc = dn_packet_parse (&packet, bytes, arrived, self->body_max);
    if (rc <= 0)
        return rc;
    if (packet.header_bytes > DN_CHANNEL_HEADER_MAX)
        return DN_WIRE_LONG;
    bytes += packet.lead_bytes;
    arrived -= packet.lead_bytes;
    if (arrived >= packet.body_bytes) {
        rc = make_frames (frames, &packet, bytes, arrived);
        self->begin += packet.lead_bytes + packet.body_bytes;
        return rc < 0 ? rc : 1;
    }
    if (packet.body_bytes > WHOLE_BYTES && arrived >= packet.header_bytes)
        return begin_large (self, &packet, bytes, arrived);
    return 0;
}
