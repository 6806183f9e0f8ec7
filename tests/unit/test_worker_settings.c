/*  test_worker_settings.c - the apps of a worker, and what its empty values mean on this host
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <sys/stat.h>

#include "settings_test.h"

/*  ---- apps ---- */

static void
apps_on_the_command_line_replace_those_of_the_file (void **state)
{
    static dn_worker_settings_t self;
    const char *file = FILE_WITH ("worker\n    apps = \"one, two.three  four,one\"\n");

    (void) state;
    assert_went_on (WORKER (&self, "-f", file));
    assert_int_equal (self.apps.count, 3);
    assert_string_equal (self.apps.name[0], "one");
    assert_string_equal (self.apps.name[1], "two.three");
    assert_string_equal (self.apps.name[2], "four");

    assert_went_on (WORKER (&self, "a", "-f", file, "b.c", "--slots", "2", "--", "d"));
    assert_int_equal (self.apps.count, 3);
    assert_string_equal (self.apps.name[0], "a");
    assert_string_equal (self.apps.name[1], "b.c");
    assert_string_equal (self.apps.name[2], "d");
    assert_int_equal (self.slots, 2);

    setenv ("POSIXLY_CORRECT", "1", 1); /* changes nothing for us */
    assert_went_on (WORKER (&self, "a", "--slots", "3"));
    assert_int_equal (self.slots, 3);
}

static void
worker_without_app_starts_only_with_pickle (void **state)
{
    static dn_worker_settings_t self;
    (void) state;
    assert_stopped (load_worker (&self, (const char *[]){"denim-worker", NULL}), 64,
                    "denim-worker: nothing to run; name an APP");
    assert_non_null (strstr (err.text, "--allow-pickle"));
    assert_went_on (WORKER (&self, "--allow-pickle"));
    assert_int_equal (self.apps.count, 0);
    assert_stopped (WORKER (&self, "-t"), 0, "    apps = \"\" ");
}

static void
app_is_the_name_of_a_module (void **state)
{
    static const char *const    wrong[] = {"my-app", "1app",  "a..b", ".a",       "a.",     "/x/y",
                                           "a:b",    "a b-c", "-",    "a\x1b[2J", "caf\xe9"};
    static dn_worker_settings_t self;
    static char                 longest[DN_SERVICE_MAX + 1];

    (void) state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_stopped (WORKER (&self, wrong[i]), 78,
                        "is not the name of a module; write names such");
    assert_stopped (WORKER (&self, "myapp.py"), 78, "write it as `import` does, without .py");
    assert_went_on (WORKER (&self, "_a.b1.C_2", "größe"));

    memset (longest, 'a', DN_SERVICE_MAX - 1);
    assert_went_on (WORKER (&self, longest));
    longest[DN_SERVICE_MAX - 1] = 'a';
    assert_stopped (WORKER (&self, longest), 78, "at most 127 bytes");
}

static void
worker_takes_as_many_apps_as_it_has_room_for (void **state)
{
    static dn_worker_settings_t self;
    static char                 names[DN_APPS_MAX + 1][DN_SERVICE_MAX];
    const char                 *args[ARGS_MAX] = {"denim-worker"};

    (void) state;
    for (int i = 0; i <= DN_APPS_MAX; i++) {
        memset (names[i], 'a', DN_SERVICE_MAX - 1); /* as long as can be */
        names[i][0] = (char) ('A' + i / 26);
        names[i][1] = (char) ('A' + i % 26);
        args[i + 1] = names[i];
    }
    assert_stopped (load_worker (&self, args), 78, "more than 64 apps are given");
    args[DN_APPS_MAX + 1] = NULL;
    assert_went_on (load_worker (&self, args));
    assert_int_equal (self.apps.count, DN_APPS_MAX);

    args[DN_APPS_MAX + 1] = "-t";
    args[DN_APPS_MAX + 2] = NULL;
    assert_stopped (load_worker (&self, args), 0, names[DN_APPS_MAX - 1]);
    static char text[DN_SETTINGS_TEXT_MAX];
    strcpy (text, err.text);
    static dn_worker_settings_t again;
    assert_went_on (WORKER (&again, "-f", FILE_WITH (text)));
    assert_memory_equal (&again, &self, sizeof self);
}

static void
more_arguments_than_fit_are_refused (void **state)
{
    static dn_worker_settings_t self;
    static char                 huge[DN_SETTING_SHOW_MAX];
    (void) state;
    memset (huge, 'a', sizeof huge - 1);
    assert_stopped (WORKER (&self, "b", huge), 64, "denim-worker: no room for argument aaa");
}

/*  ---- empty values ---- */

static void
worker_without_slots_takes_one_for_each_usable_cpu (void **state)
{
    static dn_worker_settings_t self;
    cpu_set_t                   all;
    cpu_set_t                   one;

    (void) state;
    self.slots = 7;
    assert_int_equal (dn_worker_settings_slots (&self), 7);
    self.slots = 0;
    assert_int_equal (sched_getaffinity (0, sizeof all, &all), 0);
    assert_int_equal (dn_worker_settings_slots (&self), CPU_COUNT (&all));

    CPU_ZERO (&one);
    for (size_t cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT (&one) == 0; cpu++)
        if (CPU_ISSET (cpu, &all))
            CPU_SET (cpu, &one);
    assert_int_equal (sched_setaffinity (0, sizeof one, &one), 0);
    assert_int_equal (dn_worker_settings_slots (&self), 1);
    assert_int_equal (sched_setaffinity (0, sizeof all, &all), 0);
}

static void
worker_without_a_name_has_that_of_host_and_process (void **state)
{
    static dn_worker_settings_t self;
    char                        name[DN_NAME_MAX];
    char                        host[HOST_NAME_MAX + 1] = "";
    char                        expected[HOST_NAME_MAX + 16];

    (void) state;
    assert_int_equal (gethostname (host, sizeof host - 1), 0);
    snprintf (expected, sizeof expected, "%.*s-4194304", DN_NAME_MAX - 9, host);
    assert_string_equal (dn_worker_settings_name (&self, 4194304, name), expected);
    strcpy (self.name, "w7");
    assert_string_equal (dn_worker_settings_name (&self, 1, name), "w7");
}

/*  A folder with bin/python and python3, both of them programs. */
static void
make_interpreters (char folder[32])
{
    static const char *const names[] = {"bin/python", "python3", "other"};
    char                     path[64];

    strcpy (folder, "/tmp/denim-test-XXXXXX");
    assert_non_null (mkdtemp (folder));
    snprintf (path, sizeof path, "%s/bin", folder);
    assert_int_equal (mkdir (path, 0700), 0);
    for (size_t i = 0; i < 3; i++) {
        snprintf (path, sizeof path, "%s/%s", folder, names[i]);
        int fd = open (path, O_WRONLY | O_CREAT, i < 2 ? 0700 : 0600);
        assert_true (fd >= 0);
        close (fd);
    }
}

static void
remove_interpreters (const char *folder)
{
    static const char *const names[] = {"bin/python", "python3", "other"};
    char                     path[64];

    for (size_t i = 0; i < 3; i++) {
        snprintf (path, sizeof path, "%s/%s", folder, names[i]);
        unlink (path);
    }
    snprintf (path, sizeof path, "%s/bin", folder);
    rmdir (path);
    assert_int_equal (rmdir (folder), 0);
}

/*  Which interpreter is found, with that setting and environment; "-" if none, and `why` then. */
static const char *
find_python (const char *python, const char *virtual_env, const char *search, char *why)
{
    static dn_worker_settings_t self;
    static char                 path[PATH_MAX];
    char                       *kept = strdup (getenv ("PATH") ? getenv ("PATH") : "");

    snprintf (self.python, sizeof self.python, "%s", python);
    if (virtual_env)
        setenv ("VIRTUAL_ENV", virtual_env, 1);
    else
        unsetenv ("VIRTUAL_ENV");
    setenv ("PATH", search, 1);
    int rc = dn_worker_settings_python (&self, path, why, DN_WHY_MAX);
    setenv ("PATH", kept, 1);
    unsetenv ("VIRTUAL_ENV");
    free (kept);
    assert_true (rc == 0 || rc == -ENOENT);
    return rc == 0 ? path : "-";
}

static void
interpreter_is_the_one_named_or_that_of_the_environment_or_on_path (void **state)
{
    char folder[32];
    char python[64];
    char python3[64];
    char other[64];
    char search[64];
    char why[DN_WHY_MAX] = "";

    (void) state;
    make_interpreters (folder);
    snprintf (python, sizeof python, "%s/bin/python", folder);
    snprintf (python3, sizeof python3, "%s/python3", folder);
    snprintf (other, sizeof other, "%s/other", folder);
    snprintf (search, sizeof search, "/no/such::%s", folder);

    assert_string_equal (find_python ("", NULL, search, why), python3);
    assert_string_equal (find_python ("", "", search, why), python3);
    assert_string_equal (find_python ("", folder, search, why), python);
    assert_string_equal (find_python (python3, folder, "", why), python3);
    assert_string_equal (find_python ("python3", folder, search, why), python3);

    assert_string_equal (find_python ("", "/no/such", search, why), "-");
    assert_string_equal (why,
                         "no Python interpreter: /no/such/bin/python is not a program that can be "
                         "executed");
    assert_string_equal (find_python ("", NULL, "/no/such", why), "-");
    assert_string_equal (why, "no Python interpreter: python3 is not on PATH");
    assert_string_equal (find_python ("other", NULL, search, why), "-"); /* not executable */
    assert_string_equal (find_python (other, NULL, search, why), "-");
    assert_string_equal (find_python (folder, NULL, search, why), "-"); /* a folder */
    remove_interpreters (folder);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        TEST (apps_on_the_command_line_replace_those_of_the_file),
        TEST (worker_without_app_starts_only_with_pickle),
        TEST (app_is_the_name_of_a_module),
        TEST (worker_takes_as_many_apps_as_it_has_room_for),
        TEST (more_arguments_than_fit_are_refused),
        TEST (worker_without_slots_takes_one_for_each_usable_cpu),
        TEST (worker_without_a_name_has_that_of_host_and_process),
        TEST (interpreter_is_the_one_named_or_that_of_the_environment_or_on_path),
    };
    return cmocka_run_group_tests_name ("worker_settings", tests, NULL, NULL);
}
