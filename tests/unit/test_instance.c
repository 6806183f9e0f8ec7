/*  test_instance.c - whose successor a worker is
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "io/instance.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char address[64]; /* that no other test on this host has */

static void
two_that_live_at_once_are_not_the_same (void **state)
{
    (void) state;
    dn_session_t first, second;
    int          one = dn_instance_claim (address, &first);
    int          two = dn_instance_claim (address, &second);
    assert_true (one >= 0 && two >= 0);
    assert_false (dn_session_zero (&first) || dn_session_zero (&second));
    assert_false (dn_session_eq (&first, &second));
    close (one);
    close (two);
}

static void
who_comes_after_one_that_ended_is_the_same (void **state)
{
    (void) state;
    dn_session_t first, second, next;
    int          one = dn_instance_claim (address, &first);
    int          two = dn_instance_claim (address, &second);
    close (one);
    one = dn_instance_claim (address, &next);
    assert_true (dn_session_eq (&first, &next));
    close (one);
    close (two);
}

static void
a_process_that_is_killed_leaves_its_place (void **state)
{
    (void) state;
    dn_session_t mine, its;
    int          ends[2];
    assert_int_equal (pipe (ends), 0);
    pid_t pid = fork ();
    if (pid == 0) {
        dn_instance_claim (address, &its);
        _exit (write (ends[1], &its, sizeof its) < 0 || pause ());
    }
    assert_int_equal (read (ends[0], &its, sizeof its), sizeof its);
    int fd = dn_instance_claim (address, &mine);
    assert_false (dn_session_eq (&mine, &its));
    close (fd);

    kill (pid, SIGKILL);
    assert_int_equal (waitpid (pid, NULL, 0), pid);
    fd = dn_instance_claim (address, &mine);
    assert_true (dn_session_eq (&mine, &its));
    close (fd);
    close (ends[0]);
    close (ends[1]);
}

static void
workers_of_another_manager_are_others (void **state)
{
    (void) state;
    dn_session_t mine, other;
    int          one = dn_instance_claim (address, &mine);
    int          two = dn_instance_claim ("ipc:///tmp/test-instance", &other);
    assert_true (one >= 0 && two >= 0);
    assert_false (dn_session_eq (&mine, &other));
    close (one);
    close (two);
}

static void
it_is_not_inherited (void **state)
{
    (void) state;
    dn_session_t mine;
    int          fd = dn_instance_claim (address, &mine);
    assert_int_equal (fcntl (fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    close (fd);
}

static void
without_a_descriptor_it_is_nobody (void **state)
{
    (void) state;
    dn_session_t  none;
    struct rlimit limit, tight;
    assert_int_equal (getrlimit (RLIMIT_NOFILE, &limit), 0);
    tight = (struct rlimit){0, limit.rlim_max};
    setrlimit (RLIMIT_NOFILE, &tight);
    int fd = dn_instance_claim (address, &none);
    setrlimit (RLIMIT_NOFILE, &limit);
    assert_int_equal (fd, -1);
    assert_true (dn_session_zero (&none));
}

int
main (void)
{
    snprintf (address, sizeof address, "tcp://test-instance-%d:5570", (int) getpid ());
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (two_that_live_at_once_are_not_the_same),
        cmocka_unit_test (who_comes_after_one_that_ended_is_the_same),
        cmocka_unit_test (a_process_that_is_killed_leaves_its_place),
        cmocka_unit_test (workers_of_another_manager_are_others),
        cmocka_unit_test (it_is_not_inherited),
        cmocka_unit_test (without_a_descriptor_it_is_nobody),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
