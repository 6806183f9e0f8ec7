/*  fuzz_address.c - any text as an address
 *
 *  What is one, is one when it is written anew, too, and means the same. What is none is refused
 *  with a sentence that can be shown, however little room there is for it.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "fuzz.h"

#include "base/text.h"
#include "io/address.h"

#include <errno.h>
#include <stdlib.h>

static void
check_again (const dn_address_t *address, dn_purpose_t purpose)
{
    char         text[DN_ENDPOINT_MAX];
    char         door[DN_ENDPOINT_MAX];
    char         why[DN_WHY_MAX];
    dn_address_t again;

    dn_check (dn_address_text (address, text) == text && dn_text_is_safe (text));
    dn_check (dn_address_parse (&again, text, purpose, why, sizeof why) == 0);
    dn_check (again.transport == address->transport && again.port == address->port);
    dn_check (again.ipv6 == address->ipv6);
    dn_check (strcmp (again.host, address->host) == 0);
    dn_check (strcmp (again.place, address->place) == 0);

    dn_address_endpoint (address, DN_DOOR_CLIENTS, text);
    dn_address_endpoint (address, DN_DOOR_WORKERS, door);
    dn_check (strcmp (text, door) != 0 && strlen (door) < DN_ENDPOINT_MAX);
    dn_check (address->transport == DN_TRANSPORT_TCP ||
              strlen (door) - strlen ("ipc://") <= DN_IPC_PATH_MAX);
}

static void
check_address (const char *text, dn_purpose_t purpose, size_t why_bytes)
{
    dn_address_t address;
    char        *why = malloc (why_bytes + 1);
    char         whole[DN_WHY_MAX] = "";

    dn_check (why);
    why[why_bytes] = 'x';
    int rc = dn_address_parse (&address, text, purpose, why, why_bytes);
    dn_check (why[why_bytes] == 'x');
    dn_check (dn_address_parse (&address, text, purpose, whole, sizeof whole) == rc);
    if (rc == 0)
        check_again (&address, purpose);
    else {
        dn_check (rc == -EINVAL && whole[0] && strlen (whole) + 1 < sizeof whole);
        dn_check (dn_text_is_safe (whole));
        dn_check (why_bytes == 0 || memcmp (why, whole, strnlen (why, why_bytes)) == 0);
    }
    free (why);
}

int
LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t n)
{
    if (n == 0)
        return 0;
    char *text = malloc (n);
    dn_check (text);
    memcpy (text, bytes + 1, n - 1);
    text[n - 1] = '\0';
    check_address (text, DN_TO_CONNECT, bytes[0]);
    check_address (text, DN_TO_BIND, bytes[0]);
    free (text);
    return 0;
}
