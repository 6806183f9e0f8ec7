/*  version.c - `denim version`: what this is, and what it stands on
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "cli/cli.h"

#include "wire/wire.h"

#include <czmq.h>
#include <stdio.h>

int
dn_cli_version (dn_cli_t *cli, int argc, char **argv)
{
    int code, major, minor, patch;
    if (dn_cli_option (cli, argc, argv, "", NULL, &code) != -1)
        return code;
    code = dn_cli_no_more (argc, argv);
    if (code)
        return code;
    zmq_version (&major, &minor, &patch);
    printf ("denim %s\n", denim_version (NULL, NULL, NULL));
    printf ("protocol DENIM/%d.%d\n", DN_MAJOR, DN_MINOR);
    printf ("libzmq %d.%d.%d\n", major, minor, patch);
    printf ("czmq %d.%d.%d\n", CZMQ_VERSION_MAJOR, CZMQ_VERSION_MINOR, CZMQ_VERSION_PATCH);
    printf ("jansson %s\n", jansson_version_str ());
    return DN_EXIT_OK;
}
