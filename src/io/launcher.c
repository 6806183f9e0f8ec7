/*  launcher.c - how a slot's process, or the zygote's, is begun
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "io/launcher.h"

#include "base/check.h"
#include "io/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define OWN_VARIABLES 8
#define VALUE_MAX     (DN_APPS_MAX * DN_SERVICE_MAX + 64)
#define FD_FREE       10 /* the child's ends stand at this number or above, clear of 0 to 4 */
#define FD_AFTER      (DN_FD_PAGE + 1)

struct dn_launcher {
    char   program[PATH_MAX]; /* denim-slot, or the interpreter itself */
    char  *argv[4];           /* borrowed strings, NULL at the end */
    char **envp[DN_ROLES];    /* owned, NULL at the end */
};

/*  ---- places ---- */

/*  The folder of our own program, without a slash at its end. */
static int
own_folder (char folder[PATH_MAX])
{
    ssize_t n = readlink ("/proc/self/exe", folder, PATH_MAX - 1);
    if (n <= 0)
        return -1;
    folder[n] = 0;
    char *slash = strrchr (folder, '/');
    if (!slash)
        return -1;
    *slash = 0;
    return 0;
}

/*  Where the package `denim` is: beside the programs in a build tree and a wheel, else as
 *  installed. */
static int
find_home (char home[PATH_MAX], char *why, size_t why_bytes)
{
    static const char *const places[] = {"../python", "../lib/denim/python"};
    char                     folder[PATH_MAX] = "";
    char                     path[2 * PATH_MAX];
    struct stat              file;

    if (own_folder (folder) == 0) {
        for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
            snprintf (path, sizeof path, "%s/%s/denim/_slot.py", folder, places[i]);
            if (stat (path, &file) < 0)
                continue;
            snprintf (path, sizeof path, "%s/%s", folder, places[i]);
            if (realpath (path, home))
                return 0;
        }
    }
    snprintf (why, why_bytes, "denim's own Python package is neither in %.150s/%s nor in %.150s/%s",
              folder, places[0], folder, places[1]);
    return -1;
}

/*  The host program, when the interpreter has a library to be loaded; the interpreter itself
 *  else. */
static int
find_program (dn_launcher_t *self, const dn_interpreter_t *interpreter, char *why, size_t why_bytes)
{
    char folder[PATH_MAX] = "";

    if (!interpreter->library[0]) {
        strcpy (self->program, interpreter->executable);
        self->argv[0] = (char *) interpreter->executable;
        self->argv[1] = "-c";
        self->argv[2] = DN_SLOT_BOOTSTRAP;
        return 0;
    }
    if (own_folder (folder) < 0 ||
        snprintf (self->program, PATH_MAX, "%s/denim-slot", folder) >= PATH_MAX ||
        access (self->program, X_OK) < 0) {
        snprintf (why, why_bytes, "denim-slot is not beside this program, in %.300s", folder);
        return -1;
    }
    self->argv[0] = "denim-slot";
    self->argv[1] = (char *) interpreter->library;
    self->argv[2] = (char *) interpreter->executable;
    return 0;
}

/*  ---- environment ---- */

static const char *const own_names[OWN_VARIABLES] = {
    DN_ENV_ROLE,   DN_ENV_APPS, DN_ENV_FLAGS,       DN_ENV_NAME,
    DN_ENV_PARENT, DN_ENV_HOME, DN_ENV_PAYLOAD_MAX, DN_ENV_MANAGER,
};

static bool
is_own (const char *variable)
{
    for (size_t i = 0; i < OWN_VARIABLES; i++) {
        size_t n = strlen (own_names[i]);
        if (strncmp (variable, own_names[i], n) == 0 && variable[n] == '=')
            return true;
    }
    return false;
}

static bool
add_variable (char **envp, size_t *count, const char *name, const char *value)
{
    return asprintf (&envp[(*count)++], "%s=%s", name, value) >= 0;
}

static void
write_apps (const dn_worker_settings_t *settings, char value[VALUE_MAX])
{
    size_t used = 0;
    value[0] = 0;
    for (uint32_t i = 0; i < settings->apps.count; i++)
        used += (size_t) snprintf (value + used, VALUE_MAX - used, "%s%s", i ? " " : "",
                                   settings->apps.name[i]);
}

static void
write_flags (const dn_worker_settings_t *settings, char value[VALUE_MAX])
{
    snprintf (value, VALUE_MAX, "%s%s%s%s", settings->only_decorated ? "only_decorated " : "",
              settings->allow_pickle ? "allow_pickle " : "", settings->service[0] ? "service=" : "",
              settings->service);
}

static bool
add_own (char **envp, size_t *count, const dn_worker_settings_t *settings, dn_role_t role,
         const char *home)
{
    char apps[VALUE_MAX];
    char flags[VALUE_MAX];
    char name[DN_NAME_MAX];
    char parent[16];
    char payload_max[24];

    write_apps (settings, apps);
    write_flags (settings, flags);
    snprintf (parent, sizeof parent, "%d", (int) getpid ());
    snprintf (payload_max, sizeof payload_max, "%llu", DN_SLOT_PAYLOAD_MAX);
    return add_variable (envp, count, DN_ENV_ROLE, role == DN_ROLE_ZYGOTE ? "zygote" : "slot") &&
           add_variable (envp, count, DN_ENV_APPS, apps) &&
           add_variable (envp, count, DN_ENV_FLAGS, flags) &&
           add_variable (envp, count, DN_ENV_NAME,
                         dn_worker_settings_name (settings, getpid (), name)) &&
           add_variable (envp, count, DN_ENV_PARENT, parent) &&
           add_variable (envp, count, DN_ENV_HOME, home) &&
           add_variable (envp, count, DN_ENV_PAYLOAD_MAX, payload_max) &&
           add_variable (envp, count, DN_ENV_MANAGER, settings->manager);
}

/*  The user's own environment, and what the slot is told in it. NULL without memory. */
static char **
make_environment (const dn_worker_settings_t *settings, dn_role_t role, const char *home)
{
    extern char **environ;
    size_t        count = 0;
    size_t        inherited = 0;

    while (environ && environ[inherited])
        inherited++;
    char **envp = calloc (inherited + OWN_VARIABLES + 1, sizeof *envp);
    if (!envp)
        return NULL;
    bool fine = true;
    for (size_t i = 0; i < inherited && fine; i++)
        if (!is_own (environ[i]))
            fine = (envp[count++] = strdup (environ[i])) != NULL;
    if (fine && add_own (envp, &count, settings, role, home))
        return envp;
    for (size_t i = 0; i < count; i++)
        free (envp[i]);
    free (envp);
    return NULL;
}

/*  ---- the launcher ---- */

dn_launcher_t *
dn_launcher_new (const dn_worker_settings_t *settings, const dn_interpreter_t *interpreter,
                 char *why, size_t why_bytes)
{
    char           home[PATH_MAX];
    dn_launcher_t *self = calloc (1, sizeof *self);

    snprintf (why, why_bytes, "out of memory");
    if (!self)
        return NULL;
    if (find_home (home, why, why_bytes) == 0 &&
        find_program (self, interpreter, why, why_bytes) == 0) {
        for (int role = 0; role < DN_ROLES; role++)
            self->envp[role] = make_environment (settings, (dn_role_t) role, home);
        if (self->envp[DN_ROLE_SLOT] && self->envp[DN_ROLE_ZYGOTE])
            return self;
    }
    dn_launcher_destroy (&self);
    return NULL;
}

void
dn_launcher_destroy (dn_launcher_t **self_p)
{
    dn_launcher_t *self = *self_p;
    if (!self)
        return;
    for (int role = 0; role < DN_ROLES; role++) {
        for (char **at = self->envp[role]; at && *at; at++)
            free (*at);
        free (self->envp[role]);
    }
    free (self);
    *self_p = NULL;
}

/*  The child's ends lie clear of the numbers that they are put to. */
static int
move_up (int *fd)
{
    int up = fcntl (*fd, F_DUPFD_CLOEXEC, FD_FREE);
    if (up < 0)
        return -errno;
    close (*fd);
    *fd = up;
    return 0;
}

static int
make_channel (dn_ends_t *self)
{
    static const int options[] = {SO_SNDBUF, SO_RCVBUF};
    int              bytes = DN_CHANNEL_SOCKET_BYTES;
    int              pair[2];

    if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    self->channel = pair[0];
    self->its_channel = pair[1];
    for (int end = 0; end < 2; end++)
        for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
            setsockopt (pair[end], SOL_SOCKET, options[i], &bytes, sizeof bytes);
    return fcntl (self->channel, F_SETFL, O_NONBLOCK) < 0 ? -errno : move_up (&self->its_channel);
}

static int
make_output (dn_ends_t *self)
{
    int pair[2];

    if (pipe2 (pair, O_CLOEXEC) < 0)
        return -errno;
    self->output = pair[0];
    self->its_output = pair[1];
    return fcntl (self->output, F_SETFL, O_NONBLOCK) < 0 ? -errno : move_up (&self->its_output);
}

static int
make_page (dn_ends_t *self)
{
    self->its_page = memfd_create ("denim-page", MFD_CLOEXEC);
    if (self->its_page < 0 || ftruncate (self->its_page, sizeof (dn_page_t)) < 0)
        return -errno;
    void *page =
        mmap (NULL, sizeof (dn_page_t), PROT_READ | PROT_WRITE, MAP_SHARED, self->its_page, 0);
    if (page == MAP_FAILED)
        return -errno;
    self->page = page;
    return move_up (&self->its_page);
}

int
dn_ends_make (dn_ends_t *self, dn_role_t role)
{
    *self = (dn_ends_t){-1, -1, NULL, -1, -1, -1};
    int rc = make_channel (self);
    if (rc == 0)
        rc = make_output (self);
    if (rc == 0 && role == DN_ROLE_SLOT)
        rc = make_page (self);
    if (rc < 0)
        dn_ends_close (self);
    return rc;
}

static void
close_fd (int *fd)
{
    if (*fd >= 0)
        close (*fd);
    *fd = -1;
}

void
dn_ends_give (dn_ends_t *self)
{
    close_fd (&self->its_channel);
    close_fd (&self->its_page);
    close_fd (&self->its_output);
}

void
dn_ends_close (dn_ends_t *self)
{
    dn_ends_give (self);
    close_fd (&self->channel);
    close_fd (&self->output);
    if (self->page)
        munmap (self->page, sizeof (dn_page_t));
    self->page = NULL;
}

/*  A group of its own: Ctrl-C at the terminal is for the supervisor, which then lets tasks end. */
static int
set_attributes (posix_spawnattr_t *attr)
{
    sigset_t none;
    sigset_t ignored;

    sigemptyset (&none);
    sigemptyset (&ignored);
    sigaddset (&ignored, SIGPIPE);
    posix_spawnattr_init (attr);
    posix_spawnattr_setsigmask (attr, &none);
    posix_spawnattr_setsigdefault (attr, &ignored);
    posix_spawnattr_setpgroup (attr, 0);
    return posix_spawnattr_setflags (attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                               POSIX_SPAWN_SETPGROUP);
}

static void
set_descriptors (posix_spawn_file_actions_t *actions, const dn_ends_t *ends)
{
    posix_spawn_file_actions_init (actions);
    posix_spawn_file_actions_addopen (actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2 (actions, ends->its_output, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2 (actions, ends->its_output, STDERR_FILENO);
    posix_spawn_file_actions_adddup2 (actions, ends->its_channel, DN_FD_CHANNEL);
    if (ends->its_page >= 0)
        posix_spawn_file_actions_adddup2 (actions, ends->its_page, DN_FD_PAGE);
    posix_spawn_file_actions_addclosefrom_np (actions, ends->its_page >= 0 ? FD_AFTER : DN_FD_PAGE);
}

pid_t
dn_launcher_exec (dn_launcher_t *self, dn_role_t role, const dn_ends_t *ends)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t          attr;
    pid_t                      pid = 0;

    set_attributes (&attr);
    set_descriptors (&actions, ends);
    int rc = posix_spawn (&pid, self->program, &actions, &attr, self->argv, self->envp[role]);
    posix_spawn_file_actions_destroy (&actions);
    posix_spawnattr_destroy (&attr);
    return rc ? -rc : pid;
}
