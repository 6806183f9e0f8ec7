/*  denim-worker.c - the worker: runs the functions of Python modules in slots
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "base/log.h"
#include "io/process.h"
#include "io/settings.h"
#include "io/worker.h"

int
main (int argc, char **argv)
{
    static dn_worker_settings_t settings;
    static dn_settings_error_t  stop;

    if (dn_worker_settings_load (&settings, argc, argv, &stop))
        return dn_settings_report (&stop);
    dn_log_set (settings.log_level, settings.log_json);
    if (dn_process_follow_parent () < 0)
        return 0;
    return dn_io_worker_run (&settings);
}
