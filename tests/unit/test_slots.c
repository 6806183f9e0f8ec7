/*  test_slots.c - every cell of the table of slots, and the records of tasks
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "core/slots.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/*  The table once more, as sentences: next state and act, or "-" where the state stays and nothing
 *  is done, or "!" where it cannot be. In the order of the lists in slots.h. */
static const char *const expected[DN_SLOT_STATES][DN_SLOT_EVENTS] = {
    [DN_SLOT_OFF] = {"STARTING BEGIN", "-", "!", "!", "!", "-", "-", "-", "-", "-", "-", "-", "-",
                     "-"},
    [DN_SLOT_STARTING] = {"-", "IDLE JOIN", "!", "!", "!", "-", "KILLED SLAY", "KILLED SLAY",
                          "BACKOFF BURY", "BACKOFF BURY", "KILLED SLAY", "-", "-", "-"},
    [DN_SLOT_IDLE] = {"-", "-", "BUSY MOVED", "!", "!", "-", "STOPPING ASK", "KILLED SLAY",
                      "BACKOFF BURY", "-", "-", "-", "-", "-"},
    [DN_SLOT_BUSY] = {"-", "-", "BUSY MOVED", "BUSY MOVED", "IDLE REST", "BUSY TELL", "-",
                      "KILLED SLAY", "BACKOFF BURY", "-", "-", "-", "LENT SPARE", "-"},
    [DN_SLOT_LENT] = {"-", "-", "!", "LENT MOVED", "IDLE REST", "LENT TELL", "-", "KILLED SLAY",
                      "BACKOFF BURY", "-", "-", "-", "-", "BUSY MOVED"},
    [DN_SLOT_STOPPING] = {"-", "-", "!", "!", "!", "-", "-", "KILLED SLAY", "BACKOFF BURY", "-",
                          "KILLED SLAY", "-", "-", "-"},
    [DN_SLOT_KILLED] = {"-", "-", "!", "-", "-", "-", "-", "-", "BACKOFF BURY", "-", "-", "-", "-",
                        "-"},
    [DN_SLOT_BACKOFF] = {"-", "-", "!", "!", "!", "-", "OFF MOVED", "-", "-", "-", "STARTING BEGIN",
                         "OFF MOVED", "-", "-"},
};

static void
describe (dn_slot_state_t state, dn_slot_event_t event, char *text, size_t text_room)
{
    dn_slot_state_t next;
    dn_slot_act_t   act = dn_slot_cell (state, event, &next);

    if (act == DN_SLOT_DO_BUG)
        snprintf (text, text_room, "!");
    else if (act == DN_SLOT_DO_IGNORED && next == state)
        snprintf (text, text_room, "-");
    else
        snprintf (text, text_room, "%s %s", dn_slot_state_name (next), dn_slot_act_name (act));
}

static void
every_cell_says_what_is_expected (void **state)
{
    char text[64];
    (void) state;

    for (int s = 0; s < DN_SLOT_STATES; s++) {
        for (int e = 0; e < DN_SLOT_EVENTS; e++) {
            describe ((dn_slot_state_t) s, (dn_slot_event_t) e, text, sizeof text);
            if (!expected[s][e] || strcmp (text, expected[s][e]) != 0)
                fail_msg ("%s on %s: %s", dn_slot_state_name ((dn_slot_state_t) s),
                          dn_slot_event_name ((dn_slot_event_t) e), text);
        }
    }
}

/*  Bring a slot into a state by events alone. */
static void
bring (dn_slots_t *slots, dn_slot_t *slot, dn_slot_state_t wanted)
{
    static const struct {
        unsigned        count;
        dn_slot_event_t event[4];
    } way[DN_SLOT_STATES] = {
        [DN_SLOT_STARTING] = {1, {DN_SLOT_ON_START}},
        [DN_SLOT_IDLE] = {2, {DN_SLOT_ON_START, DN_SLOT_ON_READY}},
        [DN_SLOT_BUSY] = {3, {DN_SLOT_ON_START, DN_SLOT_ON_READY, DN_SLOT_ON_HAND}},
        [DN_SLOT_LENT] = {4,
                          {DN_SLOT_ON_START, DN_SLOT_ON_READY, DN_SLOT_ON_HAND, DN_SLOT_ON_LEND}},
        [DN_SLOT_STOPPING] = {3, {DN_SLOT_ON_START, DN_SLOT_ON_READY, DN_SLOT_ON_STOP}},
        [DN_SLOT_KILLED] = {2, {DN_SLOT_ON_START, DN_SLOT_ON_KILL}},
        [DN_SLOT_BACKOFF] = {2, {DN_SLOT_ON_START, DN_SLOT_ON_EXIT}},
    };
    for (unsigned i = 0; i < way[wanted].count; i++)
        dn_slot_step (slots, slot, way[wanted].event[i]);
    assert_int_equal (slot->state, wanted);
}

static void
every_state_is_reached_and_every_step_counts (void **state)
{
    (void) state;
    for (int s = 0; s < DN_SLOT_STATES; s++) {
        for (int e = 0; e < DN_SLOT_EVENTS; e++) {
            if (strcmp (expected[s][e], "!") == 0)
                continue;
            dn_slots_t     *slots = dn_slots_new (2);
            dn_slot_t      *slot = dn_slots_get (slots, 1);
            dn_slot_state_t next;
            bring (slots, slot, (dn_slot_state_t) s);
            dn_slot_act_t act = dn_slot_cell ((dn_slot_state_t) s, (dn_slot_event_t) e, &next);
            assert_int_equal (dn_slot_step (slots, slot, (dn_slot_event_t) e), act);
            assert_int_equal (slot->state, next);
            assert_int_equal (dn_slots_in (slots, next), next == DN_SLOT_OFF ? 2 : 1);
            assert_int_equal (dn_slots_used (slots), next == DN_SLOT_OFF ? 0 : 2);
            assert_int_equal (dn_slots_manned (slots), next != DN_SLOT_OFF && next != DN_SLOT_LENT);
            dn_slots_destroy (&slots);
        }
    }
}

static void
what_cannot_be_aborts (void **state)
{
    (void) state;
    pid_t child = fork ();
    if (child == 0) {
        dn_slots_t *slots = dn_slots_new (1);
        close (STDERR_FILENO);
        signal (SIGABRT, SIG_DFL);
        dn_slot_step (slots, dn_slots_get (slots, 0), DN_SLOT_ON_HAND);
        _exit (0);
    }
    int status = 0;
    assert_int_equal (waitpid (child, &status, 0), child);
    assert_true (WIFSIGNALED (status) && WTERMSIG (status) == SIGABRT);
}

static void
zygote_has_a_row_of_its_own (void **state)
{
    dn_slots_t *slots = dn_slots_new (3);
    dn_slot_t  *zygote = dn_slots_get (slots, DN_SLOT_ZYGOTE);
    (void) state;

    assert_non_null (zygote);
    assert_int_equal (dn_slots_number (slots, zygote), DN_SLOT_ZYGOTE);
    assert_int_equal (dn_slots_number (slots, dn_slots_get (slots, 2)), 2);
    assert_null (dn_slots_get (slots, 3));
    dn_slot_step (slots, zygote, DN_SLOT_ON_START);
    assert_int_equal (dn_slots_in (slots, DN_SLOT_STARTING), 0);
    dn_slots_check (slots);
    dn_slots_destroy (&slots);
}

/*  ---- the records of tasks ---- */

static const dn_session_t one = {{1}};
static const dn_session_t two = {{2}};

static dn_hold_t *
add (dn_holds_t *holds, const dn_session_t *session, uint64_t seq, uint16_t attempt)
{
    dn_hold_t *hold = dn_holds_add (holds, session, seq, attempt, 0);
    assert_non_null (hold);
    dn_holds_move (holds, hold, DN_HOLD_STANDBY, NULL, false);
    return hold;
}

static void
task_is_found_by_key_and_by_handle_until_it_leaves (void **state)
{
    dn_holds_t *holds = dn_holds_new (5);
    (void) state;

    dn_hold_t  *a = add (holds, &one, 1, 1);
    dn_hold_t  *b = add (holds, &one, 1, 2);
    dn_handle_t handle = dn_holds_handle (holds, a);
    assert_ptr_equal (dn_holds_find (holds, &one, 1, 1), a);
    assert_ptr_equal (dn_holds_find (holds, &one, 1, 2), b);
    assert_null (dn_holds_find (holds, &two, 1, 1));
    assert_ptr_equal (dn_holds_get (holds, handle), a);
    dn_holds_check (holds);

    dn_holds_remove (holds, a);
    assert_null (dn_holds_get (holds, handle));
    assert_null (dn_holds_find (holds, &one, 1, 1));
    add (holds, &two, 9, 1);
    assert_null (dn_holds_get (holds, handle));
    dn_holds_check (holds);
    dn_holds_destroy (&holds);
}

static void
full_table_refuses_one_more (void **state)
{
    dn_holds_t *holds = dn_holds_new (5);
    (void) state;

    for (uint64_t seq = 0; seq < DN_HOLDS_MAX; seq++)
        add (holds, &one, seq, 1);
    assert_null (dn_holds_add (holds, &two, 1, 1, 0));
    dn_holds_check (holds);
    dn_holds_remove (holds, dn_holds_find (holds, &one, 77, 1));
    add (holds, &two, 1, 1);
    dn_holds_check (holds);
    dn_holds_destroy (&holds);
}

static uint8_t bytes[DN_HOLDS_MAX * DN_HELD_ROW_BYTES];

static bool
in_range (const dn_held_t *held, const dn_row_held_t *row)
{
    int low = memcmp (row->session.bytes, held->from_session.bytes, 16);
    int high = memcmp (row->session.bytes, held->upto_session.bytes, 16);
    return (low > 0 || (low == 0 && row->seq >= held->from_seq)) &&
           (high < 0 || (high == 0 && row->seq <= held->upto_seq));
}

/*  Every list is complete for its range, and the ranges together cover all. */
static void
long_lists_come_in_parts_that_cover_all (void **state)
{
    enum { TASKS = 2500 };
    dn_holds_t *holds = dn_holds_new (5);
    static bool seen[2][TASKS];
    unsigned    parts = 0;
    (void) state;

    for (uint64_t i = 0; i < TASKS; i++)
        add (holds, i % 2 ? &one : &two, i * 7919 % TASKS, 1);
    memset (seen, 0, sizeof seen);
    do {
        dn_held_t     held = {0};
        dn_rows_t     rows = {bytes, sizeof bytes, 0, 0};
        dn_row_held_t row;
        dn_holds_held (holds, &held, &rows);
        assert_true (rows.count <= DN_HELD_ROWS_MAX);
        dn_list_t list = dn_rows_list (&rows);
        while (dn_list_next (&list, DN_ROW_HELD, &row)) {
            assert_true (in_range (&held, &row));
            seen[row.session.bytes[0] - 1][row.seq] = true;
        }
        parts++;
        if (held.upto_seq == UINT64_MAX)
            break;
    } while (parts < 10);
    assert_int_equal (parts, 3);
    for (uint64_t i = 0; i < TASKS; i++)
        assert_true (seen[i % 2 ? 0 : 1][i * 7919 % TASKS]);
    dn_holds_destroy (&holds);
}

static void
two_attempts_at_a_task_are_not_parted (void **state)
{
    dn_holds_t *holds = dn_holds_new (5);
    dn_held_t   held = {0};
    dn_rows_t   rows = {bytes, sizeof bytes, 0, 0};
    (void) state;

    for (uint64_t seq = 0; seq < DN_HELD_ROWS_MAX - 1; seq++)
        add (holds, &one, seq, 1);
    add (holds, &one, DN_HELD_ROWS_MAX - 1, 1);
    add (holds, &one, DN_HELD_ROWS_MAX - 1, 2);
    dn_holds_held (holds, &held, &rows);
    assert_int_equal (rows.count, DN_HELD_ROWS_MAX - 1);
    assert_int_equal (held.upto_seq, DN_HELD_ROWS_MAX - 2);
    rows = (dn_rows_t){bytes, sizeof bytes, 0, 0};
    dn_holds_held (holds, &held, &rows);
    assert_int_equal (rows.count, 2);
    assert_int_equal (held.upto_seq, UINT64_MAX);
    dn_holds_destroy (&holds);
}

static void
list_says_which_task_of_a_channel_runs (void **state)
{
    dn_holds_t          *holds = dn_holds_new (5);
    dn_hold_line_t       channel = TAILQ_HEAD_INITIALIZER (channel);
    dn_row_held_t        row;
    static const uint8_t expected_states[] = {0, 1, 0, 2, 3};
    (void) state;

    add (holds, &one, 0, 1);
    dn_holds_move (holds, add (holds, &one, 1, 1), DN_HOLD_CHANNEL, &channel, false);
    dn_holds_move (holds, add (holds, &one, 2, 1), DN_HOLD_CHANNEL, &channel, false);
    dn_holds_move (holds, add (holds, &one, 3, 1), DN_HOLD_OUTBOX, NULL, false);
    add (holds, &one, 4, 1)->forgotten = true;
    dn_rows_t rows = {bytes, sizeof bytes, 0, 0};
    dn_holds_inventory (holds, &rows);
    dn_list_t list = dn_rows_list (&rows);
    assert_int_equal (list.count, 5);
    while (dn_list_next (&list, DN_ROW_HELD, &row))
        assert_int_equal (row.state, expected_states[row.seq]);
    assert_int_equal (rows.used_bytes, 5 * DN_HELD_ROW_BYTES);
    dn_holds_destroy (&holds);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (every_cell_says_what_is_expected),
        cmocka_unit_test (every_state_is_reached_and_every_step_counts),
        cmocka_unit_test (what_cannot_be_aborts),
        cmocka_unit_test (zygote_has_a_row_of_its_own),
        cmocka_unit_test (task_is_found_by_key_and_by_handle_until_it_leaves),
        cmocka_unit_test (full_table_refuses_one_more),
        cmocka_unit_test (long_lists_come_in_parts_that_cover_all),
        cmocka_unit_test (two_attempts_at_a_task_are_not_parted),
        cmocka_unit_test (list_says_which_task_of_a_channel_runs),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
