/*  test_output.c - what slots print, and what an interpreter says of itself
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "io/interpreter.h"
#include "io/output.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define LOG_BYTES 16384

typedef struct {
    dn_output_t output;
    int         writer;
    int         log;  /* a file in the place of stderr */
    int         kept; /* stderr */
    char        text[LOG_BYTES];
} rig_t;

static void
set_up (rig_t *rig)
{
    int ends[2];

    memset (rig, 0, sizeof *rig);
    assert_int_equal (pipe2 (ends, O_NONBLOCK), 0);
    dn_output_open (&rig->output, ends[0]);
    rig->writer = ends[1];
    rig->log = open ("/tmp", O_TMPFILE | O_RDWR, 0600);
    assert_true (rig->log >= 0);
    rig->kept = dup (STDERR_FILENO);
    dup2 (rig->log, STDERR_FILENO);
}

static void
tear_down (rig_t *rig)
{
    dup2 (rig->kept, STDERR_FILENO);
    close (rig->kept);
    close (rig->log);
    if (rig->writer >= 0)
        close (rig->writer);
    dn_output_close (&rig->output);
}

static void
print (rig_t *rig, const char *text)
{
    assert_int_equal (write (rig->writer, text, strlen (text)), strlen (text));
}

static const char *
logged (rig_t *rig)
{
    ssize_t n = pread (rig->log, rig->text, LOG_BYTES - 1, 0);
    rig->text[n > 0 ? n : 0] = 0;
    return rig->text;
}

static unsigned
lines (rig_t *rig)
{
    unsigned count = 0;
    for (const char *at = logged (rig); *at; at++)
        count += *at == '\n';
    return count;
}

static void
each_line_is_logged_with_its_task (void **state)
{
    rig_t             rig;
    dn_output_label_t label = {"3", "abcd:1", 1000};
    (void) state;

    set_up (&rig);
    print (&rig, "one\ntwo\n\nthr");
    assert_true (dn_output_drain (&rig.output, &label));
    assert_int_equal (lines (&rig), 2);
    assert_non_null (strstr (rig.text, "event=output slot=3 task=abcd:1 text=one\n"));
    print (&rig, "ee\n");
    assert_true (dn_output_drain (&rig.output, &label));
    assert_non_null (strstr (logged (&rig), "text=three\n"));
    tear_down (&rig);
}

static void
next_task_ends_the_line_of_the_last (void **state)
{
    rig_t             rig;
    dn_output_label_t label = {"3", "abcd:1", 1000};
    (void) state;

    set_up (&rig);
    print (&rig, "no end");
    dn_output_drain (&rig.output, &label);
    assert_int_equal (lines (&rig), 0);
    label.task = "abcd:2";
    dn_output_drain (&rig.output, &label);
    assert_non_null (strstr (logged (&rig), "task=abcd:1 text=\"no end\"\n"));
    tear_down (&rig);
}

static void
what_is_too_much_is_dropped_and_counted_once (void **state)
{
    rig_t             rig;
    dn_output_label_t label = {"3", "abcd:1", 10};
    (void) state;

    set_up (&rig);
    print (&rig, "123456789\nabcdefghij\nmore\n");
    dn_output_drain (&rig.output, &label);
    assert_int_equal (lines (&rig), 1);
    label.task = "abcd:2";
    print (&rig, "fine\n");
    dn_output_drain (&rig.output, &label);
    assert_non_null (strstr (logged (&rig), "event=output_dropped slot=3 task=abcd:1 bytes=16\n"));
    assert_non_null (strstr (rig.text, "task=abcd:2 text=fine\n"));
    tear_down (&rig);
}

static void
end_of_file_is_told_and_the_rest_is_logged (void **state)
{
    rig_t             rig;
    dn_output_label_t label = {"zygote", "", 100};
    (void) state;

    set_up (&rig);
    print (&rig, "last words");
    close (rig.writer);
    rig.writer = -1;
    assert_false (dn_output_drain (&rig.output, &label));
    dn_output_finish (&rig.output, &label);
    assert_non_null (strstr (logged (&rig), "slot=zygote task=\"\" text=\"last words\"\n"));
    tear_down (&rig);
}

/*  ---- interpreters ---- */

/*  A program that prints what an interpreter would answer. */
static void
pretend (const char *answer, char path[64])
{
    strcpy (path, "/tmp/denim-test-XXXXXX");
    int fd = mkstemp (path);
    assert_true (fd >= 0);
    dprintf (fd, "#!/bin/sh\necho 'noise of a site module'\ncat <<'END'\n%s\nEND\n", answer);
    fchmod (fd, 0700);
    close (fd);
}

static int
ask (const char *answer, dn_interpreter_t *interpreter, char why[400])
{
    char path[64];
    pretend (answer, path);
    int rc = dn_interpreter_ask (interpreter, path, why, 400);
    unlink (path);
    return rc;
}

static void
interpreter_says_what_it_is (void **state)
{
    static dn_interpreter_t interpreter;
    char                    why[400];
    (void) state;

    assert_int_equal (ask ("denim-interpreter: {\"kind\": \"cpython\", \"version\": \"3.12.1\", "
                           "\"major\": 3, \"minor\": 12, \"executable\": \"/x/python\", "
                           "\"library\": \"/x/libpython3.12.so\"}",
                           &interpreter, why),
                      0);
    assert_string_equal (interpreter.executable, "/x/python");
    assert_string_equal (interpreter.version, "3.12.1");
    assert_string_equal (interpreter.library, "/x/libpython3.12.so");
}

static void
what_is_no_python_of_ours_is_refused_in_a_sentence (void **state)
{
    static dn_interpreter_t interpreter;
    char                    why[400];
    (void) state;

    assert_int_equal (ask ("hello", &interpreter, why), -1);
    assert_non_null (strstr (why, "does not answer like a Python 3 interpreter"));
    assert_int_equal (ask ("denim-interpreter: {\"kind\": \"cpython\"}", &interpreter, why), -1);
    assert_int_equal (
        ask ("denim-interpreter: {\"kind\": \"cpython\", \"version\": \"3.10.2\", "
             "\"major\": 3, \"minor\": 10, \"executable\": \"/x\", \"library\": \"\"}",
             &interpreter, why),
        -1);
    assert_non_null (strstr (why, "is CPython 3.10.2; denim runs CPython 3.11 or newer"));
    assert_int_equal (
        ask ("denim-interpreter: {\"kind\": \"pypy\", \"version\": \"3.11.1\", "
             "\"major\": 3, \"minor\": 11, \"executable\": \"/x\", \"library\": \"\"}",
             &interpreter, why),
        -1);
    assert_non_null (strstr (why, "is pypy 3.11.1"));
    assert_int_equal (dn_interpreter_ask (&interpreter, "/tmp", why, sizeof why), -1);
    assert_non_null (strstr (why, "cannot start /tmp"));
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (each_line_is_logged_with_its_task),
        cmocka_unit_test (next_task_ends_the_line_of_the_last),
        cmocka_unit_test (what_is_too_much_is_dropped_and_counted_once),
        cmocka_unit_test (end_of_file_is_told_and_the_rest_is_logged),
        cmocka_unit_test (interpreter_says_what_it_is),
        cmocka_unit_test (what_is_no_python_of_ours_is_refused_in_a_sentence),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
