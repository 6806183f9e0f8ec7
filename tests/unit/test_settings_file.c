/*  test_settings_file.c - files that are read as they are meant, and every way to get one wrong
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include <signal.h>

#include "settings_test.h"

#define LINES "four spaces, no tabs"

static void
wrong_file_is_refused_with_line_key_and_what_is_allowed (void **state)
{
    static const struct {
        const char *text;
        int         line;
        const char *words;
    } rows[] = {
        {"manager\n\tlisten = x\n", 2, LINES},
        {"manager\n    \tlisten = x\n", 2, LINES},
        {"manager\n   listen = x\n", 2, LINES},
        {"manager\n  # a comment\n", 2, LINES},
        {"# comment\n\nmanager\n        listen = x\n", 4, LINES},
        {"    listen = x\n", 1, LINES},
        {"listen = x\n", 1, LINES},
        {"manager:\n", 1, LINES},
        {"[manager]\n", 1, LINES},
        {"manager/listen = x\n", 1, LINES},
        {"manager {\n", 1, LINES},
        {"\xef\xbb\xbfmanager\n", 1, LINES},
        {"manager\n    listen\n", 2, "write `key = value`"},
        {"manager\n    listen: x\n", 2, "neither `section` nor `key = value`"},
        {"manager\n    listen x\n", 2, "write `key = value`"},
        {"manager\n    listen =\n", 2, "the value is missing; write \"\""},
        {"manager\n    listen = # x\n", 2, "the value is missing; write \"\""},
        {"manager\n    listen = \"ipc://x\n", 2, "the quote is not closed"},
        {"manager\n    listen = 'ipc://x\"\n", 2, "the quote is not closed"},
        {"manager\n    listen = \"a\" b\n", 2, "something follows the closing quote"},
        {"manager\n    listen = ipc://a#b\n", 2, "put a value that has one in quotes"},
        {"manager\n    listen = ipc://\x1b[2J\n", 2, "a control character"},
        {"mgr\n    liveness = 3\n", 1,
         "unknown section mgr; denimd has manager, limits, admission"},
        {"manager\n    foo = 3\n", 2, "unknown key manager/foo; manager has listen, insecure, "},
        {"limits\n    liveness = 3\n", 2, "unknown key limits/liveness; limits has clients_max, "},
        {"manage\n", 1, "unknown section manage"},
        {"manager\n    listen_ = x\n", 2, "unknown key manager/listen_"},
        {"manager\n    liveness = 3\n\n    liveness = 3\n", 4,
         "manager/liveness is given twice, first in line 2"},
        {"manager\n    liveness = 3\nlimits\nmanager\n", 4, "section manager is given twice"},
        {"manager\n    liveness = 1\n", 2,
         "manager/liveness: \"1\" is not allowed; write a whole number from 2 to 100 (heartbeats)"},
        {"manager\n    liveness = \"\"\n", 2, "manager/liveness: \"\" is not allowed"},
        {"manager\n    listen = tcp//x\n", 2, "manager/listen: \"tcp//x\" is not an address: "},
        {"manager\n    log_json = maybe\n", 2,
         "manager/log_json: \"maybe\" is not allowed; write true"},
    };
    static dn_manager_settings_t self;
    char                         words[256];

    (void) state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *file = FILE_WITH (rows[i].text);
        snprintf (words, sizeof words, "denimd: %s:%d: ", file, rows[i].line);
        assert_stopped (MANAGER (&self, "-f", file), 78, words);
        assert_stopped (1, 78, rows[i].words);
    }
    const char zero[] = "manager\n    liven\0ess = 3\n";
    assert_stopped (MANAGER (&self, "-f", file_with (zero, sizeof zero - 1)), 78,
                    ":2: a zero byte");
}

static void
file_may_have_comments_blank_lines_quotes_and_other_line_ends (void **state)
{
    static dn_manager_settings_t self;
    (void) state;
    assert_went_on (MANAGER (&self, "-f",
                             FILE_WITH ("# a comment\r\n"
                                        "\r\n"
                                        "manager # of the whole\r\n"
                                        "    listen = \"ipc:///a#b c\"   # quoted\r\n"
                                        "   \t \n"
                                        "    # between keys\n"
                                        "    log_level='debug'#x\n"
                                        "    heartbeat_ms\t=\t500  # ms\n"
                                        "limits\n"
                                        "admission\n"
                                        "    lease_ms = 300"))); /* no newline at the end */
    assert_string_equal (self.listen, "ipc:///a#b c");
    assert_int_equal (self.log_level, DN_LOG_DEBUG);
    assert_int_equal (self.heartbeat_ms, 500);
    assert_int_equal (self.lease_ms, 300);
    assert_went_on (MANAGER (&self, "-f", FILE_WITH ("")));
}

static void
file_that_cannot_be_read_says_why (void **state)
{
    static dn_manager_settings_t self;
    static char                  big[DN_SETTINGS_FILE_MAX + 2];
    size_t                       i = 0;

    (void) state;
    assert_stopped (MANAGER (&self, "-f", "/no/such"), 78,
                    "denimd: cannot open /no/such: No such file or directory");
    assert_stopped (MANAGER (&self, "-f", "/tmp"), 78, "denimd: cannot read /tmp: Is a directory");
    assert_stopped (MANAGER (&self, "-f", ""), 78, "cannot open ");

    memset (big, '#', sizeof big - 1);
    assert_stopped (MANAGER (&self, "-f", FILE_WITH (big)), 78, "is longer than 65536 bytes");
    big[DN_SETTINGS_FILE_MAX] = '\0';
    assert_stopped (MANAGER (&self, "-f", FILE_WITH (big)), 78, ":1: a line that is too long");
    for (i = 0; i + 10 < sizeof big; i += 8)
        memcpy (big + i, "manager\n", 9);
    assert_stopped (MANAGER (&self, "-f", FILE_WITH (big)), 78,
                    ":129: more keys than there can be");
}

static void
reading_a_file_leaves_signals_to_the_program (void **state)
{
    static dn_manager_settings_t self;
    struct sigaction             action;
    (void) state;
    assert_went_on (MANAGER (&self, "-f", FILE_WITH ("manager\n    liveness = 3\n")));
    assert_int_equal (sigaction (SIGINT, NULL, &action), 0);
    assert_ptr_equal (action.sa_handler, SIG_DFL);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        TEST (wrong_file_is_refused_with_line_key_and_what_is_allowed),
        TEST (file_may_have_comments_blank_lines_quotes_and_other_line_ends),
        TEST (file_that_cannot_be_read_says_why),
        TEST (reading_a_file_leaves_signals_to_the_program),
    };
    return cmocka_run_group_tests_name ("settings_file", tests, NULL, NULL);
}
