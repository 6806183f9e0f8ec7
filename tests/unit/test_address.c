/*  test_address.c - addresses, their doors, and the ground for a bind
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/text.h"
#include "io/address.h"

#define PATH_99                                                                                    \
    "/tmp/234567890123456789012345678901234567890123456"                                           \
    "7890123456789012345678901234567890123456789012345"

static dn_address_t
parse (const char *text)
{
    dn_address_t address;
    char         why[DN_WHY_MAX] = "";
    if (dn_address_parse (&address, text, DN_TO_BIND, why, sizeof why) != 0)
        fail_msg ("%s", why);
    return address;
}

/*  ---- parse ---- */

static void
address_gives_each_role_its_door (void **state)
{
    static const struct {
        const char *text, *clients, *workers;
        bool        ipv6;
    } rows[] = {
        {"tcp://127.0.0.1", "tcp://127.0.0.1:5570", "tcp://127.0.0.1:5571", false},
        {"tcp://manager.example.org", "tcp://manager.example.org:5570",
         "tcp://manager.example.org:5571", false},
        {"tcp://h_1-x:1", "tcp://h_1-x:1", "tcp://h_1-x:2", false},
        {"tcp://host:65534", "tcp://host:65534", "tcp://host:65535", false},
        {"tcp://*", "tcp://*:5570", "tcp://*:5571", false},
        {"tcp://*:7000", "tcp://*:7000", "tcp://*:7001", false},
        {"tcp://[::1]", "tcp://[::1]:5570", "tcp://[::1]:5571", true},
        {"tcp://[fe80::1%eth0]:80", "tcp://[fe80::1%eth0]:80", "tcp://[fe80::1%eth0]:81", true},
        {"ipc:///run/denim", "ipc:///run/denim", "ipc:///run/denim.workers", false},
        {"ipc://here", "ipc://here", "ipc://here.workers", false},
        {"ipc://@denim", "ipc://@denim", "ipc://@denim.workers", false},
        {"ipc://" PATH_99, "ipc://" PATH_99, "ipc://" PATH_99 ".workers", false},
    };
    char endpoint[DN_ENDPOINT_MAX];

    (void) state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        dn_address_t address = parse (rows[i].text);
        assert_string_equal (dn_address_endpoint (&address, DN_DOOR_CLIENTS, endpoint),
                             rows[i].clients);
        assert_string_equal (dn_address_endpoint (&address, DN_DOOR_WORKERS, endpoint),
                             rows[i].workers);
        assert_int_equal (address.ipv6, rows[i].ipv6);
        assert_string_equal (dn_address_text (&address, endpoint), rows[i].clients);
    }
}

static void
default_address_is_loopback_at_the_default_port (void **state)
{
    dn_address_t address = parse (DN_ADDRESS_DEFAULT);
    (void) state;
    assert_int_equal (address.port, DN_ADDRESS_PORT);
    assert_true (dn_address_is_loopback (&address));
}

static void
wrong_address_is_quoted_and_told_what_to_write (void **state)
{
    static const struct {
        const char *text, *reason;
    } rows[] = {
        {"", "neither tcp:// nor ipc://"},
        {"tcp//x", "neither tcp:// nor ipc://"},
        {"localhost", "neither tcp:// nor ipc://"},
        {"localhost:5570", "neither tcp:// nor ipc://"},
        {"http://x", "neither tcp:// nor ipc://"},
        {"TCP://x", "neither tcp:// nor ipc://"},
        {" tcp://x", "neither tcp:// nor ipc://"},
        {"tcp://", "HOST is missing"},
        {"tcp://:5570", "HOST is missing"},
        {"tcp://a b", "HOST is a name"},
        {"tcp://a/", "HOST is a name"},
        {"tcp://user@host", "HOST is a name"},
        {"tcp://*x", "HOST is a name"},
        {"tcp://eth0;a", "HOST is a name"},
        {"tcp://host:", "PORT is no number"},
        {"tcp://host:http", "PORT is no number"},
        {"tcp://host:-1", "PORT is no number"},
        {"tcp://host:80/", "PORT is no number"},
        {"tcp://host:5570x", "PORT is no number"},
        {"tcp://host:*", "PORT is no number"},
        {"tcp://host:65535", "1 to 65534"},
        {"tcp://host:99999999999999999999", "1 to 65534"},
        {"tcp://::1", "in brackets"},
        {"tcp://::1:5570", "in brackets"},
        {"tcp://[::1", "not closed"},
        {"tcp://[::1]5570", "after [IPv6]"},
        {"tcp://[]", "no IPv6 address"},
        {"tcp://[host]", "no IPv6 address"},
        {"tcp://[127.0.0.1]", "no IPv6 address"},
        {"tcp://[::1%]", "no IPv6 address"},
        {"tcp://[::12345]", "no IPv6 address"},
        {"ipc://", "PATH is missing"},
        {"ipc://@", "PATH is missing"},
        {"ipc://*", "no PATH"},
        {"ipc:///run/", "names a folder"},
        {"ipc://" PATH_99 "x", "more than 99 bytes"},
        {"ipc://@/" PATH_99, "more than 99 bytes"},
        {"ipc:///tmp/a\nb", "control characters"},
        {"ipc:///tmp/\xff", "control characters"},
    };
    char why[DN_WHY_MAX];
    char quoted[256];

    (void) state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        dn_address_t       address = {.port = 77};
        const dn_address_t before = address;
        int rc = dn_address_parse (&address, rows[i].text, DN_TO_BIND, why, sizeof why);
        assert_int_equal (rc, -EINVAL);
        assert_memory_equal (&address, &before, sizeof address);
        assert_true (dn_text_is_safe (why));
        if (!strstr (why, rows[i].reason))
            fail_msg ("%s: expected %s", why, rows[i].reason);
        assert_non_null (strstr (why, "write tcp://HOST[:PORT] or ipc://PATH"));
        if (!strpbrk (rows[i].text, "\n\xff") && strlen (rows[i].text) < 100) {
            snprintf (quoted, sizeof quoted, "\"%s\" is not an address: ", rows[i].text);
            assert_int_equal (strncmp (why, quoted, strlen (quoted)), 0);
        }
    }
}

static void
host_of_253_bytes_fits_and_one_more_is_refused (void **state)
{
    char         text[6 + 255 + 1] = "tcp://";
    char         endpoint[DN_ENDPOINT_MAX];
    dn_address_t address;

    (void) state;
    memset (text + 6, 'h', 253);
    address = parse (text);
    assert_int_equal (strlen (dn_address_endpoint (&address, DN_DOOR_WORKERS, endpoint)),
                      6 + 253 + 5);
    text[6 + 253] = 'h';
    assert_int_equal (dn_address_parse (&address, text, DN_TO_BIND, NULL, 0), -EINVAL);
}

static void
star_and_port_zero_are_only_to_bind (void **state)
{
    dn_address_t address;
    char         why[DN_WHY_MAX];

    (void) state;
    assert_int_equal (parse ("tcp://*:0").port, 0);
    assert_int_equal (dn_address_parse (&address, "tcp://*", DN_TO_CONNECT, why, sizeof why),
                      -EINVAL);
    assert_non_null (strstr (why, "for a manager to listen on"));
    assert_int_equal (dn_address_parse (&address, "tcp://h:0", DN_TO_CONNECT, why, sizeof why),
                      -EINVAL);
    assert_non_null (strstr (why, "for a manager to listen on"));
    assert_int_equal (dn_address_parse (&address, "tcp://h:1", DN_TO_CONNECT, why, sizeof why), 0);
    assert_int_equal (dn_address_parse (&address, "ipc://@x", DN_TO_CONNECT, why, sizeof why), 0);
}

/*  ---- look up ---- */

/*  Does this system know the name at all? A minimal one has no /etc/hosts, and then it does not. */
static bool
knows_localhost (void)
{
    struct addrinfo *found = NULL;
    bool             known = getaddrinfo ("localhost", NULL, NULL, &found) == 0;
    if (known)
        freeaddrinfo (found);
    return known;
}

static void
name_is_resolved_to_a_number_that_can_be_bound (void **state)
{
    dn_address_t   address = parse ("tcp://localhost:7000");
    char           why[DN_WHY_MAX] = "";
    char           endpoint[DN_ENDPOINT_MAX];
    struct in_addr bits;

    (void) state;
    if (!knows_localhost ()) {
        print_message ("this system does not know the name localhost\n");
        skip ();
    }
    assert_int_equal (dn_address_resolve (&address, why, sizeof why), 0);
    assert_int_equal (inet_pton (AF_INET, address.host, &bits), 1);
    assert_false (address.ipv6);
    assert_int_equal (address.port, 7000);
    assert_true (dn_address_is_loopback (&address));

    address = parse ("tcp://[0:0::0:1]");
    assert_int_equal (dn_address_resolve (&address, why, sizeof why), 0);
    assert_string_equal (dn_address_endpoint (&address, DN_DOOR_CLIENTS, endpoint),
                         "tcp://[::1]:5570");
    assert_true (address.ipv6);

    address = parse ("tcp://*");
    assert_int_equal (dn_address_resolve (&address, why, sizeof why), 0);
    assert_string_equal (address.host, "*");
    address = parse ("ipc://@x");
    assert_int_equal (dn_address_resolve (&address, why, sizeof why), 0);
    assert_string_equal (address.place, "@x");
}

/*  Two dots in a row: refused before anybody is asked, so the test needs no network. */
static void
name_that_does_not_exist_is_refused_with_its_name (void **state)
{
    dn_address_t       address = parse ("tcp://no..such");
    const dn_address_t before = address;
    char               why[DN_WHY_MAX] = "";

    (void) state;
    assert_int_equal (dn_address_resolve (&address, why, sizeof why), -ENOENT);
    assert_non_null (strstr (why, "cannot look up host no..such: "));
    assert_memory_equal (&address, &before, sizeof address);
    assert_int_equal (dn_address_propose (&address, why, sizeof why), 0); /* has a port */
    assert_false (dn_address_is_loopback (&address));
    dn_address_learn (&address);
    assert_memory_equal (&address, &before, sizeof address);
}

static void
learning_sets_ipv6_only_where_there_is_nothing_else (void **state)
{
    dn_address_t address = parse ("tcp://[::1]");
    (void) state;
    address.ipv6 = false;
    dn_address_learn (&address);
    assert_true (address.ipv6);
    assert_string_equal (address.host, "::1");

    address = parse ("tcp://localhost");
    dn_address_learn (&address);
    assert_false (address.ipv6);
    assert_string_equal (address.host, "localhost");
}

static void
loopback_is_what_nobody_outside_can_reach (void **state)
{
    static const struct {
        const char *text;
        bool        loopback;
    } rows[] = {
        {"tcp://127.0.0.1", true},  {"tcp://127.255.0.9", true},
        {"tcp://localhost", true},  {"tcp://[::1]", true},
        {"ipc:///run/x", true},     {"tcp://[::ffff:127.0.0.1]", true},
        {"ipc://@x", true},         {"tcp://*", false},
        {"tcp://0.0.0.0", false},   {"tcp://[::]", false},
        {"tcp://10.0.0.1", false},  {"tcp://128.0.0.1", false},
        {"tcp://[::2]", false},     {"tcp://[::ffff:10.0.0.1]", false},
        {"tcp://126.0.0.1", false}, {"tcp://[fd00::1]", false},
    };

    (void) state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        dn_address_t address = parse (rows[i].text);
        if (strcmp (address.host, "localhost") == 0 && !knows_localhost ())
            continue; /* a name that cannot be looked up is not loopback */
        if (dn_address_is_loopback (&address) != rows[i].loopback)
            fail_msg ("%s", rows[i].text);
    }
}

/*  ---- ports ---- */

/*  A listening socket on 127.0.0.1: the descriptor or -1. */
static int
listen_at (uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons (port)};
    int                fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl (INADDR_LOOPBACK);
    if (bind (fd, (const void *) &address, sizeof address) == 0 && listen (fd, 1) == 0)
        return fd;
    close (fd);
    return -1;
}

/*  Propose and listen at both ports, as a manager does: true, or false when somebody else was
 *  quicker. */
static bool
take_pair (const char *text)
{
    dn_address_t address = parse (text);
    char         why[DN_WHY_MAX] = "";

    if (dn_address_propose (&address, why, sizeof why) != 0)
        fail_msg ("%s", why);
    assert_in_range (address.port, 1, DN_ADDRESS_PORT_MAX);
    int  clients = listen_at (address.port);
    int  workers = listen_at ((uint16_t) (address.port + 1));
    bool took = clients >= 0 && workers >= 0;
    if (clients >= 0)
        close (clients);
    if (workers >= 0)
        close (workers);
    return took;
}

static void
port_zero_becomes_two_free_neighbours (void **state)
{
    enum { TRIES = 5 };
    int tries = 0;

    (void) state;
    while (!take_pair ("tcp://127.0.0.1:0"))
        assert_true (++tries < TRIES);
    while (!take_pair ("tcp://*:0"))
        assert_true (++tries < TRIES);
}

static void
port_that_was_chosen_stays (void **state)
{
    dn_address_t address = parse ("tcp://127.0.0.1:1");
    (void) state;
    assert_int_equal (dn_address_propose (&address, NULL, 0), 0);
    assert_int_equal (address.port, 1);
    address = parse ("ipc://@x");
    assert_int_equal (dn_address_propose (&address, NULL, 0), 0);
}

static void
address_of_another_host_has_no_free_ports (void **state)
{
    dn_address_t address = parse ("tcp://192.0.2.1:0"); /* set aside for documentation */
    char         why[DN_WHY_MAX] = "";
    (void) state;
    assert_int_equal (dn_address_propose (&address, why, sizeof why), -EADDRNOTAVAIL);
    assert_non_null (strstr (why, "ports on 192.0.2.1: Cannot assign requested address"));
    assert_int_equal (address.port, 0);
}

/*  ---- lock ---- */

typedef struct {
    char folder[32];
    char lock[64];
    char text[64]; /* the address */
} place_t;

static void
place_make (place_t *place)
{
    strcpy (place->folder, "/tmp/denim-test-XXXXXX");
    assert_non_null (mkdtemp (place->folder));
    snprintf (place->text, sizeof place->text, "ipc://%s/m", place->folder);
    snprintf (place->lock, sizeof place->lock, "%s/m.lock", place->folder);
}

static void
place_remove (place_t *place)
{
    unlink (place->lock);
    assert_int_equal (rmdir (place->folder), 0);
}

static void
second_manager_on_an_ipc_path_is_told_who_has_it (void **state)
{
    place_t place;
    char    why[DN_WHY_MAX] = "";
    char    expected[128];
    int     first = -1;
    int     second = -1;

    (void) state;
    place_make (&place);
    dn_address_t address = parse (place.text);
    assert_int_equal (dn_address_lock (&address, &first, why, sizeof why), 0);
    assert_true (first >= 0);

    assert_int_equal (dn_address_lock (&address, &second, why, sizeof why), -EWOULDBLOCK);
    snprintf (expected, sizeof expected, "%s is in use by another denimd (pid %d)", place.text,
              (int) getpid ());
    assert_string_equal (why, expected);
    assert_int_equal (second, -1);

    close (first); /* as the death of its process does */
    assert_int_equal (dn_address_lock (&address, &second, why, sizeof why), 0);
    close (second);
    place_remove (&place);
}

static void
lock_is_not_taken_where_there_is_no_file (void **state)
{
    dn_address_t tcp = parse ("tcp://127.0.0.1");
    dn_address_t abstract = parse ("ipc://@x");
    int          fd = 5;

    (void) state;
    assert_int_equal (dn_address_lock (&tcp, &fd, NULL, 0), 0);
    assert_int_equal (fd, -1);
    fd = 5;
    assert_int_equal (dn_address_lock (&abstract, &fd, NULL, 0), 0);
    assert_int_equal (fd, -1);
}

static void
lock_that_cannot_be_made_says_why (void **state)
{
    dn_address_t address = parse ("ipc:///nowhere/at/all");
    place_t      place;
    char         why[DN_WHY_MAX] = "";
    int          fd = -1;

    (void) state;
    assert_int_equal (dn_address_lock (&address, &fd, why, sizeof why), -ENOENT);
    assert_string_equal (why, "cannot make /nowhere/at/all.lock: No such file or directory");

    place_make (&place); /* a link laid by somebody else is not followed */
    address = parse (place.text);
    assert_int_equal (symlink ("/dev/null", place.lock), 0);
    assert_int_equal (dn_address_lock (&address, &fd, why, sizeof why), -ELOOP);
    assert_int_equal (fd, -1);
    place_remove (&place);
}

int
main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (address_gives_each_role_its_door),
        cmocka_unit_test (default_address_is_loopback_at_the_default_port),
        cmocka_unit_test (wrong_address_is_quoted_and_told_what_to_write),
        cmocka_unit_test (host_of_253_bytes_fits_and_one_more_is_refused),
        cmocka_unit_test (star_and_port_zero_are_only_to_bind),
        cmocka_unit_test (name_is_resolved_to_a_number_that_can_be_bound),
        cmocka_unit_test (name_that_does_not_exist_is_refused_with_its_name),
        cmocka_unit_test (learning_sets_ipv6_only_where_there_is_nothing_else),
        cmocka_unit_test (loopback_is_what_nobody_outside_can_reach),
        cmocka_unit_test (port_zero_becomes_two_free_neighbours),
        cmocka_unit_test (port_that_was_chosen_stays),
        cmocka_unit_test (address_of_another_host_has_no_free_ports),
        cmocka_unit_test (second_manager_on_an_ipc_path_is_told_who_has_it),
        cmocka_unit_test (lock_is_not_taken_where_there_is_no_file),
        cmocka_unit_test (lock_that_cannot_be_made_says_why),
    };
    return cmocka_run_group_tests_name ("address", tests, NULL, NULL);
}
