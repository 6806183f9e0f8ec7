/*  health.c - both ends of the socket on which a worker says how it is
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "io/health.h"

#include "io/process.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define SOCKETS     "/proc/net/unix"
#define PREFIX      "denim-worker-"
#define LINE_ROOM   512     /* of SOCKETS; a name there has 108 bytes at most */
#define BACKLOG     16      /* that wait to be accepted; one more is told to go */
#define LISTENS     0x10000 /* the kernel's __SO_ACCEPTCON: accepted sockets have the name, too */
#define DIGITS_MAX  10      /* of a number in a name */
#define NUMBER_BASE 10

static socklen_t
make_address (struct sockaddr_un *address, const dn_health_name_t *name)
{
    memset (address, 0, sizeof *address); /* the first byte of an abstract name is a zero */
    address->sun_family = AF_UNIX;
    int n = snprintf (address->sun_path + 1, sizeof address->sun_path - 1, PREFIX "%u-%d",
                      (unsigned) name->uid, (int) name->pid);
    return (socklen_t) (offsetof (struct sockaddr_un, sun_path) + 1 + (size_t) n);
}

/*  The user at the other end; of a listening socket the one who made it listen. */
static bool
is_user (int fd, uid_t uid, bool or_root)
{
    struct ucred credentials;
    socklen_t    n = sizeof credentials;

    if (getsockopt (fd, SOL_SOCKET, SO_PEERCRED, &credentials, &n) < 0)
        return false;
    return credentials.uid == uid || (or_root && credentials.uid == 0);
}

/*  ---- the worker's end ---- */

int
dn_health_listen (void)
{
    dn_health_name_t   name = {geteuid (), getpid ()};
    struct sockaddr_un address;
    socklen_t          address_bytes = make_address (&address, &name);

    int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (bind (fd, (struct sockaddr *) &address, address_bytes) == 0 && listen (fd, BACKLOG) == 0)
        return fd;
    int error = errno;
    close (fd);
    return -error;
}

int
dn_health_accept (int listener)
{
    int fd = accept4 (listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (is_user (fd, geteuid (), true))
        return fd;
    close (fd);
    return -EACCES;
}

int
dn_health_say (int fd, const char *text)
{
    size_t  text_bytes = strlen (text);
    ssize_t sent = send (fd, text, text_bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
    int     rc = sent < 0 ? -errno : 0;

    close (fd);
    return rc == 0 && (size_t) sent < text_bytes ? -EMSGSIZE : rc;
}

/*  ---- names ---- */

/*  A number as we write it, up to `number_max`: *text moves behind it. */
static bool
read_number (const char **text, uint64_t number_max, uint64_t *number)
{
    size_t digits = strspn (*text, "0123456789");

    if (digits == 0 || digits > DIGITS_MAX || (**text == '0' && digits > 1))
        return false;
    *number = strtoull (*text, NULL, NUMBER_BASE);
    *text += digits;
    return *number <= number_max;
}

/*  Num: RefCount Protocol Flags Type State Inode @NAME, where '@' stands for a zero. */
bool
dn_health_parse (const char *line, dn_health_name_t *name)
{
    unsigned flags = 0, type = 0;
    int      name_at = 0;
    uint64_t uid, pid;

    if (sscanf (line, "%*s %*x %*x %8x %4x %*x %*u %n", &flags, &type, &name_at) != 2 || !name_at)
        return false;
    const char *text = line + name_at;
    if (!(flags & LISTENS) || type != SOCK_STREAM || strncmp (text, "@" PREFIX, sizeof PREFIX) != 0)
        return false;
    text += sizeof PREFIX;
    if (!read_number (&text, UINT32_MAX, &uid) || *text++ != '-' ||
        !read_number (&text, INT_MAX, &pid) || pid == 0 || (*text && strcmp (text, "\n") != 0))
        return false;
    *name = (dn_health_name_t){(uid_t) uid, (pid_t) pid};
    return true;
}

/*  Names of workers that this user may ask, `names_max` at most: how many. Anyone can make a name,
 *  and one with a newline looks like two: who is behind it is seen when it is asked. */
static size_t
find_names (dn_health_name_t *names, size_t names_max)
{
    char   line[LINE_ROOM];
    size_t count = 0;
    uid_t  me = geteuid ();
    FILE  *sockets = fopen (SOCKETS, "re");

    if (!sockets)
        return 0;
    while (count < names_max && fgets (line, sizeof line, sockets))
        if (dn_health_parse (line, &names[count]) && (me == 0 || names[count].uid == me))
            count++;
    fclose (sockets);
    return count;
}

/*  ---- asking ---- */

/*  Connected, to a process of the user in the name: a descriptor, or -errno. */
static int
connect_to (const dn_health_name_t *name)
{
    struct sockaddr_un address;
    socklen_t          address_bytes = make_address (&address, name);
    int                fd = socket (AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    int rc = connect (fd, (struct sockaddr *) &address, address_bytes) < 0 ? -errno : 0;
    if (rc == 0 && !is_user (fd, name->uid, false))
        rc = -EACCES;
    if (rc == 0)
        return fd;
    close (fd);
    return rc;
}

/*  Read to the end: how many bytes, or -errno. */
static ssize_t
read_all (int fd, char *text, size_t text_max, int64_t deadline_ms)
{
    size_t used = 0;

    while (used < text_max) {
        ssize_t n = recv (fd, text + used, text_max - used, 0);
        if (n == 0)
            return (ssize_t) used;
        if (n > 0) {
            used += (size_t) n;
            continue;
        }
        if (errno != EAGAIN && errno != EINTR)
            return -errno;
        int64_t left_ms = deadline_ms - dn_process_now_ms ();
        if (left_ms <= 0)
            return -ETIMEDOUT;
        struct pollfd item = {fd, POLLIN, 0};
        poll (&item, 1, (int) left_ms);
    }
    return -EMSGSIZE;
}

/*  What one says; NULL if it says nothing, and then *gone tells whether that is because it has
 *  ended, or was never ours. */
static json_t *
ask (const dn_health_name_t *name, char *text, bool *gone)
{
    int fd = connect_to (name);

    *gone = fd == -ECONNREFUSED || fd == -EACCES;
    if (fd < 0)
        return NULL;
    ssize_t n =
        read_all (fd, text, DN_HEALTH_BYTES_MAX, dn_process_now_ms () + DN_HEALTH_ANSWER_MS);
    close (fd);
    json_t *said = n > 0 ? json_loadb (text, (size_t) n, 0, NULL) : NULL;
    if (json_is_object (said))
        return said;
    json_decref (said);
    return NULL;
}

json_t *
dn_health_ask_all (void)
{
    dn_health_name_t *names = calloc (DN_HEALTH_ASKED_MAX, sizeof *names);
    char             *text = malloc (DN_HEALTH_BYTES_MAX);
    json_t           *all = names && text ? json_array () : NULL;
    size_t            count = all ? find_names (names, DN_HEALTH_ASKED_MAX) : 0;

    for (size_t i = 0; i < count; i++) {
        bool    gone;
        json_t *said = ask (&names[i], text, &gone);
        if (!said && !gone)
            said = json_pack ("{s:I, s:s}", "pid", (json_int_t) names[i].pid, "error",
                              "does not answer");
        if (said)
            json_array_append_new (all, said);
    }
    free (names);
    free (text);
    return all;
}
