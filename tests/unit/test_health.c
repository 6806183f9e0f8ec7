/*  test_health.c - both ends of the socket on which a worker says how it is
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/health.h"

#define LARGE_BYTES (64 * 1024 * 1024) /* more than a socket ever has room for */

#define LINE(flags, type, name)                                                                    \
    "0000000091b2c3d4: 00000002 00000000 " flags " " type " 01 123456 " name "\n"
#define LISTENS(name) LINE ("00010000", "0001", name)

/*  ---- names ---- */

static void
line_of_a_worker_gives_its_user_and_process (void **state)
{
    static const struct {
        const char *line;
        uid_t       uid;
        pid_t       pid;
    } rows[] = {
        {LISTENS ("@denim-worker-0-1"), 0, 1},
        {LISTENS ("@denim-worker-1000-4194304"), 1000, 4194304},
        {LISTENS ("@denim-worker-4294967294-2147483647"), 4294967294u, INT32_MAX},
        {"1: 2 0 10000 1 1 7 @denim-worker-5-6", 5, 6}, /* the last line, and short numbers */
    };
    (void) state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        dn_health_name_t name = {0};
        assert_true (dn_health_parse (rows[i].line, &name));
        assert_int_equal (name.uid, rows[i].uid);
        assert_int_equal (name.pid, rows[i].pid);
    }
}

static void
line_of_anything_else_is_passed_over (void **state)
{
    static const char *const lines[] = {
        "",
        "\n",
        "Num       RefCount Protocol Flags    Type St Inode Path\n",
        LISTENS (""),
        LISTENS ("/run/denim-worker-0-1"),
        LISTENS ("denim-worker-0-1"), /* not abstract */
        LISTENS ("@denim-workers-0-1"),
        LISTENS ("@denim-worker-"),
        LISTENS ("@denim-worker-0"),
        LISTENS ("@denim-worker-0-"),
        LISTENS ("@denim-worker--1"),
        LISTENS ("@denim-worker-0-0"), /* no process */
        LISTENS ("@denim-worker-0-01"),
        LISTENS ("@denim-worker-00-1"),
        LISTENS ("@denim-worker-+1-1"),
        LISTENS ("@denim-worker-1--1"),
        LISTENS ("@denim-worker-1 -1"),
        LISTENS ("@denim-worker-1-1 "),
        LISTENS ("@denim-worker-1-1@"), /* one more byte, a zero */
        LISTENS ("@denim-worker-1-2147483648"),
        LISTENS ("@denim-worker-4294967296-1"),
        LISTENS ("@denim-worker-1-11111111111111111111111"),
        LINE ("00000000", "0001", "@denim-worker-0-1"), /* was accepted there */
        LINE ("00010000", "0005", "@denim-worker-0-1"), /* packets */
        LINE ("00010000", "000x", "@denim-worker-0-1"),
    };
    dn_health_name_t name = {7, 7};
    (void) state;

    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        if (dn_health_parse (lines[i], &name))
            fail_msg ("%s", lines[i]);
    assert_int_equal (name.uid, 7);
    assert_int_equal (name.pid, 7);
}

/*  ---- the worker's end ---- */

/*  Somebody who asks this process. */
static int
connect_here (void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int                fd = socket (AF_UNIX, SOCK_STREAM, 0);
    int       n = snprintf (address.sun_path + 1, sizeof address.sun_path - 1, "denim-worker-%u-%d",
                            (unsigned) geteuid (), (int) getpid ());
    socklen_t address_bytes =
        (socklen_t) (offsetof (struct sockaddr_un, sun_path) + 1) + (socklen_t) n;

    assert_true (fd >= 0);
    assert_int_equal (connect (fd, (struct sockaddr *) &address, address_bytes), 0);
    return fd;
}

static void
answer_is_read_to_its_end (void **state)
{
    char    text[64];
    int     listener = dn_health_listen ();
    ssize_t n;
    (void) state;

    assert_true (listener >= 0);
    assert_int_equal (dn_health_accept (listener), -EAGAIN);
    int asker = connect_here ();
    int fd = dn_health_accept (listener);
    assert_true (fd >= 0);
    assert_int_equal (dn_health_say (fd, "{\"slots\":2}"), 0);
    n = recv (asker, text, sizeof text, MSG_WAITALL);
    assert_int_equal (n, 11);
    assert_memory_equal (text, "{\"slots\":2}", 11);
    assert_int_equal (dn_health_accept (listener), -EAGAIN);
    close (asker);
    close (listener);
}

static void
answer_that_finds_no_room_is_an_error_and_nothing_waits (void **state)
{
    int   listener = dn_health_listen ();
    char *text = malloc (LARGE_BYTES + 1);
    (void) state;

    assert_non_null (text);
    memset (text, ' ', LARGE_BYTES);
    text[LARGE_BYTES] = '\0';
    int asker = connect_here ();
    int fd = dn_health_accept (listener);
    assert_int_equal (dn_health_say (fd, text), -EMSGSIZE);
    assert_int_equal (close (fd), -1); /* it is closed already */
    close (asker);
    close (listener);
    free (text);
}

static void
asker_that_has_left_is_an_error (void **state)
{
    int listener = dn_health_listen ();
    (void) state;

    close (connect_here ());
    int fd = dn_health_accept (listener);
    assert_true (fd >= 0);
    assert_int_equal (dn_health_say (fd, "{}"), -EPIPE);
    close (listener);
}

static void
name_that_is_taken_is_an_error_until_it_is_free (void **state)
{
    int listener = dn_health_listen ();
    (void) state;

    assert_true (listener >= 0);
    assert_int_equal (dn_health_listen (), -EADDRINUSE);
    close (listener);
    listener = dn_health_listen ();
    assert_true (listener >= 0);
    close (listener);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (line_of_a_worker_gives_its_user_and_process),
        cmocka_unit_test (line_of_anything_else_is_passed_over),
        cmocka_unit_test (answer_is_read_to_its_end),
        cmocka_unit_test (answer_that_finds_no_room_is_an_error_and_nothing_waits),
        cmocka_unit_test (asker_that_has_left_is_an_error),
        cmocka_unit_test (name_that_is_taken_is_an_error_until_it_is_free),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
