/*  test_crowd.c - a bounded set of sessions
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "core/crowd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static dn_session_t
session (uint32_t n)
{
    return (dn_session_t){{(uint8_t) (n >> 8), (uint8_t) n, 1}};
}

static void
add (dn_crowd_t *crowd, uint32_t n)
{
    dn_session_t who = session (n);
    dn_crowd_add (crowd, &who);
}

static bool
has (const dn_crowd_t *crowd, uint32_t n)
{
    dn_session_t who = session (n);
    return dn_crowd_has (crowd, &who);
}

static void
who_was_put_in_is_in_and_nobody_else (void **state)
{
    dn_crowd_t *crowd = dn_crowd_new (4, 5);
    (void) state;

    assert_int_equal (dn_crowd_count (crowd), 0);
    assert_false (has (crowd, 0));
    add (crowd, 1);
    add (crowd, 2);
    assert_true (has (crowd, 1) && has (crowd, 2));
    assert_false (has (crowd, 3));
    assert_int_equal (dn_crowd_count (crowd), 2);
    dn_crowd_destroy (&crowd);
    assert_null (crowd);
    dn_crowd_destroy (&crowd);
}

static void
who_is_in_is_not_put_in_twice (void **state)
{
    dn_crowd_t *crowd = dn_crowd_new (2, 5);
    (void) state;

    for (int i = 0; i < 10; i++)
        add (crowd, 1);
    add (crowd, 2);
    assert_int_equal (dn_crowd_count (crowd), 2);
    assert_int_equal (dn_crowd_lost (crowd), 0);
    dn_crowd_destroy (&crowd);
}

static void
oldest_goes_out_for_want_of_a_place_and_that_is_known (void **state)
{
    dn_crowd_t *crowd = dn_crowd_new (3, 5);
    (void) state;

    for (uint32_t n = 1; n <= 3; n++)
        add (crowd, n);
    assert_int_equal (dn_crowd_lost (crowd), 0);
    add (crowd, 1); /* still the oldest: it came first */
    add (crowd, 4);
    assert_int_equal (dn_crowd_lost (crowd), 1);
    assert_false (has (crowd, 1));
    assert_true (has (crowd, 2) && has (crowd, 3) && has (crowd, 4));
    assert_int_equal (dn_crowd_count (crowd), 3);
    add (crowd, 1);
    assert_false (has (crowd, 2));
    assert_true (has (crowd, 3) && has (crowd, 4) && has (crowd, 1));
    dn_crowd_destroy (&crowd);
}

static void
each_is_named_once (void **state)
{
    dn_crowd_t *crowd = dn_crowd_new (100, 5);
    bool        named[1000] = {false};
    (void) state;

    for (uint32_t n = 0; n < 1000; n++)
        add (crowd, n);
    assert_int_equal (dn_crowd_count (crowd), 100);
    dn_session_t who;
    uint32_t     count = 0;
    for (uint32_t number = 0; dn_crowd_next (crowd, &number, &who); count++) {
        assert_int_equal (number, 901 + count);
        assert_int_equal (dn_crowd_number (crowd, &who), number);
        named[who.bytes[0] << 8 | who.bytes[1]] = true;
    }
    assert_int_equal (count, 100);
    for (uint32_t n = 0; n < 1000; n++) {
        assert_int_equal (named[n], n >= 900);
        assert_int_equal (has (crowd, n), n >= 900);
    }
    dn_crowd_destroy (&crowd);
}

static void
who_is_renewed_is_the_newest_and_its_old_place_is_empty (void **state)
{
    dn_crowd_t  *crowd = dn_crowd_new (3, 5);
    dn_session_t who, first = session (1);
    uint32_t     number = 0;
    (void) state;

    dn_crowd_renew (crowd, &first);
    add (crowd, 2);
    dn_crowd_renew (crowd, &first);
    assert_int_equal (dn_crowd_count (crowd), 2);
    assert_int_equal (dn_crowd_newest (crowd), 3);
    assert_int_equal (dn_crowd_number (crowd, &first), 3);
    assert_true (dn_crowd_next (crowd, &number, &who));
    assert_int_equal (number, 2);
    assert_true (dn_crowd_next (crowd, &number, &who));
    assert_true (dn_session_eq (&who, &first));
    assert_false (dn_crowd_next (crowd, &number, &who));
    add (crowd, 3); /* in the place that is empty */
    assert_int_equal (dn_crowd_lost (crowd), 0);
    add (crowd, 4);
    assert_int_equal (dn_crowd_lost (crowd), 2);
    assert_false (has (crowd, 2));
    assert_true (has (crowd, 1));
    dn_crowd_destroy (&crowd);
}

static void
nobody_is_not_put_in (void **state)
{
    dn_crowd_t  *crowd = dn_crowd_new (3, 5);
    dn_session_t nobody = {{0}};
    (void) state;

    dn_crowd_add (crowd, &nobody);
    dn_crowd_renew (crowd, &nobody);
    assert_int_equal (dn_crowd_count (crowd) + dn_crowd_newest (crowd), 0);
    assert_int_equal (dn_crowd_number (crowd, &nobody), 0);
    dn_crowd_destroy (&crowd);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (who_was_put_in_is_in_and_nobody_else),
        cmocka_unit_test (who_is_in_is_not_put_in_twice),
        cmocka_unit_test (oldest_goes_out_for_want_of_a_place_and_that_is_known),
        cmocka_unit_test (each_is_named_once),
        cmocka_unit_test (who_is_renewed_is_the_newest_and_its_old_place_is_empty),
        cmocka_unit_test (nobody_is_not_put_in),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
