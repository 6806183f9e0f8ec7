/*  worker_settings.c - every key of denim-worker, and what its empty values mean on this host
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "denim.h"
#include "io/process.h"
#include "io/settings_load.h"

#define FIELD(name)                                                                                \
    offsetof (dn_worker_settings_t, name), sizeof (((dn_worker_settings_t *) 0)->name)
#define KIB       (INT64_C (1) << 10)
#define GIB       (INT64_C (1) << 30)
#define MINUTE_MS 60000
#define WEEK_MS   (7 * 24 * 60 * MINUTE_MS)
#define SLOTS_MAX 1024 /* processes of one worker; more hosts or more workers beyond that */

/*  path, type, field, min, max, default, unit, doc, flag, operand, environment */
/* clang-format off */
static const dn_setting_t rows[] = {
    {"worker/manager", DN_SETTING_CONNECT, FIELD (manager), 0, 0, DN_ADDRESS_DEFAULT, "",
        "Address of the manager, the same that clients use.", "manager", "ADDRESS",
        "DENIM_MANAGER"},
    {"worker/name", DN_SETTING_NAME, FIELD (name), 0, 0, "", "",
        "Name in status and logs; empty: HOST-PID.", "name", "NAME", NULL},
    {"worker/slots", DN_SETTING_COUNT, FIELD (slots), 0, SLOTS_MAX, "0", "",
        "Tasks to run at a time; 0: one for each usable CPU.", "slots", "N", NULL},
    {"worker/standby_max", DN_SETTING_COUNT, FIELD (standby_max), 0, 1024, "256", "per slot",
        "Short tasks that may wait here for the next free slot.", NULL, NULL, NULL},
    {"worker/nesting", DN_SETTING_COUNT, FIELD (nesting), 0, DENIM_NESTING_MAX, "8", "levels",
        "Tasks that wait in calls of theirs lend their slots, down to this depth; 0: they do not.",
        NULL, NULL, NULL},
    {"worker/service", DN_SETTING_NAME, FIELD (service), 0, 0, "", "",
        "Announce all apps under this name; empty: their own.", "service", "NAME", NULL},
    {"worker/python", DN_SETTING_TEXT, FIELD (python), 0, 0, "", "",
        "Interpreter; empty: $VIRTUAL_ENV's, else PATH's python3.", "python", "PROGRAM", NULL},
    {"worker/apps", DN_SETTING_APPS, FIELD (apps), 0, 0, "", "",
        "Modules whose functions can be called; an APP on the command line replaces them all.",
        NULL, NULL, NULL},
    {"worker/only_decorated", DN_SETTING_BOOL, FIELD (only_decorated), 0, 0, "false", "",
        "Only @denim.task functions can be called.", "only-decorated", NULL, NULL},
    {"worker/allow_pickle", DN_SETTING_BOOL, FIELD (allow_pickle), 0, 0, "false", "",
        "Accept pickles: who can call can then run any code here.", "allow-pickle", NULL, NULL},
    {"worker/outbox_bytes", DN_SETTING_BYTES, FIELD (outbox_bytes), 64 * KIB, 1024 * GIB, "64M",
        "bytes", "Answers kept until their clients have them; when full, no task is taken.",
        NULL, NULL, NULL},
    {"worker/log_level", DN_SETTING_LEVEL, FIELD (log_level), 0, 0, "info", "",
        "What to log on stderr: error, warn, info or debug.", "log-level", "LEVEL",
        "DENIM_LOG_LEVEL"},
    {"worker/log_json", DN_SETTING_BOOL, FIELD (log_json), 0, 0, "false", "",
        "Log a JSON object a line instead of text.", NULL, NULL, NULL},

    {"slot/preload", DN_SETTING_BOOL, FIELD (preload), 0, 0, "true", "",
        "Import the apps once and fork the slots from there.", NULL, NULL, NULL},
    {"slot/soft_limit_ms", DN_SETTING_MS, FIELD (soft_limit_ms), 0, WEEK_MS, "0", "ms",
        "Run time after which SoftTimeLimit is raised in a task; 0: never.", NULL, NULL, NULL},
    {"slot/hard_limit_ms", DN_SETTING_MS, FIELD (hard_limit_ms), 0, WEEK_MS, "0", "ms",
        "Run time after which the slot of a task is killed; 0: never.", NULL, NULL, NULL},
    {"slot/grace_ms", DN_SETTING_MS, FIELD (grace_ms), 0, 10 * MINUTE_MS, "2000", "ms",
        "Time from asking a task to stop until its slot is killed.", NULL, NULL, NULL},
    {"slot/rss_max", DN_SETTING_BYTES, FIELD (rss_max), 0, 1024 * GIB, "0", "bytes",
        "Resident memory beyond which a slot is killed; 0: no limit.", NULL, NULL, NULL},
    {"slot/recycle_tasks", DN_SETTING_COUNT, FIELD (recycle_tasks), 0, 1000000000, "0", "",
        "Tasks after which a fresh process takes a slot's place; 0: never.", NULL, NULL, NULL},
    {"slot/output_max", DN_SETTING_BYTES, FIELD (output_max), 0, GIB, "64K", "bytes",
        "What a task prints is logged up to here, the rest dropped.", NULL, NULL, NULL},
};
/* clang-format on */

static int
check_worker (const void *settings, bool starting, char *why, size_t why_bytes)
{
    const dn_worker_settings_t *self = settings;

    if (self->soft_limit_ms && self->hard_limit_ms && self->hard_limit_ms < self->soft_limit_ms) {
        snprintf (why, why_bytes,
                  "slot/hard_limit_ms: %lld is less than slot/soft_limit_ms, %lld; "
                  "a task is asked to stop before it is killed",
                  (long long) self->hard_limit_ms, (long long) self->soft_limit_ms);
        return EX_CONFIG;
    }
    if (starting && self->apps.count == 0 && !self->allow_pickle) {
        snprintf (why, why_bytes,
                  "nothing to run; name an APP, the module that has your functions "
                  "(denim-worker myapp), or give --allow-pickle");
        return EX_USAGE;
    }
    return 0;
}

const dn_settings_program_t dn_worker_program = {
    .name = "denim-worker",
    .purpose = "Runs the functions of Python modules (APP, such as myapp) for clients.",
    .operand = "APP",
    .operand_path = "worker/apps",
    .rows = rows,
    .rows_count = sizeof rows / sizeof rows[0],
    .self_bytes = sizeof (dn_worker_settings_t),
    .check = check_worker,
};

int
dn_worker_settings_load (dn_worker_settings_t *self, int argc, char **argv,
                         dn_settings_error_t *err)
{
    return dn_settings_load (&dn_worker_program, self, argc, argv, err);
}

/*  ---- empty values ---- */

uint32_t
dn_worker_settings_slots (const dn_worker_settings_t *self)
{
    uint32_t cpus = dn_process_cpus ();

    if (self->slots)
        return self->slots;
    return cpus < SLOTS_MAX ? cpus : SLOTS_MAX;
}

const char *
dn_worker_settings_name (const dn_worker_settings_t *self, pid_t pid, char name[DN_NAME_MAX])
{
    char host[HOST_NAME_MAX + 1] = "";
    char number[16];

    if (self->name[0])
        return strcpy (name, self->name);
    if (gethostname (host, sizeof host - 1) < 0 || host[0] == '\0')
        strcpy (host, "host");
    int number_bytes = snprintf (number, sizeof number, "-%d", (int) pid);
    snprintf (name, DN_NAME_MAX, "%.*s%s", DN_NAME_MAX - 1 - number_bytes, host, number);
    return name;
}

static bool
is_program (const char *path)
{
    struct stat file;
    return stat (path, &file) == 0 && S_ISREG (file.st_mode) && access (path, X_OK) == 0;
}

/*  The first file of that name on PATH that can be executed; as execvp, but an empty part of PATH
 *  is skipped: it means the working directory, where nobody wants to find an interpreter. */
static bool
find_on_path (const char *name, char path[PATH_MAX])
{
    const char *part = getenv ("PATH");

    while (part && *part) {
        size_t n = strcspn (part, ":");
        if (n > 0 && n + 1 + strlen (name) < PATH_MAX) {
            memcpy (path, part, n);
            path[n] = '/';
            strcpy (path + n + 1, name);
            if (is_program (path))
                return true;
        }
        part += n + (part[n] == ':');
    }
    return false;
}

int
dn_worker_settings_python (const dn_worker_settings_t *self, char path[PATH_MAX], char *why,
                           size_t why_bytes)
{
    const char *environment = getenv ("VIRTUAL_ENV");
    const char *name = self->python[0] ? self->python : "python3";
    bool        is_path = strchr (name, '/') != NULL;
    int         n = 0;

    if (is_path)
        n = snprintf (path, PATH_MAX, "%s", name);
    else if (!self->python[0] && environment && *environment) {
        n = snprintf (path, PATH_MAX, "%s/bin/python", environment);
        is_path = true;
    }
    if (is_path ? n < PATH_MAX && is_program (path) : find_on_path (name, path))
        return 0;
    snprintf (why, why_bytes, "no Python interpreter: %.200s is not %s", is_path ? path : name,
              is_path ? "a program that can be executed" : "on PATH");
    return -ENOENT;
}
