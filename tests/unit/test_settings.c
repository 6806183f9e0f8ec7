/*  test_settings.c - the sources of settings, the command line, -t and the sample files
 *
 *  `test_settings --write-samples`, run where conf/ is, writes the sample files anew after a
 *  change of a table.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include <fcntl.h>

#include "denim.h"
#include "settings_test.h"

/*  ---- sources ---- */

static void
denimd_needs_no_file_and_no_flag (void **state)
{
    static dn_manager_settings_t self;
    (void) state;
    assert_went_on (load_manager (&self, (const char *[]){"denimd", NULL}));
    assert_string_equal (self.listen, "tcp://127.0.0.1");
    assert_false (self.insecure);
    assert_int_equal (self.heartbeat_ms, 1000);
    assert_int_equal (self.liveness, 3);
    assert_int_equal (self.payload_max, 64 << 20);
    assert_int_equal (self.log_level, DN_LOG_INFO);
    assert_false (self.log_json);
    assert_int_equal (self.clients_max, 2000);
    assert_int_equal (self.workers_max, 256);
    assert_int_equal (self.tasks_max, 65536);
    assert_int_equal (self.services_max, 1024);
    assert_int_equal (self.client_share, 0);
    assert_int_equal (self.standby_ms, 100);
    assert_int_equal (self.lease_ms, 20);
    assert_int_equal (self.retry_max_ms, 2000);
}

static void
denim_worker_needs_an_app_and_nothing_else (void **state)
{
    static dn_worker_settings_t self;
    (void) state;
    assert_went_on (WORKER (&self, "myapp"));
    assert_string_equal (self.manager, "tcp://127.0.0.1");
    assert_string_equal (self.name, "");
    assert_int_equal (self.slots, 0);
    assert_int_equal (self.standby_max, 256);
    assert_string_equal (self.service, "");
    assert_string_equal (self.python, "");
    assert_int_equal (self.apps.count, 1);
    assert_string_equal (self.apps.name[0], "myapp");
    assert_false (self.only_decorated || self.allow_pickle || self.log_json);
    assert_int_equal (self.outbox_bytes, 64 << 20);
    assert_int_equal (self.log_level, DN_LOG_INFO);
    assert_true (self.preload);
    assert_int_equal (self.soft_limit_ms, 0);
    assert_int_equal (self.hard_limit_ms, 0);
    assert_int_equal (self.grace_ms, 2000);
    assert_int_equal (self.rss_max, 0);
    assert_int_equal (self.recycle_tasks, 0);
    assert_int_equal (self.output_max, 64 << 10);
}

static void
flag_beats_environment_beats_file_beats_default (void **state)
{
    static dn_manager_settings_t self;
    const char                  *file = FILE_WITH ("manager\n"
                                                                    "    listen = ipc:///file\n"
                                                                    "    log_level = debug\n"
                                                                    "    liveness = 5\n");
    (void) state;
    assert_went_on (MANAGER (&self, "-f", file));
    assert_string_equal (self.listen, "ipc:///file");
    assert_int_equal (self.log_level, DN_LOG_DEBUG);
    assert_int_equal (self.liveness, 5);
    assert_int_equal (self.heartbeat_ms, 1000);

    setenv ("DENIM_LISTEN", "ipc:///env", 1);
    setenv ("DENIM_LOG_LEVEL", "warn", 1);
    assert_went_on (MANAGER (&self, "-f", file));
    assert_string_equal (self.listen, "ipc:///env");
    assert_int_equal (self.log_level, DN_LOG_WARN);

    assert_went_on (MANAGER (&self, "--listen", "ipc:///flag", "-f", file, "--log-level=error"));
    assert_string_equal (self.listen, "ipc:///flag");
    assert_int_equal (self.log_level, DN_LOG_ERROR);
    assert_int_equal (self.liveness, 5);
}

static void
worker_takes_its_manager_from_the_environment (void **state)
{
    static dn_worker_settings_t self;
    (void) state;
    setenv ("DENIM_MANAGER", "tcp://h:7", 1);
    setenv ("DENIM_LISTEN", "nonsense of no concern to a worker", 1);
    assert_went_on (WORKER (&self, "myapp"));
    assert_string_equal (self.manager, "tcp://h:7");
    assert_went_on (WORKER (&self, "myapp", "--manager", "ipc://@x"));
    assert_string_equal (self.manager, "ipc://@x");

    setenv ("DENIM_MANAGER", "", 1); /* as good as not set */
    assert_went_on (WORKER (&self, "myapp"));
    assert_string_equal (self.manager, "tcp://127.0.0.1");
}

static void
wrong_value_in_the_environment_names_the_variable_and_the_key (void **state)
{
    static dn_worker_settings_t self;
    (void) state;
    setenv ("DENIM_LOG_LEVEL", "loud\n", 1);
    assert_stopped (
        WORKER (&self, "myapp"), 78,
        "denim-worker: DENIM_LOG_LEVEL: worker/log_level: \"loud\\x0a\" is not allowed; "
        "write error, warn, info or debug");
}

/*  ---- the command line ---- */

static void
flag_can_take_back_what_a_file_says (void **state)
{
    static dn_manager_settings_t self;
    const char                  *file = FILE_WITH ("manager\n    insecure = yes\n");
    (void) state;
    assert_went_on (MANAGER (&self, "-f", file));
    assert_true (self.insecure);
    assert_went_on (MANAGER (&self, "-f", file, "--insecure=no"));
    assert_false (self.insecure);
    assert_went_on (MANAGER (&self, "--insecure"));
    assert_true (self.insecure);
}

static void
wrong_use_ends_with_64_and_one_line (void **state)
{
    static dn_manager_settings_t self;
    (void) state;
    assert_stopped (MANAGER (&self, "--foo"), 64,
                    "denimd: unknown option --foo; try denimd --help");
    assert_stopped (MANAGER (&self, "--foo=\n3"), 64, "denimd: unknown option --foo; try");
    assert_stopped (MANAGER (&self, "-x"), 64, "denimd: unknown option -x; try denimd --help");
    assert_stopped (MANAGER (&self, "-tx"), 64, "denimd: unknown option -x; try denimd --help");
    assert_stopped (MANAGER (&self, "-\n"), 64, "denimd: unknown option -\\x0a; try");
    assert_stopped (MANAGER (&self, "--listen"), 64,
                    "denimd: a value is missing after --listen; try");
    assert_stopped (MANAGER (&self, "-f"), 64, "denimd: a value is missing after -f; try");
    assert_stopped (MANAGER (&self, "--version=3"), 64, "no value goes with --version; try");
    assert_stopped (MANAGER (&self, "-f", "a", "-f", "b"), 64, "-f is given twice");
    assert_stopped (MANAGER (&self, "stray=1"), 64, "denimd: unexpected argument stray=1; try");
    assert_stopped (MANAGER (&self, "--", "--insecure"), 64, "unexpected argument --insecure");
}

static void
help_fits_a_screen_and_has_every_flag (void **state)
{
    static dn_manager_settings_t manager;
    static dn_worker_settings_t  worker;
    const dn_settings_program_t *programs[] = {&dn_manager_program, &dn_worker_program};

    (void) state;
    for (size_t p = 0; p < 2; p++) {
        int rc = p == 0 ? MANAGER (&manager, "--help") : WORKER (&worker, "-h");
        int lines = 0;
        assert_stopped (rc, 0, programs[p]->purpose);
        for (size_t i = 0; i < programs[p]->rows_count; i++) {
            const dn_setting_t *row = &programs[p]->rows[i];
            assert_true (!row->flag ||
                         (strstr (err.text, row->flag) && strstr (err.text, row->doc)));
            assert_true (!row->env || strstr (err.text, row->env));
        }
        for (const char *at = err.text; *at; at += strcspn (at, "\n") + 1, lines++)
            assert_true (strcspn (at, "\n") <= 80);
        assert_true (lines <= 24);
    }
}

static void
version_is_the_one_of_the_library (void **state)
{
    static dn_worker_settings_t self;
    (void) state;
    assert_stopped (WORKER (&self, "--version"), 0, "denim-worker " DENIM_VERSION "\n");
}

/*  What a descriptor gets during a report of *err. */
static void
report_into (int fd, int exit_code, char said[64])
{
    int kept = dup (fd);
    int file = memfd_create ("said", MFD_CLOEXEC);

    fflush (NULL);
    dup2 (file, fd);
    err.exit_code = exit_code;
    strcpy (err.text, exit_code ? "denimd: no" : "denimd 1\n");
    int rc = dn_settings_report (&err);
    fflush (NULL);
    dup2 (kept, fd);
    ssize_t n = pread (file, said, 63, 0);
    said[n > 0 ? n : 0] = '\0';
    close (kept);
    close (file);
    assert_int_equal (rc, exit_code);
}

static void
report_is_for_stdout_when_it_was_asked_for_else_for_stderr (void **state)
{
    char said[64];
    (void) state;
    report_into (STDOUT_FILENO, 0, said);
    assert_string_equal (said, "denimd 1\n");
    report_into (STDERR_FILENO, 78, said);
    assert_string_equal (said, "denimd: no\n");
}

/*  ---- -t and samples ---- */

static void
check_prints_every_key_with_its_origin_as_a_file_that_reads_back (void **state)
{
    static dn_manager_settings_t first;
    static dn_manager_settings_t second;
    static char                  text[DN_SETTINGS_TEXT_MAX];
    const char *file = FILE_WITH ("manager\n    heartbeat_ms = 500\n    payload_max = 1500\n");

    (void) state;
    setenv ("DENIM_LOG_LEVEL", "debug", 1);
    assert_stopped (MANAGER (&first, "-f", file, "-t", "--listen", "ipc:///a # b", "--insecure"), 0,
                    "# denimd: the effective settings");
    unsetenv ("DENIM_LOG_LEVEL");
    static const char *const lines[] = {
        "\nmanager\n",
        "    listen = \"ipc:///a # b\"                 # flag --listen\n",
        "    insecure = true                         # flag --insecure\n",
        "    heartbeat_ms = 500                      # file, line 2\n",
        "    liveness = 3                            # default\n",
        "    payload_max = 1500                      # file, line 3\n",
        "    log_level = debug                       # env DENIM_LOG_LEVEL\n",
        "\nlimits\n",
        "    clients_max = 2000                      # default\n",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        if (!strstr (err.text, lines[i]))
            fail_msg ("%s is missing in:\n%s", lines[i], err.text);

    strcpy (text, err.text);
    assert_went_on (MANAGER (&second, "-f", FILE_WITH (text)));
    assert_memory_equal (&second, &first, sizeof first);
}

static void
check_refuses_what_a_start_would_refuse (void **state)
{
    static dn_manager_settings_t self;
    (void) state;
    assert_stopped (MANAGER (&self, "-t", "-f", FILE_WITH ("limits\n    foo = 1\n")), 78,
                    "unknown key limits/foo");
}

static void
read_sample (const char *path, char text[DN_SETTINGS_TEXT_MAX])
{
    int fd = open (path, O_RDONLY);
    if (fd < 0)
        fail_msg ("cannot open %s; run this test where conf/ is", path);
    ssize_t n = read (fd, text, DN_SETTINGS_TEXT_MAX - 1);
    assert_true (n > 0);
    text[n] = '\0';
    close (fd);
}

/*  Every key of the program is in the text, and is what the text sets. */
static void
assert_every_key (const dn_settings_program_t *program, const void *defaults, const char *text)
{
    char line[DN_SETTING_SHOW_MAX + 64];
    char value[DN_SETTING_SHOW_MAX];

    for (size_t i = 0; i < program->rows_count; i++) {
        const dn_setting_t *row = &program->rows[i];
        snprintf (line, sizeof line, "\n    %s = %s\n", strchr (row->path, '/') + 1,
                  dn_setting_show (row, defaults, value));
        if (!strstr (text, line))
            fail_msg ("%s lacks %s", program->name, row->path);
    }
}

static void
sample_files_have_every_key_and_equal_the_defaults (void **state)
{
    static dn_manager_settings_t manager[2];
    static dn_worker_settings_t  worker[2];
    static char                  text[DN_SETTINGS_TEXT_MAX];
    static char                  expected[DN_SETTINGS_TEXT_MAX];

    (void) state;
    read_sample ("conf/denimd.conf", text);
    assert_string_equal (text, dn_settings_sample ("denimd", expected));
    assert_went_on (load_manager (&manager[0], (const char *[]){"denimd", NULL}));
    assert_went_on (MANAGER (&manager[1], "-f", "conf/denimd.conf"));
    assert_memory_equal (&manager[0], &manager[1], sizeof manager[0]);
    assert_every_key (&dn_manager_program, &manager[0], text);

    read_sample ("conf/denim-worker.conf", text);
    assert_string_equal (text, dn_settings_sample ("denim-worker", expected));
    assert_stopped (WORKER (&worker[0], "-t"), 0, "effective");
    assert_stopped (WORKER (&worker[1], "-t", "-f", "conf/denim-worker.conf"), 0, "effective");
    assert_memory_equal (&worker[0], &worker[1], sizeof worker[0]);
    assert_every_key (&dn_worker_program, &worker[0], text);
}

/*  ---- */

static int
write_sample (const char *program, const char *path)
{
    static char text[DN_SETTINGS_TEXT_MAX];
    FILE       *file = fopen (path, "w");
    if (!file || fputs (dn_settings_sample (program, text), file) < 0 || fclose (file) != 0) {
        perror (path);
        return 1;
    }
    return 0;
}

int
main (int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST (denimd_needs_no_file_and_no_flag),
        TEST (denim_worker_needs_an_app_and_nothing_else),
        TEST (flag_beats_environment_beats_file_beats_default),
        TEST (worker_takes_its_manager_from_the_environment),
        TEST (wrong_value_in_the_environment_names_the_variable_and_the_key),
        TEST (flag_can_take_back_what_a_file_says),
        TEST (wrong_use_ends_with_64_and_one_line),
        TEST (help_fits_a_screen_and_has_every_flag),
        TEST (version_is_the_one_of_the_library),
        TEST (report_is_for_stdout_when_it_was_asked_for_else_for_stderr),
        TEST (check_prints_every_key_with_its_origin_as_a_file_that_reads_back),
        TEST (check_refuses_what_a_start_would_refuse),
        TEST (sample_files_have_every_key_and_equal_the_defaults),
    };
    if (argc > 1 && strcmp (argv[1], "--write-samples") == 0)
        return write_sample ("denimd", "conf/denimd.conf") ||
               write_sample ("denim-worker", "conf/denim-worker.conf");
    return cmocka_run_group_tests_name ("settings", tests, NULL, NULL);
}
