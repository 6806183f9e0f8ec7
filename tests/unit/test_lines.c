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
        dn_line_ran (&line, 1000 * (i % 2 ? a_ms : b_ms), i % 2 ? a_ms : b_ms);
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
the_way_there_and_back_takes_time_too (void **state)
{
    dn_line_t line = {0};
    (void) state;

    for (int i = 0; i < 100; i++)
        dn_line_ran (&line, 100000, 130);
    assert_true (dn_line_is_late (&line, 90, 136));
    assert_false (dn_line_is_late (&line, 90, 138));
}

static void
an_answer_that_took_less_than_its_run_had_no_way (void **state)
{
    dn_line_t line = {0};
    (void) state;

    for (int i = 0; i < 100; i++)
        dn_line_ran (&line, 100000, 40); /* to an earlier try */
    assert_false (dn_line_is_late (&line, 90, 108));
}

static void
a_few_answers_suffice (void **state)
{
    dn_line_t line = {0};
    (void) state;

    dn_line_ran (&line, 100000, 100); /* one alone says little */
    assert_false (dn_line_is_late (&line, 10, 50));
    for (int i = 0; i < 3; i++)
        dn_line_ran (&line, 100000 + (uint32_t) i * 1000, 100);
    assert_true (dn_line_is_late (&line, 10, 100));
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
        cmocka_unit_test (the_way_there_and_back_takes_time_too),
        cmocka_unit_test (an_answer_that_took_less_than_its_run_had_no_way),
        cmocka_unit_test (a_few_answers_suffice),
        cmocka_unit_test (where_run_times_differ_a_short_one_may_come_next),
        cmocka_unit_test (who_has_waited_for_longer_than_it_still_can_needs_two_runs),
        cmocka_unit_test (who_has_hardly_waited_is_never_late),
        cmocka_unit_test (without_run_times_only_the_last_milliseconds_are_too_late),
    };
    return cmocka_run_group_tests_name ("lines", tests, NULL, NULL);
}
