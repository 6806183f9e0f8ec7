/*  settings.h - what denimd and denim-worker are told before they start
 *
 *  Owns: the effective settings of both programs, and where they come from: a flag beats the
 *  environment, the environment beats the file, the file beats the default. No file is read unless
 *  -f names one. Every key is optional. Must never know: what the settings are for.
 *
 *      dn_manager_settings_t settings;
 *      dn_settings_error_t stop;
 *      if (dn_manager_settings_load (&settings, argc, argv, &stop))
 *          return dn_settings_report (&stop);
 *
 *  One table for each program (manager_settings.c, worker_settings.c) says everything about a key
 *  once: it gives the fields below their defaults and ranges, reads file, environment and flags,
 *  writes --help, -t and the sample files in conf/. To be called once, at start, from the main
 *  thread.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_SETTINGS_H
#define DN_SETTINGS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/log.h"
#include "io/address.h"

/*  Room for strings, with their terminator. */
#define DN_NAME_MAX    64  /* a worker's name; the wire takes 63 bytes */
#define DN_SERVICE_MAX 128 /* a service, or a module that becomes one; the wire takes 127 */
#define DN_APPS_MAX    64  /* modules that one worker is given */

/*  What is printed before a stop; the longest is -t with apps filled to the brim. */
#define DN_SETTINGS_TEXT_MAX 16384

/*  Why a program is to stop now, and what it is to print before. */
typedef struct {
    int  exit_code; /* 0: --help, --version, -t; 64: wrong use; 78: a wrong value or file */
    char text[DN_SETTINGS_TEXT_MAX]; /* for stdout if exit_code is 0, else one line for stderr */
} dn_settings_error_t;

/*  ---- denimd ---- */

typedef struct {
    /* manager */
    char           listen[DN_ENDPOINT_MAX]; /* an address to bind; has been parsed once */
    bool           insecure;                /* a public address without keys is wanted */
    int64_t        heartbeat_ms;
    uint32_t       liveness;    /* heartbeats of silence until a peer is quiet */
    uint64_t       payload_max; /* bytes of all payload frames of one message */
    dn_log_level_t log_level;
    bool           log_json;

    /* limits: sizes of the manager's tables */
    uint32_t clients_max;
    uint32_t workers_max;
    uint32_t tasks_max;
    uint32_t services_max;
    uint32_t client_share; /* percent of all slots that one client's tasks may hold; 0: off */

    /* admission */
    int64_t standby_ms;   /* longest stand of a task at a worker before it is refused */
    int64_t lease_ms;     /* shortest life of a grant */
    int64_t retry_max_ms; /* longest retry_after */
} dn_manager_settings_t;

/*  Load them: 0, or a positive value: stop now with what *err says; *self is then undefined. */
int dn_manager_settings_load (dn_manager_settings_t *self, int argc, char **argv,
                              dn_settings_error_t *err);

/*  ---- denim-worker ---- */

typedef struct {
    uint32_t count;
    char     name[DN_APPS_MAX][DN_SERVICE_MAX]; /* dotted module names, each once */
} dn_apps_t;

typedef struct {
    /* worker */
    char           manager[DN_ENDPOINT_MAX]; /* an address to connect to; has been parsed once */
    char           name[DN_NAME_MAX];        /* "": see dn_worker_settings_name */
    uint32_t       slots;                    /* 0: see dn_worker_settings_slots */
    uint32_t       standby_max;              /* tasks that wait here, for each slot */
    uint32_t       nesting;                  /* tasks nested less deep lend their places */
    char           service[DN_SERVICE_MAX];  /* "": each app is a service of its own */
    char           python[PATH_MAX];         /* "": see dn_worker_settings_python */
    dn_apps_t      apps;                     /* none only with allow_pickle */
    bool           only_decorated;
    bool           allow_pickle;
    uint64_t       outbox_bytes; /* results kept until they are settled */
    dn_log_level_t log_level;
    bool           log_json;

    /* slot */
    bool     preload;       /* one zygote imports, slots are forked from it */
    int64_t  soft_limit_ms; /* 0: none */
    int64_t  hard_limit_ms; /* 0: none; never below a soft limit */
    int64_t  grace_ms;      /* from a soft stop to the kill */
    uint64_t rss_max;       /* bytes; 0: no limit */
    uint32_t recycle_tasks; /* 0: never */
    uint64_t output_max;    /* bytes of stdout and stderr logged for each task */
} dn_worker_settings_t;

/*  Load them: 0, or a positive value: stop now with what *err says; *self is then undefined. */
int dn_worker_settings_load (dn_worker_settings_t *self, int argc, char **argv,
                             dn_settings_error_t *err);

/*  What the empty values mean here and now. */

/*  Slots to run: as many as there are CPUs that this process may use if `slots` is 0; 1 at
 *  least. */
uint32_t dn_worker_settings_slots (const dn_worker_settings_t *self);

/*  The worker's name: HOST-PID if `name` is "". Returns `name`. */
const char *dn_worker_settings_name (const dn_worker_settings_t *self, pid_t pid,
                                     char name[DN_NAME_MAX]);

/*  The interpreter to start: `python` (on PATH unless it has a slash), else the one of
 *  $VIRTUAL_ENV, else python3 on PATH. -ENOENT, with a sentence in `why`: there is none that can
 *  be executed. */
int dn_worker_settings_python (const dn_worker_settings_t *self, char path[PATH_MAX], char *why,
                               size_t why_bytes);

/*  ---- both ---- */

/*  Print what is to be printed where it belongs and return the exit code. */
int dn_settings_report (const dn_settings_error_t *err);

/*  Write the sample file of a program, "denimd" or "denim-worker": every key with what it is, what
 *  it may be and its default. What conf/ has; always fits. Returns `text`. */
const char *dn_settings_sample (const char *program, char text[DN_SETTINGS_TEXT_MAX]);

#endif
