/*  test_log.c - lines that nobody else can shape, and the assert that stays on
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/check.h"
#include "base/log.h"
#include "base/text.h"

#define TIME_MS INT64_C (1767323045678) /* 2026-01-02T03:04:05.678Z */
#define STAMP   "2026-01-02T03:04:05.678Z"

#define FORMAT(line, json, level, ...)                                                             \
    format (line, json, level, (const dn_log_field_t[]){__VA_ARGS__},                              \
            sizeof ((const dn_log_field_t[]){__VA_ARGS__}) / sizeof (dn_log_field_t))

/*  A line as a string, without the newline that must end it. */
static const char *
format (char line[DN_LOG_LINE_MAX + 1], bool json, dn_log_level_t level,
        const dn_log_field_t *fields, size_t fields_count)
{
    size_t n = dn_log_format (line, json, TIME_MS, level, fields, fields_count);
    assert_true (n > 0 && n <= DN_LOG_LINE_MAX);
    assert_int_equal (line[n - 1], '\n');
    assert_null (memchr (line, '\n', n - 1));
    line[n - 1] = '\0';
    return line;
}

static void
line_is_time_level_and_key_value_pairs (void **state)
{
    char line[DN_LOG_LINE_MAX + 1];
    (void) state;
    FORMAT (line, false, DN_LOG_WARN, DN_STR ("event", "worker_gone"), DN_STR ("worker", "w7"),
            DN_INT ("tasks_lost", 2), DN_INT ("delta", INT64_MIN), DN_UINT ("epoch", UINT64_MAX),
            DN_BOOL ("draining", true));
    assert_string_equal (line, STAMP " warn event=worker_gone worker=w7 tasks_lost=2"
                                     " delta=-9223372036854775808 epoch=18446744073709551615"
                                     " draining=true");
}

static void
json_line_is_one_object_with_typed_values (void **state)
{
    char line[DN_LOG_LINE_MAX + 1];
    (void) state;
    FORMAT (line, true, DN_LOG_ERROR, DN_STR ("event", "boot"), DN_STR ("text", "a \"b\""),
            DN_INT ("n", -2), DN_BOOL ("ok", false));
    assert_string_equal (line, "{\"time\":\"" STAMP "\",\"level\":\"error\",\"event\":\"boot\","
                               "\"text\":\"a \\\"b\\\"\",\"n\":-2,\"ok\":false}");
}

static void
text_is_quoted_only_when_it_must_be (void **state)
{
    static const struct {
        const char *text, *shown;
    } rows[] = {
        {"w7", "w7"},
        {"tcp://[::1]:5570", "tcp://[::1]:5570"},
        {"größe", "größe"},
        {"", "\"\""},
        {"two words", "\"two words\""},
        {"a=b", "\"a=b\""},
        {"say \"hi\"", "\"say \\\"hi\\\"\""},
        {"C:\\x", "\"C:\\\\x\""},
    };
    char line[DN_LOG_LINE_MAX + 1];
    char expected[128];

    (void) state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        FORMAT (line, false, DN_LOG_INFO, DN_STR ("k", rows[i].text));
        snprintf (expected, sizeof expected, STAMP " info k=%s", rows[i].shown);
        assert_string_equal (line, expected);
    }
    FORMAT (line, false, DN_LOG_INFO, DN_STR ("k", NULL), DN_STRN ("l", "abcdef", 3));
    assert_string_equal (line, STAMP " info k=\"\" l=abc");
}

/*  All that a terminal or a reader of lines acts on, and bytes that are no text at all. */
static const char *const hostile[] = {
    "w1\n2026-01-02T03:04:05.678Z error event=forged",
    "w1\r\nx",
    "\x1b[2J\x1b]0;title\x07",
    "\x9b"
    "2J", /* C1 as a byte */
    "\xc2\x9b"
    "2J", /* and as a character */
    "\x7f\x08\x08",
    "\xe2\x80\xa8"
    "next line", /* U+2028 */
    "\xe2\x80\xae"
    "drow", /* U+202E */
    "\xc0\x8a"
    "overlong newline",
    "\xed\xa0\x80"
    "surrogate",
    "\xf4\x90\x80\x80"
    "beyond Unicode",
    "cut short \xe2\x82",
    "\xff\xfe",
};

static void
hostile_text_cannot_forge_a_line (void **state)
{
    char line[DN_LOG_LINE_MAX + 1];

    (void) state;
    for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++) {
        FORMAT (line, false, DN_LOG_INFO, DN_STR ("k", hostile[i]), DN_STR ("after", "it"));
        assert_true (dn_text_is_safe (line));
        assert_non_null (strstr (line, " k=\""));
        assert_non_null (strstr (line, "\" after=it"));

        FORMAT (line, true, DN_LOG_INFO, DN_STR ("k", hostile[i]), DN_STR ("after", "it"));
        assert_true (dn_text_is_safe (line));
        json_t *object = json_loads (line, 0, NULL);
        assert_non_null (object);
        assert_string_equal (json_string_value (json_object_get (object, "after")), "it");
        json_decref (object);
    }
    FORMAT (line, false, DN_LOG_INFO, DN_STR ("k", "a\nb\tc\x1b"));
    assert_string_equal (line, STAMP " info k=\"a\\nb\\tc\\x1b\"");
    FORMAT (line, false, DN_LOG_INFO, DN_STRN ("k", "a\0b", 3));
    assert_string_equal (line, STAMP " info k=\"a\\x00b\"");
}

/*  Every length around the limit, with characters that take 1, 2, 3, 4 and 6 bytes in a line. */
static void
long_line_is_cut_with_a_mark_and_stays_well_formed (void **state)
{
    static const struct {
        const char *text;
        size_t      narrow, wide; /* bytes in a text line, in a JSON line, whichever order */
    } units[] = {{"x", 1, 1}, {"ö", 2, 2}, {"€", 3, 3}, {"\x01", 4, 6}, {"\"", 2, 2}, {" ", 1, 1}};
    static char text[2 * DN_LOG_LINE_MAX];
    char        line[DN_LOG_LINE_MAX + 1];

    (void) state;
    for (size_t u = 0; u < sizeof units / sizeof units[0]; u++) {
        size_t unit_bytes = strlen (units[u].text);
        for (size_t n = 0; n < (DN_LOG_LINE_MAX + 20) / units[u].narrow; n++) {
            memcpy (text + n * unit_bytes, units[u].text, unit_bytes + 1);
            if (n < (DN_LOG_LINE_MAX - 120) / units[u].wide)
                continue;
            FORMAT (line, true, DN_LOG_INFO, DN_STR ("k", text), DN_INT ("n", 1234567890));
            json_t *object = json_loads (line, 0, NULL);
            assert_non_null (object);
            bool whole = json_object_get (object, "n") != NULL;
            assert_int_equal (whole, !strstr (line, DN_TEXT_CUT) && !strstr (line, "\"cut\":true"));
            json_decref (object);

            FORMAT (line, false, DN_LOG_INFO, DN_STR ("k", text), DN_INT ("n", 1234567890));
            assert_int_equal (strstr (line, " n=1234567890") != NULL, !strstr (line, DN_TEXT_CUT));
            assert_true (dn_text_is_safe (line));
        }
    }
}

/*  ---- what goes to stderr ---- */

typedef struct {
    int kept;   /* the real stderr */
    int reader; /* one packet for each write(2) */
} capture_t;

static void
capture_start (capture_t *capture)
{
    int pair[2];
    assert_int_equal (socketpair (AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    capture->kept = dup (STDERR_FILENO);
    assert_true (dup2 (pair[1], STDERR_FILENO) >= 0);
    close (pair[1]);
    capture->reader = pair[0];
}

/*  The next write as a string; "" when there was none. */
static const char *
capture_next (capture_t *capture, char line[DN_LOG_LINE_MAX + 8])
{
    ssize_t n = recv (capture->reader, line, DN_LOG_LINE_MAX + 7, MSG_DONTWAIT);
    line[n > 0 ? n : 0] = '\0';
    return line;
}

static void
capture_stop (capture_t *capture)
{
    dup2 (capture->kept, STDERR_FILENO);
    close (capture->kept);
    close (capture->reader);
    dn_log_set (DN_LOG_INFO, false);
}

static int
count_up (int *calls)
{
    return ++*calls;
}

static void
level_that_is_off_costs_neither_a_line_nor_its_fields (void **state)
{
    capture_t capture;
    char      line[DN_LOG_LINE_MAX + 8];
    int       calls = 0;

    (void) state;
    capture_start (&capture);
    dn_log_set (DN_LOG_WARN, false);
    dn_log (DN_LOG_INFO, "quiet", DN_INT ("calls", count_up (&calls)));
    const char *nothing = capture_next (&capture, line);
    bool        is_quiet = nothing[0] == '\0' && calls == 0;
    dn_log (DN_LOG_WARN, "loud", DN_INT ("calls", count_up (&calls)));
    bool is_loud = strstr (capture_next (&capture, line), " warn event=loud calls=1\n") != NULL;
    bool enabled = dn_log_enabled (DN_LOG_ERROR) && dn_log_enabled (DN_LOG_WARN) &&
                   !dn_log_enabled (DN_LOG_INFO) && !dn_log_enabled (DN_LOG_DEBUG);
    capture_stop (&capture);

    assert_true (is_quiet);
    assert_true (is_loud);
    assert_true (enabled);
}

static void
event_needs_no_fields_and_line_is_one_write_that_keeps_errno (void **state)
{
    capture_t capture;
    char      first[DN_LOG_LINE_MAX + 8];
    char      second[DN_LOG_LINE_MAX + 8];

    (void) state;
    capture_start (&capture);
    dn_log_set (DN_LOG_INFO, false);
    errno = ENOTTY;
    dn_log (DN_LOG_INFO, "ready");
    int kept = errno;
    dn_log_set (DN_LOG_INFO, true);
    dn_log (DN_LOG_INFO, "ready");
    capture_next (&capture, first);
    capture_next (&capture, second);
    capture_stop (&capture);

    assert_int_equal (kept, ENOTTY);
    assert_string_equal (first + strlen (STAMP), " info event=ready\n");
    assert_string_equal (second + strlen ("{\"time\":\"" STAMP),
                         "\",\"level\":\"info\",\"event\":\"ready\"}\n");
}

static void
stderr_that_is_closed_loses_lines_and_nothing_else (void **state)
{
    capture_t capture;
    (void) state;
    capture_start (&capture);
    dn_log_set (DN_LOG_INFO, false);
    close (STDERR_FILENO);
    errno = 0;
    dn_log (DN_LOG_ERROR, "unheard");
    int kept = errno;
    capture_stop (&capture);
    assert_int_equal (kept, 0);
}

static void
journal_gets_the_level_as_a_prefix_and_only_the_journal (void **state)
{
    static const char *const prefixes[] = {"<3>", "<4>", "<6>", "<7>"};
    capture_t                capture;
    char                     line[4][DN_LOG_LINE_MAX + 8];
    char                     other[DN_LOG_LINE_MAX + 8];
    char                     stream[64];
    struct stat              file;

    (void) state;
    capture_start (&capture);
    assert_int_equal (fstat (STDERR_FILENO, &file), 0);
    snprintf (stream, sizeof stream, "%llu:%llu", (unsigned long long) file.st_dev,
              (unsigned long long) file.st_ino);
    setenv ("JOURNAL_STREAM", stream, 1);
    dn_log_set (DN_LOG_DEBUG, false);
    for (int i = 0; i < 4; i++) {
        dn_log ((dn_log_level_t) i, "e");
        capture_next (&capture, line[i]);
    }
    setenv ("JOURNAL_STREAM", "1:1", 1); /* stderr of somebody else */
    dn_log_set (DN_LOG_DEBUG, false);
    dn_log (DN_LOG_ERROR, "e");
    capture_next (&capture, other);
    unsetenv ("JOURNAL_STREAM");
    capture_stop (&capture);

    for (int i = 0; i < 4; i++) {
        assert_memory_equal (line[i], prefixes[i], 3);
        assert_int_equal (line[i][3], '2');
    }
    assert_int_equal (other[0], '2');
}

static void
level_names_read_back_and_others_are_refused (void **state)
{
    dn_log_level_t level = DN_LOG_WARN;
    (void) state;
    assert_int_equal (dn_log_level_parse ("verbose", &level), -1);
    assert_int_equal (dn_log_level_parse ("", &level), -1);
    assert_int_equal (dn_log_level_parse ("INFO", &level), -1);
    assert_int_equal (level, DN_LOG_WARN);
    for (int i = DN_LOG_ERROR; i <= DN_LOG_DEBUG; i++) {
        assert_int_equal (dn_log_level_parse (dn_log_level_name ((dn_log_level_t) i), &level), 0);
        assert_int_equal (level, i);
    }
}

/*  ---- text ---- */

static void
shown_text_is_safe_bounded_and_marked_where_it_is_cut (void **state)
{
    char out[64];
    (void) state;
    assert_string_equal (dn_text_show (out, sizeof out, "größe"), "größe");
    assert_string_equal (dn_text_show (out, sizeof out, "a\nb"), "a\\x0ab");
    assert_string_equal (dn_text_show (out, 8, "1234567"), "1234567");
    assert_string_equal (dn_text_show (out, 8, "12345678"), "1234…");
    assert_string_equal (dn_text_show (out, 8, "123ö5678"), "123…");
    assert_string_equal (dn_text_show (out, 8, "12345\n"), "1234…");
    for (size_t room = 8; room <= sizeof out; room++) {
        for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++) {
            dn_text_show (out, room, hostile[i]);
            assert_true (strlen (out) < room && dn_text_is_safe (out));
        }
    }
}

/*  ---- check ---- */

static void
check_that_holds_is_evaluated_once (void **state)
{
    int calls = 0;
    (void) state;
    dn_check (count_up (&calls) == 1);
    assert_int_equal (calls, 1);
}

static void
check_that_fails_says_where_and_aborts (void **state)
{
    char said[256] = "";
    int  status = 0;
    int  ends[2];

    (void) state;
    assert_int_equal (pipe (ends), 0);
    pid_t child = fork ();
    assert_true (child >= 0);
    if (child == 0) {
        dup2 (ends[1], STDERR_FILENO);
        dn_check (1 + 1 == 3);
        _exit (0);
    }
    close (ends[1]);
    assert_true (read (ends[0], said, sizeof said - 1) > 0);
    close (ends[0]);
    assert_int_equal (waitpid (child, &status, 0), child);
    assert_true (WIFSIGNALED (status) && WTERMSIG (status) == SIGABRT);
    assert_non_null (strstr (said, "test_log.c:"));
    assert_non_null (strstr (said, "1 + 1 == 3"));
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (line_is_time_level_and_key_value_pairs),
        cmocka_unit_test (json_line_is_one_object_with_typed_values),
        cmocka_unit_test (text_is_quoted_only_when_it_must_be),
        cmocka_unit_test (hostile_text_cannot_forge_a_line),
        cmocka_unit_test (long_line_is_cut_with_a_mark_and_stays_well_formed),
        cmocka_unit_test (level_that_is_off_costs_neither_a_line_nor_its_fields),
        cmocka_unit_test (event_needs_no_fields_and_line_is_one_write_that_keeps_errno),
        cmocka_unit_test (stderr_that_is_closed_loses_lines_and_nothing_else),
        cmocka_unit_test (journal_gets_the_level_as_a_prefix_and_only_the_journal),
        cmocka_unit_test (level_names_read_back_and_others_are_refused),
        cmocka_unit_test (shown_text_is_safe_bounded_and_marked_where_it_is_cut),
        cmocka_unit_test (check_that_holds_is_evaluated_once),
        cmocka_unit_test (check_that_fails_says_where_and_aborts),
    };
    return cmocka_run_group_tests_name ("log", tests, NULL, NULL);
}
