/*  instance.c - whose successor a worker is
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "io/instance.h"

#include <czmq.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BOOT_FILE      "/proc/sys/kernel/random/boot_id" /* random, anew at each boot */
#define NAMESPACE_FILE "/proc/self/ns/net"               /* abstract names are per namespace */
#define TEXT_MAX       512

/*  What all processes share that could follow each other. False: it cannot be told. */
static bool
describe (const char *address, char *text)
{
    char        boot[64] = "", host[64] = "";
    struct stat space;
    FILE       *file = fopen (BOOT_FILE, "re");
    if (!file)
        return false;
    bool read = fgets (boot, sizeof boot, file) != NULL;
    fclose (file);
    gethostname (host, sizeof host - 1);
    if (!read || stat (NAMESPACE_FILE, &space) < 0)
        return false;
    boot[strcspn (boot, "\n")] = 0;
    snprintf (text, TEXT_MAX, "%s/%s/%ju-%ju/%s", boot, host, (uintmax_t) space.st_dev,
              (uintmax_t) space.st_ino, address);
    return true;
}

/*  SHA-1, as much of it as there is room for: no secret, and nobody gains by a collision. */
static void
digest (const char *text, uint32_t place, dn_session_t *instance)
{
    zdigest_t *sum = zdigest_new ();
    zdigest_update (sum, (const byte *) text, strlen (text));
    zdigest_update (sum, (const byte *) &place, sizeof place);
    memcpy (instance->bytes, zdigest_data (sum), sizeof instance->bytes);
    zdigest_destroy (&sum);
}

/*  0, or -1 with errno. */
static int
take (int fd, const dn_session_t *instance)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    char              *at = name.sun_path + 1; /* a first byte of 0: abstract */
    at += snprintf (at, sizeof name.sun_path - 1, "denim-worker-");
    for (size_t i = 0; i < sizeof instance->bytes; i++)
        at += sprintf (at, "%02x", instance->bytes[i]);
    socklen_t length = (socklen_t) (at - (char *) &name);
    return bind (fd, (const struct sockaddr *) &name, length);
}

int
dn_instance_claim (const char *address, dn_session_t *instance)
{
    char text[TEXT_MAX];
    int  fd = describe (address, text) ? socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) : -1;
    for (uint32_t place = 0; fd >= 0 && place < DN_INSTANCE_PLACES; place++) {
        digest (text, place, instance);
        if (take (fd, instance) == 0)
            return fd;
        if (errno != EADDRINUSE)
            break;
    }
    if (fd >= 0)
        close (fd);
    memset (instance, 0, sizeof *instance);
    return -1;
}
