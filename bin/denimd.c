/*  denimd.c - the manager: matches tasks with free slots
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "base/log.h"
#include "io/manager.h"
#include "io/process.h"
#include "io/settings.h"

int
main (int argc, char **argv)
{
    static dn_manager_settings_t settings;
    static dn_settings_error_t   stop;
    if (dn_manager_settings_load (&settings, argc, argv, &stop))
        return dn_settings_report (&stop);
    dn_log_set (settings.log_level, settings.log_json);
    if (dn_process_follow_parent () < 0)
        return 0;
    return dn_io_manager_run (&settings);
}
