/*  settings_test.h - what the tests of the settings share: a load, a file to load, what came of it
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_SETTINGS_TEST_H
#define DN_SETTINGS_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/text.h"
#include "io/settings.h"
#include "io/settings_load.h"

#define ARGS_MAX (DN_APPS_MAX + 8)

static dn_settings_error_t err; /* of the last load */

/*  Run a load with those arguments after the program's name. */
#define MANAGER(self, ...) load_manager (self, (const char *[]){"denimd", __VA_ARGS__, NULL})
#define WORKER(self, ...)  load_worker (self, (const char *[]){"denim-worker", __VA_ARGS__, NULL})

__attribute__ ((unused)) static int
copy_args (char **argv, const char *const *args)
{
    int argc = 0;
    memset (&err, 0, sizeof err);
    while (args[argc]) {
        assert_true (argc < ARGS_MAX);
        argv[argc] = (char *) (uintptr_t) args[argc];
        argc++;
    }
    argv[argc] = NULL;
    return argc;
}

__attribute__ ((unused)) static int
load_manager (dn_manager_settings_t *self, const char *const *args)
{
    char *argv[ARGS_MAX + 1];
    return dn_manager_settings_load (self, copy_args (argv, args), argv, &err);
}

__attribute__ ((unused)) static int
load_worker (dn_worker_settings_t *self, const char *const *args)
{
    char *argv[ARGS_MAX + 1];
    return dn_worker_settings_load (self, copy_args (argv, args), argv, &err);
}

/*  A file with that text, for -f; it lasts until the next one. */
__attribute__ ((unused)) static const char *
file_with (const char *text, size_t text_bytes)
{
    static char path[32];
    static int  fd = -1;
    if (fd >= 0)
        close (fd);
    fd = memfd_create ("settings", MFD_CLOEXEC);
    assert_true (fd >= 0);
    assert_int_equal (pwrite (fd, text, text_bytes, 0), text_bytes);
    snprintf (path, sizeof path, "/proc/self/fd/%d", fd);
    return path;
}

#define FILE_WITH(text) file_with (text, strlen (text))

__attribute__ ((unused)) static int
clear_environment (void **state)
{
    (void) state;
    unsetenv ("DENIM_MANAGER");
    unsetenv ("DENIM_LISTEN");
    unsetenv ("DENIM_LOG_LEVEL");
    unsetenv ("POSIXLY_CORRECT");
    return 0;
}

/*  The last load stopped with this code and one line that has these words. */
__attribute__ ((unused)) static void
assert_stopped (int rc, int exit_code, const char *words)
{
    if (rc != 1 || err.exit_code != exit_code || !strstr (err.text, words))
        fail_msg ("rc %d, exit %d: \"%s\"; expected %d: %s", rc, err.exit_code, err.text, exit_code,
                  words);
    if (exit_code)
        assert_true (dn_text_is_safe (err.text));
}

__attribute__ ((unused)) static void
assert_went_on (int rc)
{
    if (rc != 0)
        fail_msg ("%s", err.text);
}

/*  A test that begins with none of our variables set. */
#define TEST(name) cmocka_unit_test_setup (name, clear_environment)

#endif
