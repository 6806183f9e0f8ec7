/*  test_base.c - index and pool against what they must be, by random steps
 */
#include "base/index.h"
#include "base/pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define ROWS  64
#define STEPS 200000

typedef struct {
    uint64_t key[ROWS];
} table_t;

static bool
same (const void *table, uint32_t row, const void *key)
{
    return ((const table_t *) table)->key[row] == *(const uint64_t *) key;
}

/*  A poor hash on purpose: keys collide and runs get long. */
static uint64_t
hash_of (uint64_t key)
{
    return key % 7 * 19;
}

static uint64_t
row_hash (const void *table, uint32_t row)
{
    return hash_of (((const table_t *) table)->key[row]);
}

static void
index_finds_what_is_in_and_nothing_else (void **state)
{
    (void) state;
    table_t     table = {{0}};
    bool        in[ROWS] = {false};
    dn_index_t *index = dn_index_new (ROWS, &table, same, row_hash);
    for (uint32_t i = 0; i < ROWS; i++)
        table.key[i] = i * 3;
    srand (1);
    for (int step = 0; step < STEPS; step++) {
        uint32_t row = (uint32_t) rand () % ROWS;
        if (in[row])
            dn_index_remove (index, hash_of (table.key[row]), row);
        else
            dn_index_put (index, hash_of (table.key[row]), row);
        in[row] = !in[row];
        uint32_t other = (uint32_t) rand () % ROWS;
        assert_int_equal (dn_index_find (index, hash_of (table.key[other]), &table.key[other]),
                          in[other] ? other : DN_INDEX_NONE);
    }
    dn_index_destroy (&index);
    assert_null (index);
}

static void
numbers_in_a_row_hash_near_each_other_and_sessions_do_not (void **state)
{
    (void) state;
    uint8_t session[16] = {1}, other[16] = {2};
    for (uint64_t number = 0; number < 1000; number++) {
        uint64_t first = dn_hash_key (7, session, number - number % 8);
        uint64_t hash = dn_hash_key (7, session, number);
        assert_int_equal (hash / 8, first / 8);
        assert_int_equal ((hash ^ first) % 8, number % 8); /* none is where another one is */
        assert_int_not_equal (hash / 8, dn_hash_key (7, session, number + 8) / 8);
        assert_int_not_equal (hash / 8, dn_hash_key (7, other, number) / 8);
        assert_int_not_equal (hash / 8, dn_hash_key (8, session, number) / 8);
    }
}

static void
pool_hands_out_each_row_once_and_then_none (void **state)
{
    (void) state;
    dn_pool_t *pool = dn_pool_new (ROWS);
    bool       seen[ROWS] = {false};
    for (int i = 0; i < ROWS; i++) {
        uint32_t row = dn_pool_row (pool, dn_pool_take (pool));
        assert_false (seen[row]);
        seen[row] = true;
    }
    assert_true (dn_pool_take (pool) == 0);
    assert_int_equal (dn_pool_used (pool), ROWS);
    dn_pool_destroy (&pool);
}

static void
stale_handle_finds_nothing_after_the_row_is_used_again (void **state)
{
    (void) state;
    dn_pool_t *pool = dn_pool_new (ROWS);
    uint64_t   old = dn_pool_take (pool);
    uint32_t   row = dn_pool_row (pool, old);
    dn_pool_give (pool, old);
    uint64_t now = dn_pool_take (pool);
    assert_int_equal (dn_pool_row (pool, now), row);
    assert_int_equal (dn_pool_row (pool, old), DN_POOL_NONE);
    assert_int_equal (dn_pool_row (pool, 0), DN_POOL_NONE);
    assert_true (dn_pool_handle (pool, row) == now);
    dn_pool_destroy (&pool);
}

static void
pool_walks_over_rows_in_use_in_order (void **state)
{
    (void) state;
    dn_pool_t *pool = dn_pool_new (ROWS);
    uint64_t   handle[5];
    for (int i = 0; i < 5; i++)
        handle[i] = dn_pool_take (pool);
    dn_pool_give (pool, handle[1]);
    dn_pool_give (pool, handle[3]);
    uint32_t want[] = {0, 2, 4, DN_POOL_NONE};
    uint32_t row = 0;
    for (int i = 0; i < 4; i++, row++) {
        row = dn_pool_next (pool, row);
        assert_int_equal (row, want[i]);
    }
    dn_pool_destroy (&pool);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (index_finds_what_is_in_and_nothing_else),
        cmocka_unit_test (numbers_in_a_row_hash_near_each_other_and_sessions_do_not),
        cmocka_unit_test (pool_hands_out_each_row_once_and_then_none),
        cmocka_unit_test (stale_handle_finds_nothing_after_the_row_is_used_again),
        cmocka_unit_test (pool_walks_over_rows_in_use_in_order),
    };
    return cmocka_run_group_tests_name ("base", tests, NULL, NULL);
}
