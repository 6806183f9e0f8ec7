/*  test_setting.c - values: what each type takes, what it refuses, how it says so
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "settings_test.h"

static const dn_setting_t *
find_row (const dn_settings_program_t *program, const char *path)
{
    for (size_t i = 0; i < program->rows_count; i++)
        if (strcmp (program->rows[i].path, path) == 0)
            return &program->rows[i];
    fail_msg ("no key %s", path);
    return NULL;
}

static bool
is_number (const dn_setting_t *row)
{
    return row->type == DN_SETTING_COUNT || row->type == DN_SETTING_MS ||
           row->type == DN_SETTING_BYTES;
}

static void
assert_range (const dn_setting_t *row, void *self)
{
    char          why[DN_WHY_MAX];
    char          text[32];
    char          shown[DN_SETTING_SHOW_MAX];
    char          again[DN_SETTING_SHOW_MAX];
    const int64_t inside[] = {row->min, row->max};
    const int64_t outside[] = {row->min - 1, row->max + 1};

    for (size_t i = 0; i < 2; i++) {
        snprintf (text, sizeof text, "%lld", (long long) inside[i]);
        assert_int_equal (dn_setting_set (row, self, text, why, sizeof why), 0);
        dn_setting_show (row, self, shown);
        assert_int_equal (dn_setting_set (row, self, shown, why, sizeof why), 0);
        assert_string_equal (dn_setting_show (row, self, again), shown);

        snprintf (text, sizeof text, "%lld", (long long) outside[i]);
        assert_int_equal (dn_setting_set (row, self, text, why, sizeof why), -1);
        assert_non_null (strstr (why, "is not allowed; write a "));
    }
}

static void
every_key_refuses_what_lies_outside_and_keeps_its_value (void **state)
{
    static const char *const     nonsense[] = {"\"", "\x01", "a\nb", "\xff"};
    static const char *const     not_numbers[] = {"",
                                                  " 1",
                                                  "1 ",
                                                  "+1",
                                                  "-1",
                                                  "0x10",
                                                  "1.5",
                                                  "1e3",
                                                  "ten",
                                                  "18446744073709551617",
                                                  "9223372036854775808"};
    const dn_settings_program_t *programs[] = {&dn_manager_program, &dn_worker_program};
    static union {
        dn_manager_settings_t manager;
        dn_worker_settings_t  worker;
    } self, before;
    char why[DN_WHY_MAX];
    char text[DN_SETTING_SHOW_MAX];

    (void) state;
    for (size_t p = 0; p < 2; p++) {
        for (size_t r = 0; r < programs[p]->rows_count; r++) {
            const dn_setting_t *row = &programs[p]->rows[r];
            assert_int_equal (dn_setting_set (row, &self, row->preset, why, sizeof why), 0);
            before = self;
            for (size_t i = 0; i < sizeof nonsense / sizeof nonsense[0]; i++) {
                assert_int_equal (dn_setting_set (row, &self, nonsense[i], why, sizeof why), -1);
                assert_true (strstr (why, "write ") && dn_text_is_safe (why));
            }
            for (size_t i = 0; is_number (row) && i < sizeof not_numbers / sizeof not_numbers[0];
                 i++)
                assert_int_equal (dn_setting_set (row, &self, not_numbers[i], why, sizeof why), -1);
            assert_memory_equal (&self, &before, sizeof self);
            if (is_number (row))
                assert_range (row, &self);
            assert_true (strlen (dn_setting_allowed (row, text, sizeof text)) > 0);
        }
    }
}

static void
sizes_are_written_with_or_without_a_suffix (void **state)
{
    static const struct {
        const char *text, *shown;
        int64_t     bytes; /* -1: refused */
    } rows[] = {
        {"1024", "1K", 1024},       {"1025", "1025", 1025},  {"64K", "64K", 65536},
        {"64k", "64K", 65536},      {"65536", "64K", 65536}, {"64M", "64M", 64 << 20},
        {"1024M", "1G", 1 << 30},   {"1G", "1G", 1 << 30},   {"2G", "", -1},
        {"64MB", "", -1},           {"64 M", "", -1},        {"K", "", -1},
        {"9999999999999G", "", -1}, {"1T", "", -1},
    };
    const dn_setting_t          *row = find_row (&dn_manager_program, "manager/payload_max");
    static dn_manager_settings_t self;
    char                         why[DN_WHY_MAX];
    char                         shown[DN_SETTING_SHOW_MAX];

    (void) state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int rc = dn_setting_set (row, &self, rows[i].text, why, sizeof why);
        assert_int_equal (rc, rows[i].bytes < 0 ? -1 : 0);
        if (rc < 0)
            continue;
        assert_int_equal (self.payload_max, rows[i].bytes);
        assert_string_equal (dn_setting_show (row, &self, shown), rows[i].shown);
    }
}

static void
booleans_have_three_spellings (void **state)
{
    static const struct {
        const char *text;
        int         value; /* -1: refused */
    } rows[] = {{"true", 1}, {"yes", 1}, {"1", 1},   {"false", 0}, {"no", 0},
                {"0", 0},    {"", -1},   {"on", -1}, {"True", -1}, {"2", -1}};
    const dn_setting_t          *row = find_row (&dn_manager_program, "manager/log_json");
    static dn_manager_settings_t self;
    char                         why[DN_WHY_MAX];

    (void) state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int rc = dn_setting_set (row, &self, rows[i].text, why, sizeof why);
        assert_int_equal (rc, rows[i].value < 0 ? -1 : 0);
        if (rc == 0)
            assert_int_equal (self.log_json, rows[i].value);
    }
}

static void
wrong_value_of_a_flag_says_what_is_allowed (void **state)
{
    static dn_manager_settings_t manager;
    static dn_worker_settings_t  worker;
    (void) state;
    assert_stopped (MANAGER (&manager, "--listen", "tcp//x"), 78,
                    "denimd: --listen: manager/listen: \"tcp//x\" is not an address: ");
    assert_stopped (WORKER (&worker, "--manager", "tcp://*", "a"), 78,
                    "denim-worker: --manager: worker/manager: \"tcp://*\" is not an address: ");
    assert_stopped (
        WORKER (&worker, "--slots", "many", "a"), 78,
        "--slots: worker/slots: \"many\" is not allowed; write a whole number from 0 to");
    assert_stopped (WORKER (&worker, "--name", "two words", "a"), 78, "worker/name: \"two words\"");
    assert_stopped (WORKER (&worker, "--service", "a:b", "a"), 78, "worker/service: \"a:b\"");
    assert_stopped (WORKER (&worker, "--allow-pickle=maybe", "a"), 78, "true or false");
}

static void
hard_limit_below_the_soft_one_is_refused (void **state)
{
    static dn_worker_settings_t self;
    (void) state;
    assert_stopped (WORKER (&self, "a", "-f",
                            FILE_WITH ("slot\n    soft_limit_ms = 20\n    hard_limit_ms = 10\n")),
                    78, "slot/hard_limit_ms: 10 is less than slot/soft_limit_ms, 20");
    assert_went_on (WORKER (&self, "a", "-f",
                            FILE_WITH ("slot\n    soft_limit_ms = 20\n    hard_limit_ms = 20\n")));
    assert_went_on (WORKER (&self, "a", "-f", FILE_WITH ("slot\n    hard_limit_ms = 10\n")));
    assert_went_on (WORKER (&self, "a", "-f", FILE_WITH ("slot\n    soft_limit_ms = 10\n")));
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        TEST (every_key_refuses_what_lies_outside_and_keeps_its_value),
        TEST (sizes_are_written_with_or_without_a_suffix),
        TEST (booleans_have_three_spellings),
        TEST (wrong_value_of_a_flag_says_what_is_allowed),
        TEST (hard_limit_below_the_soft_one_is_refused),
    };
    return cmocka_run_group_tests_name ("setting", tests, NULL, NULL);
}
