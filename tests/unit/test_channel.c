/*  test_channel.c - packets through a real socketpair, in one process
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "io/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define BODY_MAX (8 * 1024 * 1024)

typedef struct {
    dn_channel_t *near;
    dn_channel_t *far;
    dn_frames_t   frames;
} pair_t;

static void
set_up (pair_t *pair)
{
    int fds[2];
    memset (pair, 0, sizeof *pair);
    assert_int_equal (socketpair (AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    pair->near = dn_channel_new (fds[0], BODY_MAX);
    pair->far = dn_channel_new (fds[1], BODY_MAX);
    assert_non_null (pair->near);
    assert_non_null (pair->far);
}

static void
tear_down (pair_t *pair)
{
    dn_frames_clear (&pair->frames);
    dn_channel_destroy (&pair->near);
    dn_channel_destroy (&pair->far);
    assert_null (pair->near);
}

static void
fill (zmq_msg_t *frame, size_t n, uint8_t seed)
{
    assert_int_equal (zmq_msg_init_size (frame, n), 0);
    uint8_t *at = zmq_msg_data (frame);
    for (size_t i = 0; i < n; i++)
        at[i] = (uint8_t) (seed + i * 7);
}

static void
is_filled (zmq_msg_t *frame, size_t n, uint8_t seed)
{
    assert_int_equal (zmq_msg_size (frame), n);
    const uint8_t *at = zmq_msg_data (frame);
    for (size_t i = 0; i < n; i++)
        assert_int_equal (at[i], (uint8_t) (seed + i * 7));
}

/*  Let both ends work until a message has come through. */
static void
pump (pair_t *pair)
{
    int rc = 0;
    for (int i = 0; i < 1000 && rc == 0; i++) {
        assert_true (dn_channel_flush (pair->near) >= 0);
        assert_true (dn_channel_read (pair->far) >= 0);
        rc = dn_channel_next (pair->far, &pair->frames);
    }
    assert_int_equal (rc, 1);
}

static void
send_and_check (pair_t *pair, const size_t *sizes, unsigned count)
{
    zmq_msg_t payload[DN_FRAMES_MAX];

    for (unsigned i = 0; i < count; i++)
        fill (&payload[i], sizes[i], (uint8_t) i);
    assert_int_equal (dn_channel_put (pair->near, 7, 0, "header", 6, payload, count), 0);
    pump (pair);
    assert_int_equal (zmq_msg_size (&pair->frames.header), 6);
    assert_memory_equal (zmq_msg_data (&pair->frames.header), "header", 6);
    assert_int_equal (pair->frames.count, count);
    for (unsigned i = 0; i < count; i++) {
        is_filled (&pair->frames.payload[i], sizes[i], (uint8_t) i);
        is_filled (&payload[i], sizes[i], (uint8_t) i); /* stays the caller's */
        zmq_msg_close (&payload[i]);
    }
    assert_false (dn_channel_waiting (pair->near));
}

static void
messages_of_any_size_come_through_whole (void **state)
{
    static const struct {
        unsigned count;
        size_t   sizes[4];
    } cases[] = {
        {0, {0}},
        {1, {0}},
        {1, {1}},
        {2, {100, 5000}},
        {1, {127 * 1024}},
        {1, {128 * 1024}},
        {1, {5 * 1024 * 1024}},
        {4, {0, 200 * 1024, 0, 0}},
        {4, {70000, 0, 1, 3 * 1024 * 1024}},
        {3, {300 * 1024, 300 * 1024, 10}},
    };
    pair_t pair;
    (void) state;

    set_up (&pair);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        send_and_check (&pair, cases[i].sizes, cases[i].count);
    tear_down (&pair);
}

static void
small_messages_go_out_together_and_in_order (void **state)
{
    pair_t    pair;
    zmq_msg_t frame;
    (void) state;

    set_up (&pair);
    for (uint8_t i = 0; i < 200; i++) {
        fill (&frame, 300, i);
        assert_int_equal (dn_channel_put (pair.near, i + 1u, 0, "h", 1, &frame, 1), 0);
        zmq_msg_close (&frame);
    }
    assert_int_equal (dn_channel_flush (pair.near), 0);
    assert_int_equal (dn_channel_read (pair.far), 0);
    for (uint8_t i = 0; i < 200; i++) {
        assert_int_equal (dn_channel_next (pair.far, &pair.frames), 1);
        is_filled (&pair.frames.payload[0], 300, i);
    }
    assert_int_equal (dn_channel_next (pair.far, &pair.frames), 0);
    tear_down (&pair);
}

static void
reader_that_does_not_read_makes_bytes_wait_up_to_a_limit (void **state)
{
    pair_t    pair;
    zmq_msg_t frame;
    int       rc = 0;
    unsigned  count = 0;
    (void) state;

    set_up (&pair);
    fill (&frame, 200 * 1024, 1);
    while (rc == 0 && count < 10000) {
        rc = dn_channel_put (pair.near, 1, 0, "h", 1, &frame, 1);
        count += rc == 0;
        assert_true (dn_channel_flush (pair.near) >= 0);
    }
    assert_int_equal (rc, -ENOBUFS);
    assert_true (dn_channel_waiting (pair.near));
    for (unsigned i = 0; i < count; i++) {
        pump (&pair);
        is_filled (&pair.frames.payload[0], 200 * 1024, 1);
    }
    assert_false (dn_channel_waiting (pair.near));
    zmq_msg_close (&frame);
    tear_down (&pair);
}

static void
end_of_the_other_side_is_told (void **state)
{
    pair_t pair;
    (void) state;

    set_up (&pair);
    assert_int_equal (dn_channel_put (pair.near, 1, 0, "last", 4, NULL, 0), 0);
    assert_int_equal (dn_channel_flush (pair.near), 0);
    dn_channel_destroy (&pair.near);
    assert_int_equal (dn_channel_read (pair.far), 0);
    assert_int_equal (dn_channel_next (pair.far, &pair.frames), 1);
    assert_int_equal (dn_channel_read (pair.far), -EPIPE);
    assert_int_equal (dn_channel_put (pair.far, 1, 0, "late", 4, NULL, 0), 0);
    assert_true (dn_channel_flush (pair.far) < 0);
    tear_down (&pair);
}

static void
bytes_that_are_no_packet_are_refused (void **state)
{
    static const uint8_t too_long[DN_LEAD_BYTES] = {0, 0, 0, 1, 0, 0, 0, 0, 0, 0xff};
    static const uint8_t too_many[DN_LEAD_BYTES] = {0, 0, 0, 1, 0, 0, 0, 0, 200};
    static const uint8_t header[DN_LEAD_BYTES] = {0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0};
    const uint8_t       *bad[] = {too_long, too_many, header};
    (void) state;

    for (size_t i = 0; i < 3; i++) {
        pair_t pair;
        set_up (&pair);
        assert_int_equal (write (dn_channel_fd (pair.near), bad[i], DN_LEAD_BYTES), DN_LEAD_BYTES);
        assert_int_equal (dn_channel_read (pair.far), 0);
        assert_true (dn_channel_next (pair.far, &pair.frames) < 0);
        tear_down (&pair);
    }
}

static void
descriptors_come_along_with_a_message (void **state)
{
    pair_t   pair;
    dn_msg_t msg = {.kind = DN_MSG_FORK};
    uint8_t  bytes[256];
    union {
        struct cmsghdr align;
        uint8_t        bytes[CMSG_SPACE (sizeof (int))];
    } control;
    struct iovec  iov = {bytes, sizeof bytes};
    struct msghdr in = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes};
    int           ends[2];
    (void) state;

    set_up (&pair);
    assert_int_equal (pipe (ends), 0);
    msg.u.fork.slot = 3;
    assert_int_equal (dn_channel_send_fds (pair.near, &msg, &ends[1], 1), 0);
    in.msg_controllen = sizeof control.bytes;
    assert_true (recvmsg (dn_channel_fd (pair.far), &in, 0) > DN_LEAD_BYTES);
    int given;
    memcpy (&given, CMSG_DATA (CMSG_FIRSTHDR (&in)), sizeof given);
    assert_int_equal (write (given, "x", 1), 1);
    assert_int_equal (read (ends[0], bytes, 1), 1);
    close (given);
    close (ends[0]);
    close (ends[1]);
    tear_down (&pair);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (messages_of_any_size_come_through_whole),
        cmocka_unit_test (small_messages_go_out_together_and_in_order),
        cmocka_unit_test (reader_that_does_not_read_makes_bytes_wait_up_to_a_limit),
        cmocka_unit_test (end_of_the_other_side_is_told),
        cmocka_unit_test (bytes_that_are_no_packet_are_refused),
        cmocka_unit_test (descriptors_come_along_with_a_message),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
