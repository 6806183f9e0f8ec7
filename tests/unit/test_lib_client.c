/*  test_lib_client.c - libdenim against a small manager in this process: calls and their ends
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "denim.h"

#include "fake_manager.h"

#include "wire/wire.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_MS 10000 /* for what must happen */

typedef struct {
    fake_manager_t *manager;
    denim_client_t *client;
} rig_t;

static int
set_up (void **state)
{
    static rig_t  rig;
    fake_config_t config = {0};
    rig.manager = fake_new (&config);
    rig.client = denim_client_new (fake_address (rig.manager), NULL);
    assert_non_null (rig.client);
    *state = &rig;
    return 0;
}

static int
tear_down (void **state)
{
    rig_t *rig = *state;
    denim_client_destroy (&rig->client);
    fake_destroy (&rig->manager);
    return 0;
}

static int64_t
submit (denim_client_t *client, const char *task, const denim_options_t *options)
{
    int64_t id = denim_client_submit (client, task, NULL, NULL, options, 0);
    assert_true (id > 0);
    return id;
}

static denim_reply_t *
receive (denim_client_t *client)
{
    denim_reply_t *reply = NULL;
    assert_int_equal (denim_client_recv_wait (client, &reply, 1, PATIENCE_MS), 1);
    return reply;
}

static int
outcome_of (denim_client_t *client, const char *task, int64_t deadline_ms)
{
    denim_options_t options = {.deadline_ms = deadline_ms};
    denim_reply_t  *reply = denim_client_call (client, task, NULL, NULL, &options, NULL);
    assert_non_null (reply);
    int outcome = denim_reply_outcome (reply);
    denim_reply_destroy (&reply);
    return outcome;
}

static int64_t
now_ms (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/*  ---- the way through ---- */

static void
call_returns_the_value (void **state)
{
    rig_t         *rig = *state;
    denim_reply_t *reply = denim_client_callf (rig->client, "m:echo", "[is]", 2, "three");
    assert_non_null (reply);
    assert_int_equal (denim_reply_outcome (reply), DENIM_VALUE);
    assert_string_equal (denim_reply_text (reply), "");
    assert_string_equal (denim_reply_worker (reply), "w1");
    assert_string_equal (denim_reply_host (reply), "h1");
    assert_int_equal (denim_reply_run_us (reply), 7);
    assert_int_equal (denim_reply_wait_us (reply), 3);
    assert_int_equal (denim_reply_attempts (reply), 1);
    assert_int_equal (denim_reply_exit_code (reply), -1);
    assert_int_equal (denim_reply_codec (reply), DENIM_CODEC_JSON);
    assert_true (denim_reply_started (reply));

    json_t *args = json_array_get (denim_reply_json (reply), 0);
    assert_int_equal (json_integer_value (json_array_get (args, 0)), 2);
    assert_string_equal (json_string_value (json_array_get (args, 1)), "three");
    assert_ptr_equal (denim_reply_json (reply), denim_reply_json (reply));
    denim_reply_destroy (&reply);
    denim_reply_destroy (&reply);
}

static void
keyword_arguments_follow_the_others (void **state)
{
    rig_t         *rig = *state;
    json_t        *kwargs = json_pack ("{s:i}", "y", 3);
    denim_reply_t *reply = denim_client_call (rig->client, "m:echo", NULL, kwargs, NULL, NULL);
    size_t         frame_bytes;
    const char    *text = denim_reply_frame (reply, 0, &frame_bytes);
    assert_int_equal (frame_bytes, strlen ("[[],{\"y\":3}]"));
    assert_memory_equal (text, "[[],{\"y\":3}]", frame_bytes);
    denim_reply_destroy (&reply);
    json_decref (kwargs);
}

static void
frames_go_there_and_back_as_they_are (void **state)
{
    rig_t      *rig = *state;
    static char large[3 << 20];
    memset (large, 'x', sizeof large);
    denim_frame_t frames[64];
    for (int i = 0; i < 64; i++)
        frames[i] = (denim_frame_t){large, i == 1 ? sizeof large : (size_t) i};
    denim_options_t options = {.codec = DENIM_CODEC_PICKLE};
    int64_t id = denim_client_submit_frames (rig->client, "m:echo", frames, 64, &options, 0);
    assert_true (id > 0);
    denim_reply_t *reply = denim_client_wait (rig->client, id, PATIENCE_MS, NULL);
    assert_non_null (reply);
    assert_int_equal (denim_reply_id (reply), id);
    assert_int_equal (denim_reply_codec (reply), DENIM_CODEC_PICKLE);
    assert_int_equal (denim_reply_frames (reply), 64);
    for (size_t i = 0; i < 64; i++) {
        size_t      frame_bytes;
        const void *bytes = denim_reply_frame (reply, i, &frame_bytes);
        assert_int_equal (frame_bytes, frames[i].frame_bytes);
        assert_memory_equal (bytes, large, frame_bytes);
    }
    assert_null (denim_reply_frame (reply, 64, NULL));
    assert_null (denim_reply_json (reply));
    denim_reply_destroy (&reply);
}

/*  Those of 1 to 128 bytes travel in the header. */
static void
payload_of_one_frame_is_the_same_whatever_its_size (void **state)
{
    rig_t              *rig = *state;
    static const size_t sizes[] = {0, 1, 33, 128, 129, 5000};
    char                sent[5000];
    for (size_t i = 0; i < sizeof sent; i++)
        sent[i] = (char) (i * 7);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        denim_frame_t  frame = {sent, sizes[i]};
        int64_t        id = denim_client_submit_frames (rig->client, "m:echo", &frame, 1, NULL, 0);
        denim_reply_t *reply = denim_client_wait (rig->client, id, PATIENCE_MS, NULL);
        assert_non_null (reply);
        assert_int_equal (denim_reply_outcome (reply), DENIM_VALUE);
        assert_int_equal (denim_reply_frames (reply), 1);
        size_t      frame_bytes;
        const void *bytes = denim_reply_frame (reply, 0, &frame_bytes);
        assert_int_equal (frame_bytes, sizes[i]);
        assert_memory_equal (bytes, sent, sizes[i]);
        denim_reply_destroy (&reply);
    }
}

static void
answers_come_with_their_tags_in_the_order_in_which_they_ended (void **state)
{
    rig_t *rig = *state;
    int    tags[100];
    for (int i = 0; i < 100; i++)
        submit (rig->client, "m:echo", &(denim_options_t){.take_later = true, .tag = &tags[i]});
    for (int i = 0; i < 100; i++) {
        denim_reply_t *reply = receive (rig->client);
        assert_ptr_equal (denim_reply_tag (reply), &tags[i]);
        denim_reply_destroy (&reply);
    }
    assert_null (denim_client_recv (rig->client));
}

static void
outcomes_are_acknowledged_even_when_they_come_twice (void **state)
{
    rig_t *rig = *state;
    assert_int_equal (outcome_of (rig->client, "m:twice", 0), DENIM_VALUE);
    fake_await (rig->manager, DN_MSG_ACK, 1);
    assert_int_equal (fake_acked (rig->manager), 2);
}

static void
descriptor_is_readable_while_there_is_something_to_receive (void **state)
{
    rig_t        *rig = *state;
    struct pollfd item = {.fd = denim_client_fd (rig->client), .events = POLLIN};
    assert_int_equal (poll (&item, 1, 0), 0);
    for (int i = 0; i < 2; i++) {
        submit (rig->client, "m:echo", &(denim_options_t){.take_later = true});
        assert_int_equal (poll (&item, 1, PATIENCE_MS), 1);
        denim_reply_t *reply = denim_client_recv (rig->client);
        assert_non_null (reply);
        denim_reply_destroy (&reply);
        assert_int_equal (poll (&item, 1, 0), 0);
    }
}

static void
descriptor_asked_for_late_is_readable_at_once (void **state)
{
    rig_t *rig = *state;
    submit (rig->client, "m:echo", &(denim_options_t){.take_later = true});
    fake_await (rig->manager, DN_MSG_ACK, 1);
    struct pollfd item = {.fd = denim_client_fd (rig->client), .events = POLLIN};
    assert_int_equal (poll (&item, 1, 0), 1);
}

static void
handles_share_a_connection_and_not_their_answers (void **state)
{
    rig_t          *rig = *state;
    denim_client_t *other = denim_client_dup (rig->client);
    assert_non_null (other);
    int64_t        id = submit (other, "m:echo", &(denim_options_t){.take_later = true});
    denim_reply_t *reply = receive (other);
    assert_int_equal (denim_reply_id (reply), id);
    assert_null (denim_client_recv (rig->client));
    denim_reply_destroy (&reply);

    id = submit (other, "m:hold", NULL);
    int error;
    assert_null (denim_client_wait (rig->client, id, 0, &error));
    assert_int_equal (error, DENIM_ERR_UNKNOWN);
    assert_int_equal (denim_client_cancel (rig->client, id, false), DENIM_ERR_UNKNOWN);
    denim_client_destroy (&other);
    assert_int_equal (outcome_of (rig->client, "m:echo", 0), DENIM_VALUE);
    assert_int_equal (fake_count (rig->manager, DN_MSG_CLIENT_HELLO), 1);
}

/*  ---- how else a call ends ---- */

/*  The deadline may come while a try is on its way: then nobody knows yet that it will be
 *  refused. */
static void
is_rejected_at_its_deadline (denim_client_t *client, const char *task)
{
    int outcome = DENIM_DEADLINE;
    for (int i = 0; i < 10 && outcome == DENIM_DEADLINE; i++)
        outcome = outcome_of (client, task, 50);
    assert_int_equal (outcome, DENIM_REJECTED);
}

static void
every_end_is_a_reply_with_its_outcome (void **state)
{
    rig_t *rig = *state;
    assert_int_equal (outcome_of (rig->client, "m:raise", 0), DENIM_EXCEPTION);
    assert_int_equal (outcome_of (rig->client, "m:forbidden", 0), DENIM_NOT_ALLOWED);
    assert_int_equal (outcome_of (rig->client, "m:crash", 0), DENIM_LOST);
    assert_int_equal (outcome_of (rig->client, "m:hold", 50), DENIM_DEADLINE);
    assert_int_equal (outcome_of (rig->client, "m:silence", 50), DENIM_DEADLINE);
    assert_int_equal (outcome_of (rig->client, "m:once", 0), DENIM_VALUE);
    is_rejected_at_its_deadline (rig->client, "m:busy");
    is_rejected_at_its_deadline (rig->client, "m:nowhere");
}

static void
lost_slot_is_described (void **state)
{
    rig_t          *rig = *state;
    denim_options_t options = {.idempotent = true};
    denim_reply_t  *reply = denim_client_call (rig->client, "m:crash", NULL, NULL, &options, NULL);
    assert_int_equal (denim_reply_outcome (reply), DENIM_POISON);
    assert_int_equal (denim_reply_reason (reply), DENIM_REASON_CRASH);
    assert_int_equal (denim_reply_signal (reply), 11);
    assert_int_equal (denim_reply_attempts (reply), 3);
    assert_string_equal (denim_reply_text (reply), "its slot was ended by SIGSEGV");
    assert_int_equal (denim_reply_frames (reply), 0);
    denim_reply_destroy (&reply);
}

static void
nested_call_travels_with_depth_and_parent_and_one_too_deep_ends_here (void **state)
{
    rig_t          *rig = *state;
    char            parent[] = "0123456789abcdef76543210";
    denim_options_t options = {.depth = DENIM_NESTING_MAX, .parent = parent};
    int64_t         id = denim_client_submit (rig->client, "m:nested", NULL, NULL, &options, 0);
    memset (parent, 'x', DENIM_PARENT_BYTES); /* it was copied */
    denim_reply_t *reply = denim_client_wait (rig->client, id, PATIENCE_MS, NULL);
    json_t        *value = json_pack ("[is]", DENIM_NESTING_MAX, "0123456789abcdef76543210");
    assert_true (json_equal (denim_reply_json (reply), value));
    json_decref (value);
    denim_reply_destroy (&reply);

    options.depth++;
    reply = denim_client_call (rig->client, "m:nested", NULL, NULL, &options, NULL);
    assert_int_equal (denim_reply_outcome (reply), DENIM_NESTING_TOO_DEEP);
    assert_false (denim_reply_started (reply));
    assert_non_null (strstr (denim_reply_text (reply), "m:nested"));
    denim_reply_destroy (&reply);

    reply = denim_client_call (rig->client, "m:nested", NULL, NULL, NULL, NULL);
    value = json_pack ("[is]", 0, ""); /* that reply's record, used again, is clean */
    assert_true (json_equal (denim_reply_json (reply), value));
    json_decref (value);
    denim_reply_destroy (&reply);
}

static void
payload_above_what_the_manager_takes_is_refused_here (void **state)
{
    rig_t          *rig = *state;
    fake_manager_t *small = fake_new (&(fake_config_t){.payload_max = 1000});
    denim_client_t *client = denim_client_new (fake_address (small), NULL);
    static char     bytes[2000];
    assert_int_equal (outcome_of (client, "m:echo", 0), DENIM_VALUE);
    denim_frame_t  frame = {bytes, sizeof bytes};
    int64_t        id = denim_client_submit_frames (client, "m:echo", &frame, 1, NULL, 0);
    denim_reply_t *reply = denim_client_wait (client, id, PATIENCE_MS, NULL);
    assert_int_equal (denim_reply_outcome (reply), DENIM_TOO_LARGE);
    assert_int_equal (denim_reply_frames (reply), 0);
    denim_reply_destroy (&reply);
    denim_client_destroy (&client);
    fake_destroy (&small);
    (void) rig;
}

static void
manager_that_is_not_there_is_named_with_what_to_start (void **state)
{
    (void) state;
    denim_client_t *client = denim_client_new ("ipc://@denim-nobody", NULL);
    assert_int_equal (denim_client_set_connect_timeout (client, 30), 0);
    denim_reply_t *reply = denim_client_callf (client, "m:f", "[]");
    assert_int_equal (denim_reply_outcome (reply), DENIM_UNAVAILABLE);
    assert_string_equal (
        denim_reply_text (reply),
        "no manager at ipc://@denim-nobody within 0.03 s: start one with `denimd`");
    assert_int_equal (denim_reply_attempts (reply), 0);
    assert_false (denim_reply_started (reply));
    denim_reply_destroy (&reply);
    denim_client_destroy (&client);
}

static void
manager_of_another_version_is_a_mismatch (void **state)
{
    (void) state;
    fake_manager_t *manager = fake_new (&(fake_config_t){.other_version = true});
    denim_client_t *client = denim_client_new (fake_address (manager), NULL);
    denim_reply_t  *reply = denim_client_callf (client, "m:f", "[]");
    assert_int_equal (denim_reply_outcome (reply), DENIM_MISMATCH);
    assert_non_null (strstr (denim_reply_text (reply), "DENIM/9.4"));
    denim_reply_destroy (&reply);
    denim_client_destroy (&client);
    fake_destroy (&manager);
}

/*  ---- wishes ---- */

static void
held_call_is_cancelled_at_once_and_a_running_one_by_its_worker (void **state)
{
    rig_t  *rig = *state;
    int64_t id = submit (rig->client, "m:hold", NULL);
    fake_await (rig->manager, DN_MSG_SUBMIT, 1);
    assert_int_equal (denim_client_cancel (rig->client, id, false), 0);
    denim_reply_t *reply = denim_client_wait (rig->client, id, PATIENCE_MS, NULL);
    assert_int_equal (denim_reply_outcome (reply), DENIM_CANCELLED);
    denim_reply_destroy (&reply);
    assert_int_equal (denim_client_cancel (rig->client, id, false), DENIM_ERR_UNKNOWN);

    denim_client_t *lonely = denim_client_new ("ipc://@denim-nobody", NULL);
    id = submit (lonely, "m:hold", NULL);
    assert_int_equal (denim_client_cancel (lonely, id, false), 1);
    reply = denim_client_wait (lonely, id, 0, NULL);
    assert_int_equal (denim_reply_outcome (reply), DENIM_CANCELLED);
    assert_false (denim_reply_started (reply));
    denim_reply_destroy (&reply);
    denim_client_destroy (&lonely);
}

static void
forgotten_call_gives_no_answer (void **state)
{
    rig_t  *rig = *state;
    int64_t id = submit (rig->client, "m:hold", NULL);
    int     error;
    assert_null (denim_client_wait (rig->client, id, 1, &error));
    assert_int_equal (error, DENIM_ERR_TIMEOUT);
    assert_int_equal (denim_client_forget (rig->client, id), 0);
    assert_null (denim_client_wait (rig->client, id, 0, &error));
    assert_int_equal (error, DENIM_ERR_UNKNOWN);

    id = submit (rig->client, "m:hold", &(denim_options_t){.take_later = true});
    assert_int_equal (denim_client_forget (rig->client, id), 0);
    assert_int_equal (outcome_of (rig->client, "m:echo", 0), DENIM_VALUE);
    assert_null (denim_client_recv (rig->client));

    id = submit (rig->client, "m:echo", NULL); /* ended, and not taken */
    assert_int_equal (outcome_of (rig->client, "m:echo", 0), DENIM_VALUE);
    assert_int_equal (denim_client_forget (rig->client, id), 0);
    assert_int_equal (denim_client_forget (rig->client, id), DENIM_ERR_UNKNOWN);
}

static void
progress_is_told_and_that_a_worker_has_it (void **state)
{
    rig_t           *rig = *state;
    denim_progress_t progress;
    int64_t          id = submit (rig->client, "m:say", NULL);
    int              rc;
    while ((rc = denim_client_progress (rig->client, id, &progress)) == 0)
        assert_int_equal (outcome_of (rig->client, "m:echo", 0), DENIM_VALUE);
    assert_int_equal (rc, 1);
    assert_true (progress.done == 1 && progress.total == 2);
    assert_string_equal (progress.text, "half");
    assert_int_equal (denim_client_running (rig->client, id), 1);

    fake_release (rig->manager);
    denim_reply_t *reply = denim_client_wait (rig->client, id, PATIENCE_MS, NULL);
    assert_int_equal (denim_reply_outcome (reply), DENIM_VALUE);
    assert_int_equal (denim_client_running (rig->client, id), DENIM_ERR_UNKNOWN);
    assert_int_equal (denim_client_progress (rig->client, id, &progress), DENIM_ERR_UNKNOWN);
    denim_reply_destroy (&reply);
}

/*  ---- bounds ---- */

static void
full_window_is_an_error_or_waited_for (void **state)
{
    rig_t *rig = *state;
    assert_int_equal (denim_client_set_window (rig->client, 2), 0);
    int64_t first = submit (rig->client, "m:hold", NULL);
    submit (rig->client, "m:hold", NULL);
    assert_int_equal (denim_client_set_window (rig->client, 3), DENIM_ERR_ARGUMENT);
    assert_int_equal (denim_client_submit (rig->client, "m:echo", NULL, NULL, NULL, 0),
                      DENIM_ERR_WINDOW);
    int64_t begun_ms = now_ms ();
    assert_int_equal (denim_client_submit (rig->client, "m:echo", NULL, NULL, NULL, 30),
                      DENIM_ERR_WINDOW);
    assert_in_range (now_ms () - begun_ms, 29, PATIENCE_MS);
    denim_client_cancel (rig->client, first, false);
    assert_true (denim_client_submit (rig->client, "m:echo", NULL, NULL, NULL, PATIENCE_MS) > 0);
}

static void
arguments_out_of_range_are_refused (void **state)
{
    rig_t          *rig = *state;
    denim_client_t *client = rig->client;
    char            name[300];
    memset (name, 'x', sizeof name);
    name[299] = 0;
    denim_frame_t frame = {"x", 1};
    assert_int_equal (denim_client_submit (client, "nocolon", NULL, NULL, NULL, 0),
                      DENIM_ERR_ARGUMENT);
    assert_int_equal (denim_client_submit (client, ":f", NULL, NULL, NULL, 0), DENIM_ERR_ARGUMENT);
    assert_int_equal (
        denim_client_submit (client, name, NULL, NULL, &(denim_options_t){.service = "m"}, 0),
        DENIM_ERR_ARGUMENT);
    assert_int_equal (
        denim_client_submit (client, "m:f", NULL, NULL, &(denim_options_t){.service = name}, 0),
        DENIM_ERR_ARGUMENT);
    assert_int_equal (
        denim_client_submit (client, "m:f", NULL, NULL, &(denim_options_t){.priority = 4}, 0),
        DENIM_ERR_ARGUMENT);
    assert_int_equal (
        denim_client_submit (client, "m:f", NULL, NULL, &(denim_options_t){.deadline_ms = -1}, 0),
        DENIM_ERR_ARGUMENT);
    for (int i = 0; i < 2; i++)
        assert_int_equal (denim_client_submit (client, "m:f", NULL, NULL,
                                               &(denim_options_t){.depth = i ? 256 : -1}, 0),
                          DENIM_ERR_ARGUMENT);
    assert_int_equal (denim_client_submit_frames (client, "m:f", &frame, 0, NULL, 0),
                      DENIM_ERR_ARGUMENT);
    assert_int_equal (denim_client_submit_frames (client, "m:f", &frame, 65, NULL, 0),
                      DENIM_ERR_ARGUMENT);
    json_t *object = json_object ();
    assert_int_equal (denim_client_submit (client, "m:f", object, NULL, NULL, 0), DENIM_ERR_ENCODE);
    json_decref (object);
    assert_int_equal (denim_client_set_window (client, 0), DENIM_ERR_ARGUMENT);
    assert_int_equal (denim_client_set_name (client, name), DENIM_ERR_ARGUMENT);
    assert_null (denim_client_callf (client, "m:f", "[i"));
    json_t *info = denim_client_info (client);
    assert_int_equal (json_integer_value (json_object_get (info, "in_flight")), 0);
    json_decref (info);
}

/*  ---- questions ---- */

static void
question_is_answered_or_says_why_not (void **state)
{
    rig_t  *rig = *state;
    int     error;
    json_t *status = denim_client_ask (rig->client, "status", NULL, PATIENCE_MS, &error);
    assert_non_null (status);
    assert_int_equal (error, 0);
    assert_string_equal (json_string_value (json_object_get (status, "version")), "fake");
    json_decref (status);
    assert_null (denim_client_ask (rig->client, "nonsense", NULL, PATIENCE_MS, &error));
    assert_int_equal (error, DENIM_ERR_ARGUMENT);
    assert_null (denim_client_ask (rig->client, "mute", NULL, 30, &error));
    assert_int_equal (error, DENIM_ERR_TIMEOUT);

    denim_client_t *lonely = denim_client_new ("ipc://@denim-nobody", NULL);
    assert_null (denim_client_ask (lonely, "status", NULL, 30, &error));
    assert_int_equal (error, DENIM_ERR_UNAVAILABLE);
    denim_client_destroy (&lonely);
}

static void
client_tells_what_it_knows_of_itself (void **state)
{
    rig_t  *rig = *state;
    json_t *info = denim_client_info (rig->client);
    assert_string_equal (json_string_value (json_object_get (info, "state")), "idle");
    assert_string_equal (json_string_value (json_object_get (info, "address")),
                         fake_address (rig->manager));
    assert_int_equal (json_integer_value (json_object_get (info, "window")), 1000);
    json_decref (info);
    submit (rig->client, "m:hold", NULL);
    fake_await (rig->manager, DN_MSG_SUBMIT, 1);
    assert_int_equal (outcome_of (rig->client, "m:echo", 0), DENIM_VALUE);
    info = denim_client_info (rig->client);
    assert_string_equal (json_string_value (json_object_get (info, "state")), "connected");
    assert_int_equal (json_integer_value (json_object_get (info, "in_flight")), 1);
    assert_int_equal (json_integer_value (json_object_get (info, "waiting")), 0);
    assert_true (json_integer_value (json_object_get (info, "epoch")) >= 1000);
    json_decref (info);
}

int
main (void)
{
#define CASE(name) cmocka_unit_test_setup_teardown (name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE (call_returns_the_value),
        CASE (keyword_arguments_follow_the_others),
        CASE (frames_go_there_and_back_as_they_are),
        CASE (payload_of_one_frame_is_the_same_whatever_its_size),
        CASE (answers_come_with_their_tags_in_the_order_in_which_they_ended),
        CASE (outcomes_are_acknowledged_even_when_they_come_twice),
        CASE (descriptor_is_readable_while_there_is_something_to_receive),
        CASE (descriptor_asked_for_late_is_readable_at_once),
        CASE (handles_share_a_connection_and_not_their_answers),
        CASE (every_end_is_a_reply_with_its_outcome),
        CASE (lost_slot_is_described),
        CASE (nested_call_travels_with_depth_and_parent_and_one_too_deep_ends_here),
        CASE (payload_above_what_the_manager_takes_is_refused_here),
        CASE (manager_that_is_not_there_is_named_with_what_to_start),
        CASE (manager_of_another_version_is_a_mismatch),
        CASE (held_call_is_cancelled_at_once_and_a_running_one_by_its_worker),
        CASE (forgotten_call_gives_no_answer),
        CASE (progress_is_told_and_that_a_worker_has_it),
        CASE (full_window_is_an_error_or_waited_for),
        CASE (arguments_out_of_range_are_refused),
        CASE (question_is_answered_or_says_why_not),
        CASE (client_tells_what_it_knows_of_itself),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
