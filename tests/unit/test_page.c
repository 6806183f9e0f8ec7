/*  test_page.c - the page that slot and supervisor share: a task is started or taken back, never
 *  both
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/heritage.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define TASKS 2000000 /* so many that a claim without compare-and-swap is often found */

static void
a_task_is_claimed_once_it_is_sent (void **state)
{
    (void) state;
    dn_page_t page = {0};
    assert_int_equal (dn_page_started (&page), 0);
    assert_true (dn_page_claim (&page, 1));
    assert_true (dn_page_claim (&page, 2));
    assert_int_equal (dn_page_started (&page), 2);
}

static void
what_is_taken_back_cannot_be_claimed (void **state)
{
    (void) state;
    dn_page_t page = {0};
    assert_true (dn_page_claim (&page, 1));
    assert_int_equal (dn_page_take_back (&page, 4), 1);
    assert_false (dn_page_claim (&page, 2));
    assert_false (dn_page_claim (&page, 4));
    assert_int_equal (dn_page_started (&page), 1);
    assert_true (dn_page_claim (&page, 5));
    assert_int_equal (dn_page_take_back (&page, 5), 5);
    assert_int_equal (dn_page_started (&page), 5);
}

static void
numbers_may_use_all_their_bits (void **state)
{
    (void) state;
    dn_page_t page = {0};
    assert_true (dn_page_claim (&page, UINT32_MAX - 1));
    assert_int_equal (dn_page_take_back (&page, UINT32_MAX), UINT32_MAX - 1);
    assert_false (dn_page_claim (&page, UINT32_MAX));
}

/*  ---- both at once ---- */

typedef struct {
    dn_page_t        page;
    _Atomic uint32_t sent;
    uint8_t          ran[TASKS + 1];   /* the slot's */
    uint8_t          taken[TASKS + 1]; /* the supervisor's */
} both_t;

static void *
be_slot (void *arg)
{
    both_t *both = arg;
    for (uint32_t number = 1; number <= TASKS; number++) {
        for (int spins = 0; atomic_load (&both->sent) < number; spins++)
            if (spins > 1000)
                sched_yield ();
        both->ran[number] = dn_page_claim (&both->page, number);
    }
    return NULL;
}

/*  Send some, take back what has not started, send on. */
static void *
be_supervisor (void *arg)
{
    both_t  *both = arg;
    uint32_t sent = 0;
    uint32_t settled = 0; /* up to here it is known what became of each */
    unsigned seed = 1;
    while (sent < TASKS) {
        uint32_t more = (uint32_t) rand_r (&seed) % 16 + 1;
        sent = sent + more < TASKS ? sent + more : TASKS;
        atomic_store (&both->sent, sent);
        for (int wait = rand_r (&seed) % 40; wait > 0; wait--)
            dn_page_started (&both->page);
        uint32_t started = dn_page_take_back (&both->page, sent);
        for (uint32_t number = (started > settled ? started : settled) + 1; number <= sent;
             number++)
            both->taken[number] = 1;
        settled = sent;
    }
    return NULL;
}

static void
two_threads_never_both_have_a_task_and_never_lose_one (void **state)
{
    (void) state;
    both_t *both = calloc (1, sizeof *both);
    assert_non_null (both);
    pthread_t slot, supervisor;
    assert_int_equal (pthread_create (&slot, NULL, be_slot, both), 0);
    assert_int_equal (pthread_create (&supervisor, NULL, be_supervisor, both), 0);
    pthread_join (slot, NULL);
    pthread_join (supervisor, NULL);

    uint32_t ran = 0;
    for (uint32_t number = 1; number <= TASKS; number++) {
        assert_int_equal (both->ran[number] + both->taken[number], 1);
        ran += both->ran[number];
    }
    assert_true (ran < TASKS); /* some were taken back, else this shows nothing */
    free (both);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (a_task_is_claimed_once_it_is_sent),
        cmocka_unit_test (what_is_taken_back_cannot_be_claimed),
        cmocka_unit_test (numbers_may_use_all_their_bits),
        cmocka_unit_test (two_threads_never_both_have_a_task_and_never_lose_one),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
