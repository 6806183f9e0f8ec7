/*  address.c - read an address; look up, probe and lock what it stands for
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "io/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/check.h"
#include "base/text.h"

#define TCP     "tcp://"
#define IPC     "ipc://"
#define WORKERS ".workers"
#define LOCK    ".lock"

#define PORT_TRIES  64  /* pairs looked at before _propose gives up */
#define SHOWN_BYTES 120 /* of what the user wrote, in a sentence */

_Static_assert(DN_IPC_PLACE_MAX - 1 + sizeof WORKERS - 1 == DN_IPC_PATH_MAX, "a door fits exactly");
_Static_assert(DN_IPC_PATH_MAX == sizeof ((struct sockaddr_un *) 0)->sun_path - 1, "the system's");
_Static_assert(sizeof TCP "[]:65535" + DN_HOST_MAX <= DN_ENDPOINT_MAX, "an endpoint fits");

__attribute__ ((format (printf, 4, 5))) static int
fail (int error, char *why, size_t why_bytes, const char *format, ...)
{
    va_list args;
    va_start (args, format);
    vsnprintf (why, why_bytes, format, args);
    va_end (args);
    return -error;
}

/*  ---- reading; each function returns NULL, or what is wrong ---- */

static const char *
parse_port (const char *text, dn_purpose_t purpose, uint16_t *port)
{
    size_t digits = strspn (text, "0123456789");
    if (digits == 0 || text[digits] != '\0')
        return "PORT is no number";

    unsigned long number = digits > 5 ? ULONG_MAX : strtoul (text, NULL, 10);
    if (number > DN_ADDRESS_PORT_MAX)
        return "PORT goes from 1 to 65534, as the next one is taken too";
    if (number == 0 && purpose == DN_TO_CONNECT)
        return "port 0 (any two free ones) is for a manager to listen on";
    *port = (uint16_t) number;
    return NULL;
}

static const char *
check_ipv6 (const char *host)
{
    char            number[INET6_ADDRSTRLEN];
    struct in6_addr bits;
    size_t          n = strcspn (host, "%"); /* what follows names an interface: fe80::1%eth0 */

    if (n >= sizeof number)
        return "what stands in brackets is no IPv6 address";
    memcpy (number, host, n);
    number[n] = '\0';
    if (inet_pton (AF_INET6, number, &bits) != 1 || (host[n] == '%' && host[n + 1] == '\0'))
        return "what stands in brackets is no IPv6 address";
    return NULL;
}

static const char *
check_host (const char *host, dn_purpose_t purpose)
{
    if (strcmp (host, "*") == 0)
        return purpose == DN_TO_BIND ? NULL : "`*` is for a manager to listen on";
    if (host[0] == '\0')
        return "HOST is missing";
    for (const char *at = host; *at; at++)
        if (!strchr ("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._", *at))
            return "HOST is a name, an IPv4 address or [IPv6]";
    return NULL;
}

static const char *
parse_tcp (dn_address_t *self, const char *rest, dn_purpose_t purpose)
{
    bool        bracket = rest[0] == '[';
    const char *host = bracket ? rest + 1 : rest;
    size_t      host_bytes = strcspn (host, bracket ? "]" : ":");
    const char *after = host + host_bytes;

    if (bracket && *after++ != ']')
        return "the bracket is not closed";
    if (*after != '\0' && *after != ':')
        return "after [IPv6] comes :PORT or nothing";
    if (!bracket && *after == ':' && strchr (after + 1, ':'))
        return "an IPv6 address stands in brackets";
    if (host_bytes >= sizeof self->host)
        return "HOST has more than 253 bytes";

    self->transport = DN_TRANSPORT_TCP;
    memcpy (self->host, host, host_bytes);
    self->ipv6 = bracket;
    const char *wrong = bracket ? check_ipv6 (self->host) : check_host (self->host, purpose);
    if (wrong)
        return wrong;
    self->port = DN_ADDRESS_PORT;
    return *after == ':' ? parse_port (after + 1, purpose, &self->port) : NULL;
}

static const char *
parse_ipc (dn_address_t *self, const char *rest)
{
    size_t n = strlen (rest);

    if (n == 0 || strcmp (rest, "@") == 0)
        return "PATH is missing";
    if (n >= sizeof self->place)
        return "PATH has more than 99 bytes, which is what the system leaves for it";
    if (rest[n - 1] == '/')
        return "PATH names a folder; it must name a file that denimd makes";
    if (strcmp (rest, "*") == 0)
        return "`*` is no PATH";
    self->transport = DN_TRANSPORT_IPC;
    memcpy (self->place, rest, n + 1);
    return NULL;
}

int
dn_address_parse (dn_address_t *self, const char *text, dn_purpose_t purpose, char *why,
                  size_t why_bytes)
{
    dn_address_t read = {.transport = DN_TRANSPORT_TCP};
    const char  *wrong;

    if (!dn_text_is_safe (text))
        wrong = "it has control characters or is not UTF-8";
    else if (strncmp (text, TCP, strlen (TCP)) == 0)
        wrong = parse_tcp (&read, text + strlen (TCP), purpose);
    else if (strncmp (text, IPC, strlen (IPC)) == 0)
        wrong = parse_ipc (&read, text + strlen (IPC));
    else
        wrong = "it begins with neither tcp:// nor ipc://";

    if (wrong) {
        char shown[SHOWN_BYTES];
        return fail (EINVAL, why, why_bytes,
                     "\"%s\" is not an address: %s; write tcp://HOST[:PORT] or ipc://PATH",
                     dn_text_show (shown, sizeof shown, text), wrong);
    }
    *self = read;
    return 0;
}

/*  ---- writing ---- */

static const char *
write_tcp (const dn_address_t *self, unsigned port, char out[DN_ENDPOINT_MAX])
{
    bool bracket = strchr (self->host, ':') != NULL;
    snprintf (out, DN_ENDPOINT_MAX, TCP "%s%s%s:%u", bracket ? "[" : "", self->host,
              bracket ? "]" : "", port);
    return out;
}

const char *
dn_address_endpoint (const dn_address_t *self, dn_door_t door, char endpoint[DN_ENDPOINT_MAX])
{
    bool workers = door == DN_DOOR_WORKERS;

    if (self->transport == DN_TRANSPORT_TCP)
        return write_tcp (self, self->port + (workers ? 1U : 0U), endpoint);
    snprintf (endpoint, DN_ENDPOINT_MAX, IPC "%s%s", self->place, workers ? WORKERS : "");
    return endpoint;
}

const char *
dn_address_text (const dn_address_t *self, char text[DN_ENDPOINT_MAX])
{
    return dn_address_endpoint (self, DN_DOOR_CLIENTS, text);
}

/*  ---- looking up ---- */

/*  What the host's name stands for, to be freed with freeaddrinfo; an EAI_ number otherwise. */
static int
look_up (const dn_address_t *self, struct addrinfo **found)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    if (strcmp (self->host, "*") == 0) {
        hints.ai_family = AF_INET;
        hints.ai_flags = AI_PASSIVE;
        return getaddrinfo (NULL, "0", &hints, found);
    }
    return getaddrinfo (self->host, NULL, &hints, found);
}

/*  The first IPv4 one, else the first of all: a client that writes a name gets IPv4 from libzmq. */
static const struct addrinfo *
pick (const struct addrinfo *found)
{
    for (const struct addrinfo *at = found; at; at = at->ai_next)
        if (at->ai_family == AF_INET)
            return at;
    return found;
}

static int
fail_look_up (const dn_address_t *self, int gai, char *why, size_t why_bytes)
{
    int error = gai == EAI_SYSTEM ? errno : gai == EAI_MEMORY ? ENOMEM : ENOENT;
    return fail (error, why, why_bytes, "cannot look up host %s: %s", self->host,
                 gai == EAI_SYSTEM ? strerror (error) : gai_strerror (gai));
}

int
dn_address_resolve (dn_address_t *self, char *why, size_t why_bytes)
{
    struct addrinfo *found = NULL;

    if (self->transport == DN_TRANSPORT_IPC || strcmp (self->host, "*") == 0)
        return 0;
    int gai = look_up (self, &found);
    if (gai == 0) {
        char                   number[DN_HOST_MAX];
        const struct addrinfo *first = pick (found);
        gai = getnameinfo (first->ai_addr, first->ai_addrlen, number, sizeof number, NULL, 0,
                           NI_NUMERICHOST);
        if (gai == 0) {
            strcpy (self->host, number);
            self->ipv6 = first->ai_family == AF_INET6;
        }
        freeaddrinfo (found);
    }
    return gai == 0 ? 0 : fail_look_up (self, gai, why, why_bytes);
}

void
dn_address_learn (dn_address_t *self)
{
    struct addrinfo *found = NULL;

    if (self->transport == DN_TRANSPORT_IPC || look_up (self, &found) != 0)
        return;
    self->ipv6 = pick (found)->ai_family == AF_INET6;
    freeaddrinfo (found);
}

static bool
is_loopback_number (const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *ipv4 = (const void *) address;
        return ntohl (ipv4->sin_addr.s_addr) >> 24 == 127;
    }
    const struct sockaddr_in6 *ipv6 = (const void *) address;
    const struct in6_addr     *bits = &ipv6->sin6_addr;
    return IN6_IS_ADDR_LOOPBACK (bits) || (IN6_IS_ADDR_V4MAPPED (bits) && bits->s6_addr[12] == 127);
}

bool
dn_address_is_loopback (const dn_address_t *self)
{
    struct addrinfo *found = NULL;
    bool             loopback = true;

    if (self->transport == DN_TRANSPORT_IPC)
        return true;
    if (look_up (self, &found) != 0)
        return false;
    for (const struct addrinfo *at = found; at; at = at->ai_next)
        loopback = loopback && is_loopback_number (at->ai_addr);
    freeaddrinfo (found);
    return loopback;
}

/*  ---- the ground for a bind ---- */

/*  Bind a socket to the number at `at` and that port: the descriptor and, for port 0, the port that
 *  the system chose; or -errno. */
static int
bind_port (const struct addrinfo *at, uint16_t *port)
{
    union {
        struct sockaddr     any;
        struct sockaddr_in  ipv4;
        struct sockaddr_in6 ipv6;
    } address = {.any = {0}};
    socklen_t address_bytes = at->ai_addrlen;

    dn_check (address_bytes <= sizeof address);
    memcpy (&address, at->ai_addr, address_bytes);
    in_port_t *field = at->ai_family == AF_INET ? &address.ipv4.sin_port : &address.ipv6.sin6_port;
    *field = htons (*port);

    int fd = socket (at->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (bind (fd, &address.any, address_bytes) < 0 ||
        getsockname (fd, &address.any, &address_bytes) < 0) {
        int error = errno;
        close (fd);
        return -error;
    }
    *port = ntohs (*field);
    return fd;
}

/*  A free port whose next one is free as well, or -errno. */
static int
try_pair (const struct addrinfo *at)
{
    uint16_t port = 0;
    int      first = bind_port (at, &port);
    if (first < 0)
        return first;

    int second = -EADDRINUSE;
    if (port <= DN_ADDRESS_PORT_MAX) {
        uint16_t next = (uint16_t) (port + 1);
        second = bind_port (at, &next);
    }
    close (first);
    if (second < 0)
        return second;
    close (second);
    return port;
}

int
dn_address_propose (dn_address_t *self, char *why, size_t why_bytes)
{
    struct addrinfo *found = NULL;

    if (self->transport == DN_TRANSPORT_IPC || self->port != 0)
        return 0;
    int gai = look_up (self, &found);
    if (gai != 0)
        return fail_look_up (self, gai, why, why_bytes);

    int port = -EADDRINUSE;
    for (int i = 0; i < PORT_TRIES && port == -EADDRINUSE; i++)
        port = try_pair (pick (found));
    freeaddrinfo (found);
    if (port < 0)
        return fail (-port, why, why_bytes, "cannot find two free neighbouring ports on %s: %s",
                     self->host, strerror (-port));
    self->port = (uint16_t) port;
    return 0;
}

/*  Who has the lock, as it wrote into the file; 0 if that cannot be read. */
static int
read_holder (int fd)
{
    char    text[16] = "";
    ssize_t n = pread (fd, text, sizeof text - 1, 0);
    return n > 0 ? atoi (text) : 0;
}

static int
fail_locked (const dn_address_t *self, int fd, char *why, size_t why_bytes)
{
    int error = errno;
    if (error != EWOULDBLOCK)
        return fail (error, why, why_bytes, "cannot lock %s" LOCK ": %s", self->place,
                     strerror (error));

    int pid = read_holder (fd);
    if (pid > 0)
        return fail (error, why, why_bytes, IPC "%s is in use by another denimd (pid %d)",
                     self->place, pid);
    return fail (error, why, why_bytes, IPC "%s is in use by another denimd", self->place);
}

int
dn_address_lock (const dn_address_t *self, int *fd_out, char *why, size_t why_bytes)
{
    char path[DN_IPC_PLACE_MAX + sizeof LOCK];

    if (self->transport == DN_TRANSPORT_TCP || self->place[0] == '@') {
        *fd_out = -1;
        return 0;
    }
    snprintf (path, sizeof path, "%s" LOCK, self->place);
    int fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fail (errno, why, why_bytes, "cannot make %s: %s", path, strerror (errno));
    if (flock (fd, LOCK_EX | LOCK_NB) < 0) {
        int rc = fail_locked (self, fd, why, why_bytes);
        close (fd);
        return rc;
    }
    /* Only a courtesy to whoever is refused: what counts is the lock, so a full disk is no
 *  reason. */
    if (ftruncate (fd, 0) == 0)
        (void) (dprintf (fd, "%d\n", (int) getpid ()) < 0);
    *fd_out = fd;
    return 0;
}
