/*  test_lines.c - which held calls have no time left
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "core/lines.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/*  Of a service whose tasks ran for `a_ms` and `b_ms` in turn. */
static dn_line_t
ran (uint32_t a_ms, uint32_t b_ms)
{
    dn_line_t line = {0};
    for (int i = 0; i < 100; i++)
        dn_line_ran (&line, 1000 * (i % 2 ? a_ms : b_ms));
    return line;
}

static void
who_has_less_left_than_a_run_takes_is_late (void **state)
{
    dn_line_t line = ran (100, 100);
    (void) state;

    assert_true (dn_line_is_late (&line, 96, 104));
    assert_true (dn_line_is_late (&line, 10, 104));
    assert_false (dn_line_is_late (&line, 90, 110));
}

static void
where_run_times_differ_a_short_one_may_come_next (void **state)
{
    dn_line_t line = ran (1, 199);
    (void) state;

    assert_false (dn_line_is_late (&line, 10, 20));
}

static void
who_has_waited_for_longer_than_it_still_can_needs_two_runs (void **state)
{
    dn_line_t line = ran (100, 100);
    (void) state;

    assert_true (dn_line_is_late (&line, 800, 200));
    assert_false (dn_line_is_late (&line, 800, 240));
    assert_false (dn_line_is_late (&line, 150, 200));
}

static void
who_has_hardly_waited_is_never_late (void **state)
{
    dn_line_t line = ran (100, 100);
    (void) state;

    assert_false (dn_line_is_late (&line, 0, 0));
    assert_false (dn_line_is_late (&line, 3, 50));
}

static void
without_run_times_only_the_last_milliseconds_are_too_late (void **state)
{
    dn_line_t line = {0};
    (void) state;

    assert_true (dn_line_is_late (&line, 30, 19));
    assert_false (dn_line_is_late (&line, 30, 21));
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (who_has_less_left_than_a_run_takes_is_late),
        cmocka_unit_test (where_run_times_differ_a_short_one_may_come_next),
        cmocka_unit_test (who_has_waited_for_longer_than_it_still_can_needs_two_runs),
        cmocka_unit_test (who_has_hardly_waited_is_never_late),
        cmocka_unit_test (without_run_times_only_the_last_milliseconds_are_too_late),
    };
    return cmocka_run_group_tests_name ("lines", tests, NULL, NULL);
}
