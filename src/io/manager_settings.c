/*  manager_settings.c - every key of denimd
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "io/settings_load.h"

#define FIELD(name)                                                                                \
    offsetof (dn_manager_settings_t, name), sizeof (((dn_manager_settings_t *) 0)->name)
#define KIB       (INT64_C (1) << 10)
#define GIB       (INT64_C (1) << 30)
#define MINUTE_MS 60000

/*  path, type, field, min, max, default, unit, doc, flag, operand, environment */
/* clang-format off */
static const dn_setting_t rows[] = {
    {"manager/listen", DN_SETTING_LISTEN, FIELD (listen), 0, 0, DN_ADDRESS_DEFAULT, "",
        "Where to listen; workers use the next port (5570, 5571).", "listen", "ADDRESS",
        "DENIM_LISTEN"},
    {"manager/insecure", DN_SETTING_BOOL, FIELD (insecure), 0, 0, "false", "",
        "Serve other hosts without keys: anyone there may call.", "insecure", NULL, NULL},
    {"manager/heartbeat_ms", DN_SETTING_MS, FIELD (heartbeat_ms), 50, MINUTE_MS, "1000", "ms",
        "Time between two signs of life, here and in all clients and workers.", NULL, NULL, NULL},
    {"manager/liveness", DN_SETTING_COUNT, FIELD (liveness), 2, 100, "3", "heartbeats",
        "Silence after which a peer gets no more tasks.", NULL, NULL, NULL},
    {"manager/payload_max", DN_SETTING_BYTES, FIELD (payload_max), KIB, GIB, "64M", "bytes",
        "Largest arguments or value of one task.", NULL, NULL, NULL},
    {"manager/log_level", DN_SETTING_LEVEL, FIELD (log_level), 0, 0, "info", "",
        "What to log on stderr: error, warn, info or debug.", "log-level", "LEVEL",
        "DENIM_LOG_LEVEL"},
    {"manager/log_json", DN_SETTING_BOOL, FIELD (log_json), 0, 0, "false", "",
        "Log a JSON object a line instead of text.", NULL, NULL, NULL},

    {"limits/clients_max", DN_SETTING_COUNT, FIELD (clients_max), 1, 100000, "2000", "",
        "Clients at a time; one more is refused.", NULL, NULL, NULL},
    {"limits/workers_max", DN_SETTING_COUNT, FIELD (workers_max), 1, 4096, "256", "",
        "Workers at a time; one more is refused.", NULL, NULL, NULL},
    {"limits/tasks_max", DN_SETTING_COUNT, FIELD (tasks_max), 16, 4194304, "65536", "",
        "Tasks that are placed or not yet settled; one more is refused and tried again later.",
        NULL, NULL, NULL},
    {"limits/services_max", DN_SETTING_COUNT, FIELD (services_max), 1, 65536, "1024", "",
        "Services that workers may announce, all together.", NULL, NULL, NULL},
    {"limits/client_share", DN_SETTING_COUNT, FIELD (client_share), 0, 100, "0", "percent",
        "Share of all slots that one client's tasks may hold; 0: any, turns are fair already.",
        NULL, NULL, NULL},

    {"admission/standby_ms", DN_SETTING_MS, FIELD (standby_ms), 1, MINUTE_MS, "100", "ms",
        "Longest wait of a task at a worker before it is handed back.", NULL, NULL, NULL},
    {"admission/lease_ms", DN_SETTING_MS, FIELD (lease_ms), 10, MINUTE_MS, "20", "ms",
        "Shortest time that a place is kept for a client whose turn it is.", NULL, NULL, NULL},
    {"admission/retry_max_ms", DN_SETTING_MS, FIELD (retry_max_ms), 10, 10 * MINUTE_MS, "2000",
        "ms", "Longest wait that a refused client is told; denim's own clients wait 2000 at most.",
        NULL, NULL, NULL},
};
/* clang-format on */

static int
check_manager (const void *self, bool starting, char *why, size_t why_bytes)
{
    (void) self, (void) starting, (void) why, (void) why_bytes;
    return 0; /* no key of denimd restricts another */
}

const dn_settings_program_t dn_manager_program = {
    .name = "denimd",
    .purpose = "The manager: gives the tasks of clients to free slots of workers.",
    .rows = rows,
    .rows_count = sizeof rows / sizeof rows[0],
    .self_bytes = sizeof (dn_manager_settings_t),
    .check = check_manager,
};

int
dn_manager_settings_load (dn_manager_settings_t *self, int argc, char **argv,
                          dn_settings_error_t *err)
{
    return dn_settings_load (&dn_manager_program, self, argc, argv, err);
}
