/*  test_erlang.c - Erlang's formulas against textbook values, at their edges and for many slots
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "base/erlang.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define MANY 10000

/*  With the digits that a table prints. */
#define assert_near(found, wanted, off)                                                            \
    do {                                                                                           \
        if (!((found) >= (wanted) - (off) && (found) <= (wanted) + (off)))                         \
            fail_msg ("%s is %.12g, not %.12g", #found, (double) (found), (double) (wanted));      \
    } while (0)

typedef struct {
    uint32_t slots;
    double   load;
    double   share;
} row_t;

static void
refusals_are_those_of_the_textbooks (void **state)
{
    static const row_t row[] = {{32, 24, 0.0221}, {32, 32, 0.1286}, {32, 48, 0.3656},
                                {32, 64, 0.5140}, {10, 5, 0.0184},  {5, 3, 0.1101},
                                {8, 6, 0.1219},   {1, 1, 0.5},      {200, 180, 0.0103}};
    (void) state;
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        assert_near (dn_erlang_b (row[i].slots, row[i].load), row[i].share, 0.00005);
}

static void
shares_that_wait_are_those_of_the_textbooks (void **state)
{
    static const row_t row[] = {{10, 5, 0.0361},  {2, 1, 1.0 / 3},     {3, 2, 4.0 / 9},
                                {4, 3.2, 0.5964}, {8, 6, 0.3570},      {1, 0.9, 0.9},
                                {1, 0.5, 0.5},    {MANY, 9900, 0.2228}};
    (void) state;
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        assert_near (dn_erlang_c (row[i].slots, row[i].load), row[i].share, 0.00005);
}

/*  B as it is defined: the last term of load^k/k! over the sum of all. */
static double
refused_by_definition (uint32_t slots, double load)
{
    double term = 1, sum = 1;
    for (uint32_t k = 1; k <= slots; k++) {
        term *= load / k;
        sum += term;
    }
    return term / sum;
}

static void
the_recurrence_is_the_definition (void **state)
{
    (void) state;
    for (uint32_t slots = 1; slots <= 100; slots++)
        for (double load = 0.25; load < 150; load *= 2)
            assert_near (dn_erlang_b (slots, load) / refused_by_definition (slots, load), 1, 1e-12);
}

static void
without_load_nobody_is_refused_and_nobody_waits (void **state)
{
    dn_erlang_wait_t wait;
    (void) state;
    assert_true (dn_erlang_b (1, 0) == 0);
    assert_true (dn_erlang_b (MANY, 0) == 0);
    assert_true (dn_erlang_c (1, 0) == 0);
    assert_int_equal (dn_erlang_wait (4, 0, 100, &wait), 0);
    assert_true (wait.share == 0 && wait.mean_ms == 0 && wait.p99_ms == 0);
    assert_int_equal (dn_erlang_slots (0, 0.01), 1);
}

static void
without_slots_all_are_refused (void **state)
{
    (void) state;
    assert_true (dn_erlang_b (0, 0) == 1);
    assert_true (dn_erlang_b (0, 3) == 1);
    assert_true (dn_erlang_c (0, 0) == 1);
    assert_true (dn_erlang_load (0, 0.01) == 0);
}

static void
a_load_of_all_slots_or_more_has_no_wait_to_tell (void **state)
{
    dn_erlang_wait_t wait = {.share = -7};
    (void) state;
    assert_int_equal (dn_erlang_wait (4, 4, 100, &wait), -1);
    assert_int_equal (dn_erlang_wait (4, 40, 100, &wait), -1);
    assert_int_equal (dn_erlang_wait (0, 0, 100, &wait), -1);
    assert_true (wait.share == -7);
    assert_true (dn_erlang_c (4, 4) == 1);
    assert_true (dn_erlang_c (4, 40) == 1);
    assert_int_equal (dn_erlang_wait (4, 3.999, 100, &wait), 0);
}

/*  The load r; those that find the slot busy: r; they wait run/(1 - r) in the mean. */
static void
one_slot_is_the_queue_with_one_server (void **state)
{
    dn_erlang_wait_t wait;
    (void) state;
    assert_near (dn_erlang_b (1, 0.25), 0.2, 1e-15);
    assert_int_equal (dn_erlang_wait (1, 0.9, 100, &wait), 0);
    assert_near (wait.share, 0.9, 1e-12);
    assert_near (wait.mean_ms, 900, 1e-9);
    assert_near (wait.p99_ms, 4499.8096703, 1e-6); /* 1000 ln 90 */
}

static void
waits_of_ten_slots (void **state)
{
    dn_erlang_wait_t wait;
    (void) state;
    assert_int_equal (dn_erlang_wait (10, 5, 200, &wait), 0);
    assert_near (wait.mean_ms, 0.0361053591583 * 200 / 5, 1e-9);
    assert_near (wait.p99_ms, 40 * 1.28385, 0.001); /* ln 3.61 */
    assert_int_equal (dn_erlang_wait (20, 5, 200, &wait), 0);
    assert_true (wait.share < 0.01 && wait.share > 0 && wait.p99_ms == 0);
}

static void
ten_thousand_slots_are_as_exact_as_ten (void **state)
{
    dn_erlang_wait_t wait;
    (void) state;
    assert_near (dn_erlang_b (MANY, 9900), 0.0028581267388568, 1e-14);
    assert_near (dn_erlang_b (MANY, MANY), 0.0079365632488057, 1e-14);
    assert_near (dn_erlang_b (MANY, 2.0 * MANY), 0.5, 0.0001);
    assert_true (dn_erlang_b (MANY, 10) == 0); /* too small a share for a double */
    assert_int_equal (dn_erlang_wait (MANY, 9900, 100, &wait), 0);
    assert_near (wait.mean_ms, 0.22277692886415, 1e-12);
    assert_near (wait.p99_ms, 3.1036, 0.0001);
}

static void
slots_for_a_share_are_the_fewest (void **state)
{
    static const double load[] = {0.1, 1, 5, 6, 100, 9900};
    static const double share[] = {0.5, 0.1, 0.01, 0.0001};
    (void) state;
    assert_int_equal (dn_erlang_slots (1, 0.01), 5);
    assert_int_equal (dn_erlang_slots (5, 0.01), 11);
    assert_int_equal (dn_erlang_slots (100, 0.01), 117);
    assert_int_equal (dn_erlang_slots (9900, 0.01), 9870);
    for (size_t i = 0; i < sizeof load / sizeof *load; i++)
        for (size_t j = 0; j < sizeof share / sizeof *share; j++) {
            uint32_t slots = dn_erlang_slots (load[i], share[j]);
            assert_true (dn_erlang_b (slots, load[i]) <= share[j]);
            assert_true (slots == 1 || dn_erlang_b (slots - 1, load[i]) > share[j]);
        }
}

static void
slots_that_cannot_be_counted_are_none (void **state)
{
    (void) state;
    assert_int_equal (dn_erlang_slots (1e15, 0.01), 0);
}

static void
the_load_for_a_share_is_the_largest (void **state)
{
    static const uint32_t slots[] = {1, 2, 10, 32, 1000, MANY};
    static const double   share[] = {0.5, 0.1, 0.01, 0.0001};
    (void) state;
    assert_near (dn_erlang_load (10, 0.01), 4.461, 0.0005); /* as the tables print it */
    assert_near (dn_erlang_load (1, 0.5), 1, 1e-9);
    for (size_t i = 0; i < sizeof slots / sizeof *slots; i++)
        for (size_t j = 0; j < sizeof share / sizeof *share; j++) {
            double load = dn_erlang_load (slots[i], share[j]);
            assert_true (dn_erlang_b (slots[i], load) <= share[j]);
            assert_true (dn_erlang_b (slots[i], load * 1.000001) > share[j]);
        }
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (refusals_are_those_of_the_textbooks),
        cmocka_unit_test (shares_that_wait_are_those_of_the_textbooks),
        cmocka_unit_test (the_recurrence_is_the_definition),
        cmocka_unit_test (without_load_nobody_is_refused_and_nobody_waits),
        cmocka_unit_test (without_slots_all_are_refused),
        cmocka_unit_test (a_load_of_all_slots_or_more_has_no_wait_to_tell),
        cmocka_unit_test (one_slot_is_the_queue_with_one_server),
        cmocka_unit_test (waits_of_ten_slots),
        cmocka_unit_test (ten_thousand_slots_are_as_exact_as_ten),
        cmocka_unit_test (slots_for_a_share_are_the_fewest),
        cmocka_unit_test (slots_that_cannot_be_counted_are_none),
        cmocka_unit_test (the_load_for_a_share_is_the_largest),
    };
    return cmocka_run_group_tests_name ("erlang", tests, NULL, NULL);
}
