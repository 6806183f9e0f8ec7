/*  test_lib_life.c - libdenim: opening, closing, forks, and managers that come and go
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "denim.h"

#include "fake_manager.h"

#include "wire/wire.h"

#include <dirent.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_MS 10000 /* for what must happen */

static int64_t
now_ms (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void
call_echo (denim_client_t *client)
{
    denim_reply_t *reply = denim_client_callf (client, "m:echo", "[]");
    assert_non_null (reply);
    assert_int_equal (denim_reply_outcome (reply), DENIM_VALUE);
    denim_reply_destroy (&reply);
}

/*  ---- addresses ---- */

static void
address_comes_from_the_argument_the_environment_or_is_the_default (void **state)
{
    static const struct {
        const char *argument, *environment, *address;
    } rows[] = {{NULL, NULL, "tcp://127.0.0.1:5570"},
                {NULL, "", "tcp://127.0.0.1:5570"},
                {NULL, "tcp://there:1", "tcp://there:1"},
                {"ipc:///tmp/x", "tcp://there:1", "ipc:///tmp/x"}};
    (void) state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].environment)
            setenv ("DENIM_MANAGER", rows[i].environment, 1);
        else
            unsetenv ("DENIM_MANAGER");
        denim_client_t *client = denim_client_new (rows[i].argument, NULL);
        json_t         *info = denim_client_info (client);
        assert_string_equal (json_string_value (json_object_get (info, "address")),
                             rows[i].address);
        json_decref (info);
        denim_client_destroy (&client);
    }
    unsetenv ("DENIM_MANAGER");
}

static void
wrong_address_makes_no_client (void **state)
{
    (void) state;
    int error = 0;
    assert_null (denim_client_new ("http://x", &error));
    assert_int_equal (error, DENIM_ERR_ADDRESS);
    assert_null (denim_client_new ("tcp://*", &error));
    assert_int_equal (error, DENIM_ERR_ADDRESS);
}

/*  ---- ends ---- */

static unsigned
entries (const char *path)
{
    unsigned count = 0;
    DIR     *dir = opendir (path);
    while (readdir (dir))
        count++;
    closedir (dir);
    return count;
}

static void
nothing_is_left_of_a_client_that_was_destroyed (void **state)
{
    (void) state;
    fake_manager_t *manager = fake_new (&(fake_config_t){0});
    unsigned        fds = entries ("/proc/self/fd");
    unsigned        threads = entries ("/proc/self/task");
    denim_client_t *client = denim_client_new (fake_address (manager), NULL);
    assert_int_equal (entries ("/proc/self/task"), threads); /* not before the first call */
    call_echo (client);
    denim_client_submit (client, "m:hold", NULL, NULL, NULL, 0);
    denim_client_submit (client, "m:echo", NULL, NULL, &(denim_options_t){.take_later = true}, 0);
    denim_client_destroy (&client);
    assert_null (client);
    denim_client_destroy (&client);
    fake_await (manager, DN_MSG_BYE, 1);
    assert_int_equal (entries ("/proc/self/task"), threads);
    assert_in_range (entries ("/proc/self/fd"), 1, fds + 1); /* the manager's end of it */
    fake_destroy (&manager);
}

static void
destroying_takes_a_second_at_most_whatever_the_manager_does (void **state)
{
    (void) state;
    fake_manager_t *manager = fake_new (&(fake_config_t){.deaf = true});
    denim_client_t *client = denim_client_new (fake_address (manager), NULL);
    denim_client_submit (client, "m:echo", NULL, NULL, NULL, 0);
    fake_await (manager, DN_MSG_CLIENT_HELLO, 1);
    int64_t begun_ms = now_ms ();
    denim_client_destroy (&client);
    assert_true (now_ms () - begun_ms < 1500);
    fake_destroy (&manager);

    client = denim_client_new ("tcp://192.0.2.1:9", NULL); /* a network that is not there */
    denim_client_submit (client, "m:echo", NULL, NULL, NULL, 0);
    begun_ms = now_ms ();
    denim_client_destroy (&client);
    assert_true (now_ms () - begun_ms < 1500);
}

static void
reply_outlives_its_client (void **state)
{
    (void) state;
    fake_manager_t *manager = fake_new (&(fake_config_t){0});
    denim_client_t *client = denim_client_new (fake_address (manager), NULL);
    denim_reply_t  *reply = denim_client_callf (client, "m:echo", "[s]", "still here");
    denim_client_destroy (&client);
    fake_destroy (&manager);
    json_t *value = json_array_get (json_array_get (denim_reply_json (reply), 0), 0);
    assert_string_equal (json_string_value (value), "still here");
    denim_reply_destroy (&reply);
}

static void
closed_handle_ends_its_calls_and_gives_out_their_answers (void **state)
{
    (void) state;
    fake_manager_t *manager = fake_new (&(fake_config_t){0});
    denim_client_t *client = denim_client_new (fake_address (manager), NULL);
    denim_client_t *other = denim_client_dup (client);
    int64_t         kept = denim_client_submit (other, "m:hold", NULL, NULL, NULL, 0);
    int64_t         waited = denim_client_submit (client, "m:hold", NULL, NULL, NULL, 0);
    denim_options_t later = {.take_later = true};
    for (int i = 0; i < 10; i++)
        denim_client_submit (client, "m:hold", NULL, NULL, &later, 0);
    fake_await (manager, DN_MSG_SUBMIT, 12);
    denim_client_close (client);
    denim_client_close (client);

    assert_int_equal (denim_client_submit (client, "m:echo", NULL, NULL, NULL, 0),
                      DENIM_ERR_CLOSED);
    int error;
    assert_null (denim_client_ask (client, "status", NULL, 100, &error));
    assert_int_equal (error, DENIM_ERR_CLOSED);
    denim_reply_t *reply = denim_client_wait (client, waited, 0, NULL);
    assert_int_equal (denim_reply_outcome (reply), DENIM_CANCELLED);
    denim_reply_destroy (&reply);
    denim_reply_t *replies[16];
    assert_int_equal (denim_client_recv_wait (client, replies, 16, PATIENCE_MS), 10);
    for (int i = 0; i < 10; i++) {
        assert_int_equal (denim_reply_outcome (replies[i]), DENIM_CANCELLED);
        denim_reply_destroy (&replies[i]);
    }
    assert_int_equal (denim_client_recv_wait (client, replies, 16, PATIENCE_MS), 0);
    fake_await (manager, DN_MSG_CLIENT_CANCEL, 11);

    fake_release (manager); /* the other handle goes on */
    reply = denim_client_wait (other, kept, PATIENCE_MS, NULL);
    assert_int_equal (denim_reply_outcome (reply), DENIM_VALUE);
    denim_reply_destroy (&reply);
    denim_client_destroy (&client);
    call_echo (other);
    denim_client_destroy (&other);
    fake_destroy (&manager);
}

/*  Nobody has taken its answers, and no actor is there any more. */
static void
last_handle_can_be_closed_again_and_destroyed (void **state)
{
    (void) state;
    for (int closes = 0; closes < 3; closes++) {
        fake_manager_t *manager = fake_new (&(fake_config_t){0});
        denim_client_t *client = denim_client_new (fake_address (manager), NULL);
        denim_options_t later = {.take_later = true};
        for (int i = 0; i < 10; i++)
            denim_client_submit (client, "m:hold", NULL, NULL, &later, 0);
        fake_await (manager, DN_MSG_SUBMIT, 10);
        for (int i = 0; i < closes; i++)
            denim_client_close (client);
        denim_client_destroy (&client);
        fake_destroy (&manager);
    }
}

typedef struct {
    denim_client_t    *client;
    pthread_barrier_t *ready;
    int                what;
    int64_t            result;
} waiter_t;

static void *
wait_main (void *arg)
{
    waiter_t      *self = arg;
    denim_reply_t *reply = NULL;
    int64_t        id = 0;
    if (self->what == 0)
        id = denim_client_submit (self->client, "m:hold", NULL, NULL, NULL, 0);
    pthread_barrier_wait (self->ready);
    switch (self->what) {
    case 0:
        reply = denim_client_wait (self->client, id, -1, NULL);
        self->result = denim_reply_outcome (reply);
        denim_reply_destroy (&reply);
        break;
    case 1:
        self->result = denim_client_submit (self->client, "m:hold", NULL, NULL, NULL, -1);
        break;
    case 2: self->result = (int64_t) denim_client_recv_wait (self->client, &reply, 1, -1); break;
    case 3: {
        int error;
        assert_null (denim_client_ask (self->client, "mute", NULL, -1, &error));
        self->result = error;
    }
    }
    return NULL;
}

static void
closing_lets_waiting_threads_return (void **state)
{
    (void) state;
    static const int64_t results[] = {DENIM_CANCELLED, DENIM_ERR_CLOSED, 0, DENIM_ERR_CLOSED};
    fake_manager_t      *manager = fake_new (&(fake_config_t){0});
    denim_client_t      *client = denim_client_new (fake_address (manager), NULL);
    denim_client_set_window (client, 1);
    pthread_barrier_t ready;
    pthread_barrier_init (&ready, NULL, 5);
    pthread_t threads[4];
    waiter_t  waiters[4];
    for (int i = 0; i < 4; i++) {
        waiters[i] = (waiter_t){client, &ready, i, -100};
        pthread_create (&threads[i], NULL, wait_main, &waiters[i]);
    }
    pthread_barrier_wait (&ready);
    fake_await (manager, DN_MSG_SUBMIT, 1);
    fake_await (manager, DN_MSG_ASK, 1);
    denim_client_close (client);
    for (int i = 0; i < 4; i++) {
        pthread_join (threads[i], NULL);
        assert_true (waiters[i].result == results[i]);
    }
    pthread_barrier_destroy (&ready);
    denim_client_destroy (&client);
    fake_destroy (&manager);
}

/*  ---- forks and signals ---- */

static void
child_of_a_fork_is_refused_and_the_parent_goes_on (void **state)
{
    (void) state;
    fake_manager_t *manager = fake_new (&(fake_config_t){0});
    denim_client_t *client = denim_client_new (fake_address (manager), NULL);
    call_echo (client);
    int64_t id = denim_client_submit (client, "m:hold", NULL, NULL, NULL, 0);
    pid_t   pid = fork ();
    if (pid == 0) {
        int  error = 0;
        bool right =
            denim_client_submit (client, "m:echo", NULL, NULL, NULL, -1) == DENIM_ERR_FORKED;
        right = right && !denim_client_wait (client, id, -1, &error) && error == DENIM_ERR_FORKED;
        right = right && denim_client_cancel (client, id, true) == DENIM_ERR_FORKED;
        right = right && !denim_client_recv (client) && !denim_client_dup (client);
        denim_client_close (client);
        denim_client_destroy (&client);
        _exit (right ? 0 : 1);
    }
    int status;
    assert_int_equal (waitpid (pid, &status, 0), pid);
    assert_int_equal (status, 0);
    call_echo (client);
    denim_client_destroy (&client);
    fake_destroy (&manager);
}

static void *
signal_main (void *arg)
{
    pthread_kill (*(pthread_t *) arg, SIGUSR1);
    return NULL;
}

static volatile sig_atomic_t caught;

static void
on_signal (int number)
{
    (void) number;
    caught = 1;
}

static void
signals_are_left_to_the_program (void **state)
{
    (void) state;
    struct sigaction before, after;
    struct sigaction mine = {.sa_handler = on_signal};
    sigaction (SIGUSR1, &mine, NULL);
    sigaction (SIGINT, NULL, &before);
    fake_manager_t *manager = fake_new (&(fake_config_t){0});
    denim_client_t *client = denim_client_new (fake_address (manager), NULL);
    call_echo (client);
    sigaction (SIGINT, NULL, &after);
    assert_true (before.sa_handler == after.sa_handler);
    assert_int_equal (kill (getpid (), SIGUSR1), 0);
    pthread_t self = pthread_self (), thread;
    pthread_create (&thread, NULL, signal_main, &self);
    pthread_join (thread, NULL);
    assert_int_equal (caught, 1);
    call_echo (client);
    denim_client_destroy (&client);
    fake_destroy (&manager);
}

/*  ---- managers ---- */

static void
client_finds_a_manager_that_starts_later (void **state)
{
    (void) state;
    char address[64];
    snprintf (address, sizeof address, "ipc://@denim-later-%d", (int) getpid ());
    denim_client_t *client = denim_client_new (address, NULL);
    int64_t         id = denim_client_submit (client, "m:echo", NULL, NULL, NULL, 0);
    assert_null (denim_client_wait (client, id, 20, NULL));
    fake_manager_t *manager = fake_new (&(fake_config_t){.address = address});
    denim_reply_t  *reply = denim_client_wait (client, id, PATIENCE_MS, NULL);
    assert_int_equal (denim_reply_outcome (reply), DENIM_VALUE);
    denim_reply_destroy (&reply);
    denim_client_destroy (&client);
    fake_destroy (&manager);
}

static void
client_greets_a_manager_that_was_started_again_within_a_second (void **state)
{
    (void) state;
    char address[64];
    snprintf (address, sizeof address, "ipc://@denim-again-%d", (int) getpid ());
    fake_manager_t *manager = fake_new (&(fake_config_t){.address = address});
    denim_client_t *client = denim_client_new (address, NULL);
    call_echo (client);
    for (int i = 0; i < 3; i++) {
        fake_destroy (&manager);
        int64_t begun_ms = now_ms ();
        manager = fake_new (&(fake_config_t){.address = address});
        fake_await (manager, DN_MSG_CLIENT_HELLO, 1); /* without a call that needs it */
        assert_true (now_ms () - begun_ms < 1000);
        call_echo (client);
    }
    denim_client_destroy (&client);
    fake_destroy (&manager);
}

static void
each_heartbeat_is_answered (void **state)
{
    (void) state;
    fake_manager_t *manager = fake_new (&(fake_config_t){.heartbeat_ms = 20});
    denim_client_t *client = denim_client_new (fake_address (manager), NULL);
    call_echo (client);
    fake_await (manager, DN_MSG_OPEN, 3);
    denim_client_destroy (&client);
    fake_destroy (&manager);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (address_comes_from_the_argument_the_environment_or_is_the_default),
        cmocka_unit_test (wrong_address_makes_no_client),
        cmocka_unit_test (nothing_is_left_of_a_client_that_was_destroyed),
        cmocka_unit_test (destroying_takes_a_second_at_most_whatever_the_manager_does),
        cmocka_unit_test (reply_outlives_its_client),
        cmocka_unit_test (closed_handle_ends_its_calls_and_gives_out_their_answers),
        cmocka_unit_test (last_handle_can_be_closed_again_and_destroyed),
        cmocka_unit_test (closing_lets_waiting_threads_return),
        cmocka_unit_test (child_of_a_fork_is_refused_and_the_parent_goes_on),
        cmocka_unit_test (signals_are_left_to_the_program),
        cmocka_unit_test (client_finds_a_manager_that_starts_later),
        cmocka_unit_test (client_greets_a_manager_that_was_started_again_within_a_second),
        cmocka_unit_test (each_heartbeat_is_answered),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
