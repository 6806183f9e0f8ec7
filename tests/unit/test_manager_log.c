/*  test_manager_log.c - what the manager's events are called in denimd's log
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "base/log.h"
#include "denim.h"
#include "io/manager_log.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define LOG_BYTES 1024

static int
set_up (void **state)
{
    (void) state;
    dn_log_set (DN_LOG_DEBUG, false);
    return 0;
}

static int
tear_down (void **state)
{
    (void) state;
    dn_log_set (DN_LOG_INFO, false);
    return 0;
}

/*  Assert that an effect is written as a line that ends so, after its time. */
static void
assert_written (dn_effect_t effect, const char *expected)
{
    char text[LOG_BYTES] = "";
    int  log = open ("/tmp", O_TMPFILE | O_RDWR, 0600);
    int  kept = dup (STDERR_FILENO);

    assert_true (log >= 0 && kept >= 0);
    dup2 (log, STDERR_FILENO);
    dn_manager_log (&effect);
    dup2 (kept, STDERR_FILENO);
    close (kept);
    assert_true (pread (log, text, sizeof text - 1, 0) >= 0);
    close (log);
    text[strcspn (text, "\n")] = '\0';
    const char *line = strchr (text, ' ');
    assert_string_equal (line ? line + 1 : text, expected);
}

static void
a_worker_that_comes_is_told_with_its_slots_and_host (void **state)
{
    (void) state;
    assert_written ((dn_effect_t){.event = "worker_ready",
                                  .level = DN_FX_INFO,
                                  .name = "w7",
                                  .number = 2,
                                  .ms = -1,
                                  .text = "vm"},
                    "info event=worker_ready worker=w7 slots=2 host=vm");
}

static void
a_worker_that_is_silent_is_told_with_its_silence_and_what_it_lost (void **state)
{
    (void) state;
    assert_written ((dn_effect_t){.event = "worker_gone",
                                  .level = DN_FX_WARN,
                                  .name = "w7",
                                  .reason = DENIM_REASON_SILENT,
                                  .number = 2,
                                  .ms = 3000},
                    "warn event=worker_gone worker=w7 reason=SILENT tasks_lost=2 silent_ms=3000");
}

static void
a_worker_that_leaves_was_not_silent (void **state)
{
    (void) state;
    assert_written ((dn_effect_t){.event = "worker_gone",
                                  .level = DN_FX_INFO,
                                  .name = "w7",
                                  .reason = DENIM_REASON_SHUTDOWN},
                    "info event=worker_gone worker=w7 reason=SHUTDOWN tasks_lost=0");
}

static void
a_stranger_has_no_name (void **state)
{
    (void) state;
    assert_written (
        (dn_effect_t){
            .event = "malformed", .level = DN_FX_WARN, .number = 3, .ms = -1, .text = "too short"},
        "warn event=malformed frames=3 text=\"too short\"");
    assert_written (
        (dn_effect_t){.event = "peer_refused", .level = DN_FX_WARN, .ms = -1, .text = "full"},
        "warn event=peer_refused text=full");
}

static void
an_event_that_the_table_does_not_know_is_written_all_the_same (void **state)
{
    (void) state;
    assert_written (
        (dn_effect_t){
            .event = "novel", .level = DN_FX_DEBUG, .name = "n", .number = 1, .ms = 5, .text = "t"},
        "debug event=novel name=n count=1 ms=5 text=t");
}

static void
a_level_that_is_off_writes_nothing (void **state)
{
    (void) state;
    dn_log_set (DN_LOG_WARN, false);
    assert_written ((dn_effect_t){.event = "worker_ready", .level = DN_FX_INFO}, "");
    dn_log_set (DN_LOG_DEBUG, false);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (a_worker_that_comes_is_told_with_its_slots_and_host),
        cmocka_unit_test (a_worker_that_is_silent_is_told_with_its_silence_and_what_it_lost),
        cmocka_unit_test (a_worker_that_leaves_was_not_silent),
        cmocka_unit_test (a_stranger_has_no_name),
        cmocka_unit_test (an_event_that_the_table_does_not_know_is_written_all_the_same),
        cmocka_unit_test (a_level_that_is_off_writes_nothing),
    };
    return cmocka_run_group_tests (tests, set_up, tear_down);
}
