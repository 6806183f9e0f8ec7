/*  test_rosters.c - who the workers of each epoch were, and whether they came back
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "core/rosters.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define OWN 99 /* epoch */

static uint8_t  bytes[DN_HEADER_MAX];
static uint32_t lost; /* client that is not remembered any more; of epoch n are those after 10 n */

static dn_session_t
session (uint32_t n)
{
    return n ? (dn_session_t){{(uint8_t) (n >> 8), (uint8_t) n, 1}} : (dn_session_t){{0}};
}

/*  Workers `first` and on, as a roster of WELCOME. */
static void
learn (dn_rosters_t *self, uint64_t epoch, uint32_t version, uint32_t first, uint32_t count)
{
    dn_rows_t rows = {bytes, sizeof bytes, 0, 0};
    for (uint32_t i = 0; i < count; i++) {
        dn_row_session_t row = {session (first + i)};
        assert_int_equal (dn_rows_put (&rows, DN_ROW_SESSION, &row), 0);
    }
    dn_rosters_learn (self, epoch, version, dn_rows_list (&rows), (uint32_t) epoch * 10);
}

/*  Has said HELLO: those whose bit is set in *arg. */
static bool
is_back (const void *arg, const dn_session_t *worker)
{
    return worker->bytes[1] < 32 && *(const uint32_t *) arg >> worker->bytes[1] & 1;
}

/*  What another one knows, as it comes in a HELLO. */
static void
merge (dn_rosters_t *self, const dn_rosters_t *other, uint32_t back)
{
    dn_rows_t rows = {bytes, sizeof bytes, 0, 0};
    dn_rosters_tell (other, &rows, lost);
    dn_rosters_merge (self, dn_rows_list (&rows), OWN, is_back, &back);
}

static void
come (dn_rosters_t *self, uint32_t n)
{
    dn_session_t worker = session (n);
    dn_rosters_back (self, &worker);
}

/*  Version that is told of an epoch, 0 when it is not told at all; and how many rows. */
static uint32_t
told (const dn_rosters_t *self, uint64_t epoch, uint32_t *count)
{
    dn_rows_t       rows = {bytes, sizeof bytes, 0, 0};
    dn_row_roster_t row;
    uint32_t        version = 0;
    *count = 0;
    dn_rosters_tell (self, &rows, lost);
    assert_int_equal (rows.count, dn_rosters_rows (self, lost));
    dn_list_t list = dn_rows_list (&rows);
    while (dn_list_next (&list, DN_ROW_ROSTER, &row)) {
        if (row.epoch != epoch)
            continue;
        version = row.version;
        ++*count;
    }
    return version;
}

static void
newest_version_of_an_epoch_is_told (void **state)
{
    dn_rosters_t *self = dn_rosters_new (4);
    uint32_t      count;
    (void) state;

    learn (self, 1, 2, 1, 3);
    learn (self, 1, 2, 1, 9);
    learn (self, 1, 1, 1, 9);
    assert_int_equal (told (self, 1, &count), 2);
    assert_int_equal (count, 3);
    learn (self, 1, 5, 1, 2);
    assert_int_equal (told (self, 1, &count), 5);
    assert_int_equal (count, 2);
    dn_rosters_destroy (&self);
    assert_null (self);
}

static void
epoch_that_was_learnt_first_goes (void **state)
{
    dn_rosters_t *self = dn_rosters_new (4);
    uint32_t      count;
    (void) state;

    for (uint64_t epoch = 1; epoch <= 4; epoch++)
        learn (self, epoch, 1, 1, 1);
    learn (self, 1, 2, 1, 1); /* newer, and learnt first all the same */
    learn (self, 5, 1, 1, 1);
    assert_int_equal (told (self, 1, &count), 0);
    for (uint64_t epoch = 2; epoch <= 5; epoch++)
        assert_int_equal (told (self, epoch, &count), 1);
    dn_rosters_destroy (&self);
}

static void
epoch_zero_is_no_epoch (void **state)
{
    dn_rosters_t *self = dn_rosters_new (4);
    (void) state;

    learn (self, 0, 1, 1, 3);
    assert_int_equal (dn_rosters_rows (self, lost), 0);
    assert_false (dn_rosters_all_back (self, 0));
    dn_rosters_destroy (&self);
}

static void
all_are_back_when_the_last_one_is (void **state)
{
    dn_rosters_t *self = dn_rosters_new (8);
    dn_rosters_t *worker = dn_rosters_new (4);
    (void) state;

    learn (worker, 1, 1, 1, 3);
    learn (worker, 2, 1, 3, 2);
    merge (self, worker, 1 << 1);
    assert_false (dn_rosters_all_back (self, 1));
    come (self, 3);
    come (self, 3);
    assert_false (dn_rosters_all_back (self, 1));
    come (self, 2);
    assert_true (dn_rosters_all_back (self, 1));
    assert_false (dn_rosters_all_back (self, 2));
    come (self, 4);
    assert_true (dn_rosters_all_back (self, 2));
    assert_false (dn_rosters_all_back (self, 3)); /* not known */
    dn_rosters_destroy (&self);
    dn_rosters_destroy (&worker);
}

static void
who_came_back_is_so_in_a_newer_version_too (void **state)
{
    dn_rosters_t *self = dn_rosters_new (8);
    dn_rosters_t *worker = dn_rosters_new (4);
    (void) state;

    learn (worker, 1, 1, 1, 2);
    merge (self, worker, 0);
    come (self, 1);
    come (self, 2);
    assert_true (dn_rosters_all_back (self, 1));
    learn (worker, 1, 2, 1, 3);
    merge (self, worker, 0);
    assert_false (dn_rosters_all_back (self, 1));
    come (self, 3);
    assert_true (dn_rosters_all_back (self, 1));
    dn_rosters_destroy (&self);
    dn_rosters_destroy (&worker);
}

static void
same_roster_from_many_workers_changes_nothing (void **state)
{
    dn_rosters_t *self = dn_rosters_new (8);
    dn_rosters_t *worker = dn_rosters_new (4);
    (void) state;

    learn (worker, 1, 3, 1, 4);
    for (uint32_t n = 1; n <= 4; n++) {
        assert_false (dn_rosters_all_back (self, 1));
        merge (self, worker, 0);
        come (self, n);
    }
    assert_true (dn_rosters_all_back (self, 1));
    assert_int_equal (dn_rosters_rows (self, lost), 4);
    dn_rosters_destroy (&self);
    dn_rosters_destroy (&worker);
}

static void
rows_of_the_own_epoch_are_passed_over (void **state)
{
    dn_rosters_t *self = dn_rosters_new (8);
    dn_rosters_t *worker = dn_rosters_new (4);
    uint32_t      count;
    (void) state;

    learn (worker, 1, 1, 1, 2);
    learn (worker, OWN, 7, 1, 5);
    learn (worker, 2, 1, 1, 1);
    merge (self, worker, 0);
    told (self, OWN, &count);
    assert_int_equal (count, 0);
    assert_int_equal (dn_rosters_rows (self, lost), 3);
    dn_rosters_destroy (&self);
    dn_rosters_destroy (&worker);
}

static void
empty_roster_proves_nothing (void **state)
{
    dn_rosters_t *self = dn_rosters_new (8);
    (void) state;

    learn (self, 1, 1, 1, 0);
    assert_false (dn_rosters_all_back (self, 1));
    dn_rosters_destroy (&self);
}

static void
roster_with_nobody_in_it_never_comes_back (void **state)
{
    dn_rosters_t *self = dn_rosters_new (8);
    dn_rosters_t *worker = dn_rosters_new (4);
    (void) state;

    learn (worker, 1, 1, 0, 2); /* nobody, and 1 */
    merge (self, worker, 0);
    come (self, 1);
    assert_false (dn_rosters_all_back (self, 1));
    dn_rosters_destroy (&self);
    dn_rosters_destroy (&worker);
}

static void
roster_that_is_too_long_ends_with_nobody (void **state)
{
    dn_rosters_t *self = dn_rosters_new (8);
    dn_rosters_t *worker = dn_rosters_new (4);
    (void) state;

    learn (worker, 1, 1, 1, DN_ROSTER_MAX - 1);
    learn (worker, 2, 1, 1, DN_ROSTER_MAX + 5);
    assert_int_equal (dn_rosters_rows (worker, lost), 2 * DN_ROSTER_MAX - 1);
    merge (self, worker, 0);
    for (uint32_t n = 1; n <= DN_ROSTER_MAX + 5; n++)
        come (self, n);
    assert_true (dn_rosters_all_back (self, 1));
    assert_false (dn_rosters_all_back (self, 2));
    dn_rosters_destroy (&self);
    dn_rosters_destroy (&worker);
}

static void
roster_of_which_a_forgotten_client_is_not_remembered_proves_nothing (void **state)
{
    dn_rosters_t *self = dn_rosters_new (8);
    dn_rosters_t *worker = dn_rosters_new (4);
    uint32_t      count;
    (void) state;

    for (uint64_t epoch = 1; epoch <= 3; epoch++)
        learn (worker, epoch, 1, 1, 2);
    learn (worker, 1, 2, 1, 2); /* what was forgotten since then counts, too */
    lost = 21;
    told (worker, 2, &count);
    assert_int_equal (count, 3);
    told (worker, 3, &count);
    assert_int_equal (count, 2);
    merge (self, worker, 1 << 1 | 1 << 2);
    lost = 0;
    assert_false (dn_rosters_all_back (self, 1));
    assert_false (dn_rosters_all_back (self, 2));
    assert_true (dn_rosters_all_back (self, 3));
    dn_rosters_destroy (&self);
    dn_rosters_destroy (&worker);
}

static void
roster_in_doubt_proves_nothing_in_any_version_and_whoever_brings_it (void **state)
{
    dn_rosters_t *self = dn_rosters_new (8);
    dn_rosters_t *worker = dn_rosters_new (4), *other = dn_rosters_new (4);
    (void) state;

    learn (worker, 1, 1, 1, 2);
    dn_rosters_doubt (worker);
    learn (worker, 1, 2, 1, 2);
    learn (worker, 2, 1, 1, 2); /* after that */
    learn (other, 1, 9, 1, 2);
    merge (self, other, 1 << 1 | 1 << 2);
    assert_true (dn_rosters_all_back (self, 1));
    merge (self, worker, 1 << 1 | 1 << 2);
    assert_false (dn_rosters_all_back (self, 1));
    assert_true (dn_rosters_all_back (self, 2));
    learn (other, 1, 10, 1, 1);
    merge (self, other, 1 << 1 | 1 << 2);
    assert_false (dn_rosters_all_back (self, 1));
    dn_rosters_destroy (&self);
    dn_rosters_destroy (&worker);
    dn_rosters_destroy (&other);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (newest_version_of_an_epoch_is_told),
        cmocka_unit_test (epoch_that_was_learnt_first_goes),
        cmocka_unit_test (epoch_zero_is_no_epoch),
        cmocka_unit_test (all_are_back_when_the_last_one_is),
        cmocka_unit_test (who_came_back_is_so_in_a_newer_version_too),
        cmocka_unit_test (same_roster_from_many_workers_changes_nothing),
        cmocka_unit_test (rows_of_the_own_epoch_are_passed_over),
        cmocka_unit_test (empty_roster_proves_nothing),
        cmocka_unit_test (roster_with_nobody_in_it_never_comes_back),
        cmocka_unit_test (roster_that_is_too_long_ends_with_nobody),
        cmocka_unit_test (roster_of_which_a_forgotten_client_is_not_remembered_proves_nothing),
        cmocka_unit_test (roster_in_doubt_proves_nothing_in_any_version_and_whoever_brings_it),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
