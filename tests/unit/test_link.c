/*  test_link.c - messages over real ZeroMQ sockets, in one process
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "io/link.h"
#include "io/process.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PATIENCE_MS 5000 /* for what must happen; a test that needs it has failed */

typedef struct {
    void       *context;
    void       *router;
    void       *dealer;
    dn_frames_t frames;
} rig_t;

static const dn_link_config_t small = {.send_max = 8, .receive_max = 8};

static void
set_up (rig_t *rig, const char *endpoint)
{
    memset (rig, 0, sizeof *rig);
    rig->context = dn_link_context (1);
    assert_non_null (rig->context);
    rig->router = dn_link_router (rig->context, endpoint, &small);
    assert_non_null (rig->router);
    rig->dealer = dn_link_dealer (rig->context, endpoint, &small);
    assert_non_null (rig->dealer);
}

static void
tear_down (rig_t *rig)
{
    dn_frames_clear (&rig->frames);
    if (rig->dealer)
        zmq_close (rig->dealer);
    zmq_close (rig->router);
    zmq_ctx_term (rig->context);
}

static void
await (void *socket, short events)
{
    zmq_pollitem_t item = {socket, 0, events, 0};
    assert_int_equal (zmq_poll (&item, 1, PATIENCE_MS), 1);
}

static void
frame_set (zmq_msg_t *frame, const char *text)
{
    assert_int_equal (zmq_msg_init_size (frame, strlen (text)), 0);
    memcpy (zmq_msg_data (frame), text, strlen (text));
}

static void
frame_is (zmq_msg_t *frame, const char *text)
{
    assert_int_equal (zmq_msg_size (frame), strlen (text));
    assert_memory_equal (zmq_msg_data (frame), text, strlen (text));
}

static dn_link_t
say_hello (rig_t *rig, const char *header)
{
    await (rig->dealer, ZMQ_POLLOUT);
    assert_int_equal (dn_link_send (rig->dealer, 0, header, strlen (header), NULL, 0, false), 0);
    await (rig->router, ZMQ_POLLIN);
    assert_int_equal (dn_link_recv_from (rig->router, &rig->frames), 1);
    assert_null (rig->frames.fault);
    return rig->frames.from;
}

static void
message_goes_there_and_back_whole (void **state)
{
    rig_t     rig;
    zmq_msg_t payload[2];
    (void) state;

    set_up (&rig, "inproc://whole");
    frame_set (&payload[0], "one");
    frame_set (&payload[1], "");
    await (rig.dealer, ZMQ_POLLOUT);
    assert_int_equal (dn_link_send (rig.dealer, 0, "head", 4, payload, 2, false), 0);
    await (rig.router, ZMQ_POLLIN);
    assert_int_equal (dn_link_recv_from (rig.router, &rig.frames), 1);
    assert_int_equal (rig.frames.from >> 32, 1);
    assert_int_equal (rig.frames.count, 2);
    assert_int_equal (rig.frames.payload_bytes, 3);

    assert_int_equal (dn_link_relay (rig.router, rig.frames.from, &rig.frames, false), 0);
    await (rig.dealer, ZMQ_POLLIN);
    assert_int_equal (dn_link_recv (rig.dealer, &rig.frames), 1);
    frame_is (&rig.frames.header, "head");
    frame_is (&rig.frames.payload[0], "one");
    frame_is (&rig.frames.payload[1], "");
    assert_int_equal (dn_link_recv (rig.dealer, &rig.frames), 0);
    assert_false (rig.frames.whole);
    zmq_msg_close (&payload[0]);
    zmq_msg_close (&payload[1]);
    tear_down (&rig);
}

static void
kept_payload_can_be_sent_again (void **state)
{
    rig_t     rig;
    zmq_msg_t payload;
    char      large[5000];
    (void) state;

    set_up (&rig, "inproc://kept");
    memset (large, 'x', sizeof large - 1);
    large[sizeof large - 1] = 0;
    frame_set (&payload, large);
    dn_link_t to = say_hello (&rig, "hello");
    for (int i = 0; i < 2; i++) {
        assert_int_equal (dn_link_send (rig.router, to, "run", 3, &payload, 1, true), 0);
        await (rig.dealer, ZMQ_POLLIN);
        assert_int_equal (dn_link_recv (rig.dealer, &rig.frames), 1);
        frame_is (&rig.frames.payload[0], large);
    }
    zmq_msg_close (&payload);
    tear_down (&rig);
}

static void
full_peer_and_gone_peer_are_told_apart (void **state)
{
    rig_t     rig;
    zmq_msg_t payload;
    int       rc = 0;
    (void) state;

    set_up (&rig, "inproc://full");
    dn_link_t to = say_hello (&rig, "hello");
    frame_set (&payload, "stays");
    for (int i = 0; i < 100 && rc == 0; i++)
        rc = dn_link_send (rig.router, to, "run", 3, NULL, 0, false);
    assert_int_equal (rc, -EAGAIN);
    assert_int_equal (dn_link_send (rig.router, to, "run", 3, &payload, 1, false), -EAGAIN);
    frame_is (&payload, "stays");

    assert_int_equal (dn_link_send (rig.router, to ^ 0x10000, "run", 3, &payload, 1, false),
                      -EHOSTUNREACH);
    frame_is (&payload, "stays");
    zmq_msg_close (&payload);
    tear_down (&rig);
}

static void
dealer_without_a_peer_holds_nothing (void **state)
{
    void *context = dn_link_context (1);
    void *dealer = dn_link_dealer (context, "ipc://@denim-test-nobody-is-here", &small);
    (void) state;

    assert_non_null (dealer);
    assert_int_equal (dn_link_send (dealer, 0, "hello", 5, NULL, 0, false), -EAGAIN);
    zmq_close (dealer);
    zmq_ctx_term (context);
}

static void
too_many_frames_are_a_fault_and_the_next_message_is_whole (void **state)
{
    rig_t rig;
    (void) state;

    set_up (&rig, "inproc://many");
    await (rig.dealer, ZMQ_POLLOUT);
    for (int i = 0; i < DN_FRAMES_MAX + 5; i++)
        assert_true (zmq_send (rig.dealer, "x", 1, ZMQ_SNDMORE) >= 0);
    assert_true (zmq_send (rig.dealer, "x", 1, 0) >= 0);
    await (rig.router, ZMQ_POLLIN);
    assert_int_equal (dn_link_recv_from (rig.router, &rig.frames), 1);
    assert_non_null (rig.frames.fault);

    say_hello (&rig, "next");
    frame_is (&rig.frames.header, "next");
    assert_int_equal (rig.frames.count, 0);
    tear_down (&rig);
}

static void
routing_id_of_its_own_makes_a_peer_none_of_ours (void **state)
{
    rig_t rig;
    (void) state;

    set_up (&rig, "inproc://own");
    void *rude = zmq_socket (rig.context, ZMQ_DEALER);
    assert_int_equal (zmq_setsockopt (rude, ZMQ_ROUTING_ID, "admin", 5), 0);
    assert_int_equal (zmq_connect (rude, "inproc://own"), 0);
    assert_true (zmq_send (rude, "x", 1, 0) >= 0);
    await (rig.router, ZMQ_POLLIN);
    assert_int_equal (dn_link_recv_from (rig.router, &rig.frames), 1);
    assert_int_equal (rig.frames.from, 0);
    assert_non_null (rig.frames.fault);
    zmq_close (rude);
    tear_down (&rig);
}

static void
message_in_hand_can_be_moved_aside (void **state)
{
    rig_t              rig;
    static dn_frames_t kept;
    zmq_msg_t          payload;
    (void) state;

    set_up (&rig, "inproc://aside");
    dn_link_t to = say_hello (&rig, "hello");
    frame_set (&payload, "body");
    assert_int_equal (dn_link_send (rig.router, to, "run", 3, &payload, 1, false), 0);
    await (rig.dealer, ZMQ_POLLIN);
    assert_int_equal (dn_link_recv (rig.dealer, &rig.frames), 1);
    dn_frames_move (&kept, &rig.frames);
    assert_false (rig.frames.whole);
    assert_int_equal (rig.frames.count, 0);
    frame_is (&kept.header, "run");
    frame_is (&kept.payload[0], "body");
    assert_int_equal (kept.payload_bytes, 4);
    dn_frames_clear (&kept);
    zmq_msg_close (&payload);
    tear_down (&rig);
}

static void
broken_connection_is_told_once (void **state)
{
    rig_t rig;
    int   fd = -1;
    (void) state;

    set_up (&rig, "ipc://@denim-test-broken");
    void *monitor = dn_link_monitor (rig.context, rig.dealer, &fd);
    assert_non_null (monitor);
    say_hello (&rig, "hello");
    zmq_close (rig.router);
    struct pollfd item = {.fd = fd, .events = POLLIN};
    assert_int_equal (poll (&item, 1, PATIENCE_MS), 1);
    assert_true (dn_link_broken (monitor));
    assert_false (dn_link_broken (monitor));
    rig.router = zmq_socket (rig.context, ZMQ_ROUTER);
    dn_link_close (rig.dealer, monitor, 0);
    rig.dealer = NULL;
    tear_down (&rig);
}

/*  The I/O thread would wait for the monitor to be read. */
static void
connection_that_breaks_after_its_monitor_was_closed_stops_nothing (void **state)
{
    rig_t rig;
    int   fd = -1;
    (void) state;

    set_up (&rig, "ipc://@denim-test-unmonitored");
    void *monitor = dn_link_monitor (rig.context, rig.dealer, &fd);
    say_hello (&rig, "hello");
    dn_link_unmonitor (rig.dealer, monitor);
    zmq_close (rig.router);
    int64_t end_ms = dn_process_now_ms () + PATIENCE_MS;
    while (zmq_poll (&(zmq_pollitem_t){rig.dealer, 0, ZMQ_POLLOUT, 0}, 1, 0) == 1)
        assert_true (dn_process_now_ms () < end_ms);
    rig.router = zmq_socket (rig.context, ZMQ_ROUTER);
    tear_down (&rig);
}

/*  The scheduling policy of a thread of this process, -1 if it is none of libzmq's. */
static int
policy_of (const char *thread)
{
    char  path[300], name[32] = "";
    FILE *file;

    snprintf (path, sizeof path, "/proc/self/task/%s/comm", thread);
    file = fopen (path, "r");
    if (!file)
        return -1;
    bool read = fgets (name, sizeof name, file) != NULL;
    fclose (file);
    return read && !strncmp (name, "ZMQbg/IO", 8) ? sched_getscheduler (atoi (thread)) : -1;
}

static unsigned
count_batch_threads (void)
{
    unsigned       batch = 0;
    DIR           *threads = opendir ("/proc/self/task");
    struct dirent *thread;

    while ((thread = readdir (threads)))
        batch += policy_of (thread->d_name) == SCHED_BATCH;
    closedir (threads);
    return batch;
}

static void
threads_of_a_context_are_woken_without_stopping_others (void **state)
{
    const struct sched_param param = {0};
    (void) state;

    if (sched_setscheduler (0, SCHED_BATCH, &param) < 0)
        skip (); /* a sandbox: then they are as all others */
    sched_setscheduler (0, SCHED_OTHER, &param);
    void *context = dn_link_context (2);
    assert_int_equal (sched_getscheduler (0), SCHED_OTHER);
    int64_t end_ms = dn_process_now_ms () + PATIENCE_MS;
    while (count_batch_threads () != 2) /* they give themselves their names */
        assert_true (dn_process_now_ms () < end_ms);
    zmq_ctx_term (context);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (message_goes_there_and_back_whole),
        cmocka_unit_test (kept_payload_can_be_sent_again),
        cmocka_unit_test (full_peer_and_gone_peer_are_told_apart),
        cmocka_unit_test (dealer_without_a_peer_holds_nothing),
        cmocka_unit_test (too_many_frames_are_a_fault_and_the_next_message_is_whole),
        cmocka_unit_test (routing_id_of_its_own_makes_a_peer_none_of_ours),
        cmocka_unit_test (message_in_hand_can_be_moved_aside),
        cmocka_unit_test (broken_connection_is_told_once),
        cmocka_unit_test (threads_of_a_context_are_woken_without_stopping_others),
        cmocka_unit_test (connection_that_breaks_after_its_monitor_was_closed_stops_nothing),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
