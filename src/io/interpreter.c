/*  interpreter.c - the user's Python
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "io/interpreter.h"

#include "io/process.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ANSWER_BYTES 16384
#define MARK         "denim-interpreter: " /* the app's site modules may print, too */
#define MINOR_MIN    11

/*  The library is, in this order: the one that the interpreter itself has loaded, the one that it
 *  says it was built with, that one's name below its prefix (interpreters that were moved say the
 *  first wrong). */
static const char question[] =
    "import json, os, sys, sysconfig\n"
    "def library():\n"
    "    try:\n"
    "        with open('/proc/self/maps') as maps:\n"
    "            for line in maps:\n"
    "                path = line.rstrip('\\n').partition('/')[2]\n"
    "                if os.path.basename(path).startswith('libpython'):\n"
    "                    return '/' + path\n"
    "    except OSError:\n"
    "        pass\n"
    "    get = sysconfig.get_config_var\n"
    "    if not get('Py_ENABLE_SHARED'):\n"
    "        return ''\n"
    "    name = get('INSTSONAME') or ''\n"
    "    for folder in (get('LIBDIR'), os.path.join(sys.base_prefix, 'lib')):\n"
    "        path = os.path.join(folder or '', name)\n"
    "        if name and os.path.isfile(path):\n"
    "            return path\n"
    "    return ''\n"
    "print('" MARK "' + json.dumps({'kind': sys.implementation.name,\n"
    "    'version': '%d.%d.%d' % sys.version_info[:3], 'major': sys.version_info[0],\n"
    "    'minor': sys.version_info[1], 'executable': sys.executable, 'library': library()}))\n";

/*  ---- asking ---- */

/*  With its end of the pipe as stdout, nothing on stdin, and its signals as they should be. */
static int
spawn (const char *path, int out, pid_t *pid)
{
    extern char              **environ;
    char                      *argv[] = {(char *) path, "-c", (char *) question, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t          attr;
    sigset_t                   none;

    sigemptyset (&none);
    posix_spawnattr_init (&attr);
    posix_spawnattr_setflags (&attr, POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setsigmask (&attr, &none);
    posix_spawn_file_actions_init (&actions);
    posix_spawn_file_actions_addopen (&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2 (&actions, out, STDOUT_FILENO);
    int rc = posix_spawn (pid, path, &actions, &attr, argv, environ);
    posix_spawn_file_actions_destroy (&actions);
    posix_spawnattr_destroy (&attr);
    return -rc;
}

/*  All that it prints, until it closes the pipe or its time is over. */
static size_t
read_answer (int in, char answer[ANSWER_BYTES])
{
    int64_t end_ms = dn_process_now_ms () + DN_INTERPRETER_ASK_MS;
    size_t  used = 0;

    while (used < ANSWER_BYTES - 1) {
        struct pollfd item = {.fd = in, .events = POLLIN};
        int64_t       left_ms = end_ms - dn_process_now_ms ();
        if (left_ms <= 0 || (poll (&item, 1, (int) left_ms) <= 0 && errno != EINTR))
            break;
        ssize_t got = read (in, answer + used, ANSWER_BYTES - 1 - used);
        if (got == 0 || (got < 0 && errno != EINTR))
            break;
        if (got > 0)
            used += (size_t) got;
    }
    answer[used] = 0;
    return used;
}

/*  Run it: its answer after the mark, or NULL. */
static const char *
run (const char *path, char answer[ANSWER_BYTES], char *why, size_t why_bytes)
{
    int   ends[2];
    pid_t pid;
    int   status = 0;

    if (pipe2 (ends, O_CLOEXEC) < 0) {
        snprintf (why, why_bytes, "cannot make a pipe: %s", strerror (errno));
        return NULL;
    }
    int rc = spawn (path, ends[1], &pid);
    close (ends[1]);
    if (rc < 0) {
        snprintf (why, why_bytes, "cannot start %s: %s", path, strerror (-rc));
        close (ends[0]);
        return NULL;
    }
    read_answer (ends[0], answer);
    close (ends[0]);
    const char *found = strstr (answer, MARK);
    if (!found)
        kill (pid, SIGKILL);
    while (waitpid (pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (!found)
        snprintf (why, why_bytes, "%s does not answer like a Python 3 interpreter", path);
    return found ? found + strlen (MARK) : NULL;
}

/*  ---- understanding ---- */

static int
copy_text (json_t *root, const char *key, char *to, size_t to_bytes)
{
    const char *text = json_string_value (json_object_get (root, key));
    if (!text || strlen (text) >= to_bytes)
        return -1;
    strcpy (to, text);
    return 0;
}

static int
read_fields (dn_interpreter_t *self, json_t *root, const char *path, char *why, size_t why_bytes)
{
    char kind[32];
    int  major = (int) json_integer_value (json_object_get (root, "major"));
    int  minor = (int) json_integer_value (json_object_get (root, "minor"));

    if (copy_text (root, "kind", kind, sizeof kind) < 0 ||
        copy_text (root, "version", self->version, sizeof self->version) < 0 ||
        copy_text (root, "executable", self->executable, sizeof self->executable) < 0 ||
        copy_text (root, "library", self->library, sizeof self->library) < 0) {
        snprintf (why, why_bytes, "%s does not answer like a Python 3 interpreter", path);
        return -1;
    }
    if (strcmp (kind, "cpython") == 0 && major == 3 && minor >= MINOR_MIN)
        return 0;
    snprintf (why, why_bytes,
              "%s is %s %s; denim runs CPython 3.%d or newer (--python chooses one)", path,
              strcmp (kind, "cpython") == 0 ? "CPython" : kind, self->version, MINOR_MIN);
    return -1;
}

int
dn_interpreter_ask (dn_interpreter_t *self, const char *path, char *why, size_t why_bytes)
{
    char        text[ANSWER_BYTES];
    const char *answer = run (path, text, why, why_bytes);
    if (!answer)
        return -1;
    json_t *root = json_loads (answer, JSON_DISABLE_EOF_CHECK, NULL);
    int     rc = read_fields (self, root, path, why, why_bytes);
    json_decref (root);
    return rc;
}
