/*  test_lib_threads.c - libdenim: one client, many threads, each doing all that it may
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "denim.h"

#include "fake_manager.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define THREADS     10
#define ROUNDS      200
#define PATIENCE_MS 10000

typedef struct {
    denim_client_t *client;
    int             number;
    atomic_int     *failures;
} worker_t;

static void
expect (worker_t *self, bool holds, const char *what)
{
    if (holds)
        return;
    fprintf (stderr, "thread %d: %s\n", self->number, what);
    atomic_fetch_add (self->failures, 1);
}

static void
call_and_look (worker_t *self, int round)
{
    int            value = self->number * ROUNDS + round;
    denim_reply_t *reply = denim_client_callf (self->client, "m:echo", "[i]", value);
    expect (self, reply && denim_reply_outcome (reply) == DENIM_VALUE, "call has no value");
    json_t *args = reply ? json_array_get (denim_reply_json (reply), 0) : NULL;
    expect (self, json_integer_value (json_array_get (args, 0)) == value, "another call's value");
    denim_reply_destroy (&reply);
}

static void
hold_and_cancel (worker_t *self)
{
    int64_t id = denim_client_submit (self->client, "m:hold", NULL, NULL, NULL, -1);
    expect (self, id > 0, "cannot submit");
    denim_client_running (self->client, id);
    expect (self, denim_client_cancel (self->client, id, false) >= 0, "cannot cancel");
    denim_reply_t *reply = denim_client_wait (self->client, id, PATIENCE_MS, NULL);
    expect (self, reply && denim_reply_outcome (reply) == DENIM_CANCELLED, "was not cancelled");
    denim_reply_destroy (&reply);
}

static void
submit_and_forget (worker_t *self)
{
    int64_t          id = denim_client_submit (self->client, "m:say", NULL, NULL, NULL, -1);
    denim_progress_t progress;
    denim_client_progress (self->client, id, &progress);
    expect (self, denim_client_forget (self->client, id) == 0, "cannot forget");
}

/*  A handle of one's own, used and closed with calls outstanding. */
static void
own_handle (worker_t *self)
{
    denim_client_t *own = denim_client_dup (self->client);
    denim_options_t later = {.take_later = true};
    for (int i = 0; i < 5; i++)
        denim_client_submit (own, i % 2 ? "m:hold" : "m:echo", NULL, NULL, &later, -1);
    denim_reply_t *replies[5];
    size_t         count = denim_client_recv_wait (own, replies, 5, PATIENCE_MS);
    expect (self, count > 0, "no answer on a handle of its own");
    for (size_t i = 0; i < count; i++)
        denim_reply_destroy (&replies[i]);
    denim_client_destroy (&own);
}

static void *
worker_main (void *arg)
{
    worker_t *self = arg;
    for (int round = 0; round < ROUNDS; round++) {
        call_and_look (self, round);
        if (round % 10 == self->number)
            hold_and_cancel (self);
        if (round % 20 == self->number)
            submit_and_forget (self);
        if (round % 40 == self->number)
            own_handle (self);
        if (round % 50 == self->number) {
            json_decref (denim_client_info (self->client));
            json_t *status = denim_client_ask (self->client, "status", NULL, PATIENCE_MS, NULL);
            expect (self, status != NULL, "no status");
            json_decref (status);
        }
    }
    return NULL;
}

static void
run (int window)
{
    fake_manager_t *manager = fake_new (&(fake_config_t){.heartbeat_ms = 50});
    denim_client_t *client = denim_client_new (fake_address (manager), NULL);
    denim_client_set_window (client, window);
    pthread_t  threads[THREADS];
    worker_t   workers[THREADS];
    atomic_int failures = 0;
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (worker_t){client, i, &failures};
        pthread_create (&threads[i], NULL, worker_main, &workers[i]);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join (threads[i], NULL);
    assert_int_equal (failures, 0);
    json_t *info = denim_client_info (client);
    assert_int_equal (json_integer_value (json_object_get (info, "in_flight")), 0);
    json_decref (info);
    denim_client_destroy (&client);
    fake_destroy (&manager);
}

static void
ten_threads_share_one_client (void **state)
{
    (void) state;
    run (1000);
}

static void
ten_threads_share_a_window_of_twenty (void **state)
{
    (void) state;
    run (20);
}

/*  One thread submits, another receives, as an event loop beside request threads does. */
static void *
submit_main (void *arg)
{
    denim_client_t *client = arg;
    denim_frame_t   frame = {"[[1]]", 5};
    denim_options_t later = {.take_later = true};
    for (int i = 0; i < 5000; i++)
        if (denim_client_submit_frames (client, "m:echo", &frame, 1, &later, -1) <= 0)
            return client;
    return NULL;
}

static void
one_thread_submits_and_another_receives (void **state)
{
    (void) state;
    fake_manager_t *manager = fake_new (&(fake_config_t){0});
    denim_client_t *client = denim_client_new (fake_address (manager), NULL);
    denim_client_set_window (client, 64);
    denim_client_fd (client);
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        pthread_create (&threads[i], NULL, submit_main, client);
    for (size_t got = 0; got < 10000;) {
        denim_reply_t *replies[32];
        size_t         count = denim_client_recv_wait (client, replies, 32, PATIENCE_MS);
        assert_true (count > 0);
        for (size_t i = 0; i < count; i++) {
            assert_int_equal (denim_reply_outcome (replies[i]), DENIM_VALUE);
            denim_reply_destroy (&replies[i]);
        }
        got += count;
    }
    for (int i = 0; i < 2; i++) {
        void *failed;
        pthread_join (threads[i], &failed);
        assert_null (failed);
    }
    denim_client_destroy (&client);
    fake_destroy (&manager);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (ten_threads_share_one_client),
        cmocka_unit_test (ten_threads_share_a_window_of_twenty),
        cmocka_unit_test (one_thread_submits_and_another_receives),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
