/*  fuzz_config.c - any text as the settings of either program
 *
 *  The first byte picks the program; then comes a file, and after a zero byte arguments of the
 *  command line. What is refused is refused with one line that can be shown. What is taken can be
 *  printed as a file, and that file says the same again.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "fuzz.h"

#include "base/text.h"
#include "io/settings.h"
#include "io/settings_load.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define ARGS_MAX 8
#define PRINTED  0 /* exit codes */
#define USAGE    64
#define CONFIG   78

static int         memory = -1; /* the file */
static char        path[32];    /* and its name */
static const char *name;        /* of the program */

static dn_settings_error_t err;

static int
load (char **argv)
{
    static dn_manager_settings_t manager;
    static dn_worker_settings_t  worker;
    int                          argc = 0;
    while (argv[argc])
        argc++;
    memset (&err, 0, sizeof err);
    return strcmp (name, "denimd") == 0 ? dn_manager_settings_load (&manager, argc, argv, &err)
                                        : dn_worker_settings_load (&worker, argc, argv, &err);
}

static void
write_file (const char *text, size_t n)
{
    dn_check (ftruncate (memory, 0) == 0);
    dn_check (pwrite (memory, text, n, 0) == (ssize_t) n);
}

/*  Without the comments that say where each value came from: from the last `#` of each line. */
static void
strip (char *text)
{
    char *to = text;
    for (char *line = text; *line;) {
        size_t      n = strcspn (line, "\n");
        const char *comment = memrchr (line, '#', n);
        size_t      kept = comment ? (size_t) (comment - line) : n;
        memmove (to, line, kept);
        to += kept;
        *to++ = '\n';
        line += n + (line[n] == '\n');
    }
    *to = '\0';
}

/*  -t of what -t has printed prints the same. */
static void
check_printed (void)
{
    char       *argv[] = {(char *) (uintptr_t) name, "-t", "-f", path, NULL};
    static char before[DN_SETTINGS_TEXT_MAX];
    dn_check (strlen (err.text) + 1 < sizeof err.text);
    strcpy (before, err.text);
    write_file (before, strlen (before));
    dn_check (load (argv) == 1 && err.exit_code == PRINTED);
    strip (before);
    strip (err.text);
    dn_check (strcmp (before, err.text) == 0);
}

static void
check_refused (void)
{
    dn_check (err.exit_code == USAGE || err.exit_code == CONFIG);
    dn_check (strncmp (err.text, name, strlen (name)) == 0 && dn_text_is_safe (err.text));
}

/*  Arguments that would have it read another file are left out. */
static int
add_arguments (char **argv, int argc, char *at, const char *end)
{
    while (at < end && argc < ARGS_MAX - 1) {
        if (at[0] != '-' || at[1] == '-')
            argv[argc++] = at;
        at += strlen (at) + 1;
    }
    return argc;
}

int
LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t n)
{
    if (n == 0)
        return 0;
    if (memory < 0) {
        memory = memfd_create ("settings", MFD_CLOEXEC);
        dn_check (memory >= 0);
        snprintf (path, sizeof path, "/proc/self/fd/%d", memory);
        unsetenv ("DENIM_MANAGER");
        unsetenv ("DENIM_LISTEN");
        unsetenv ("DENIM_LOG_LEVEL");
        unsetenv ("POSIXLY_CORRECT");
    }
    name = bytes[0] & 1 ? "denim-worker" : "denimd";
    char *text = malloc (n);
    char *argv[ARGS_MAX + 1] = {(char *) (uintptr_t) name, "-f", path};
    int   argc = 3;
    dn_check (text);
    memcpy (text, bytes + 1, n - 1);
    text[n - 1] = '\0';
    size_t file_bytes = strlen (text);
    write_file (text, file_bytes);
    if (bytes[0] & 2)
        argv[argc++] = "-t";
    argc = add_arguments (argv, argc, text + file_bytes + 1, text + n);
    argv[argc] = NULL;
    int rc = load (argv);
    dn_check (rc == 0 || rc == 1);
    if (rc && err.exit_code != PRINTED)
        check_refused ();
    else if (rc && (bytes[0] & 2) && err.text[0] == '#')
        check_printed ();
    free (text);
    return 0;
}
