/*  manager_status.c - peers, services and counters as JSON
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "io/manager_status.h"

#include <jansson.h>

static json_t *
services_of (const dn_services_t *services, uint32_t number)
{
    json_t *names = json_array ();
    for (uint32_t i = 0; i < dn_services_count (services); i++)
        if (dn_services_offers (services, i, number))
            json_array_append_new (names, json_string (dn_services_get (services, i)->name));
    return names;
}

static uint32_t
busy_of (const dn_peer_t *worker)
{
    uint32_t slots = worker->u.worker.slots;
    uint32_t lent = worker->u.worker.lent < slots ? worker->u.worker.lent : slots;
    uint32_t used = worker->u.worker.placed < slots ? worker->u.worker.placed : slots;
    return used > lent ? used - lent : 0;
}

/*  Those that wait in nested calls, and whose slots others use. */
static uint32_t
lent_of (const dn_peer_t *worker)
{
    uint32_t rest = worker->u.worker.placed - busy_of (worker);
    return worker->u.worker.lent < rest ? worker->u.worker.lent : rest;
}

static json_t *
worker_row (const dn_manager_t *manager, const dn_peer_t *worker)
{
    const dn_worker_part_t *part = &worker->u.worker;
    return json_pack ("{s:s, s:s, s:I, s:s, s:o, s:I, s:I, s:I, s:I, s:I, s:I}", "name",
                      worker->name, "host", part->host, "pid", (json_int_t) part->pid, "state",
                      dn_manager_worker_state (manager, worker), "services",
                      services_of (dn_manager_services (manager), part->number), "slots",
                      (json_int_t) dn_manager_own_slots (worker), "busy",
                      (json_int_t) busy_of (worker), "lent", (json_int_t) lent_of (worker),
                      "standby", (json_int_t) (part->placed - busy_of (worker) - lent_of (worker)),
                      "restarts", (json_int_t) part->restarts, "rss", (json_int_t) part->rss_bytes);
}

static json_t *
service_row (const dn_manager_t *manager, uint32_t i)
{
    const dn_services_t *services = dn_manager_services (manager);
    const dn_service_t  *service = dn_services_get (services, i);
    json_int_t           slots = 0;
    uint32_t             number = 0, found;
    while ((found = dn_services_next_worker (services, i, &number)) != DN_SERVICE_NONE) {
        const dn_peer_t *worker = dn_peers_worker (dn_manager_peers (manager), found);
        if (dn_manager_ready (manager, worker))
            slots += dn_manager_own_slots (worker);
    }
    return json_pack ("{s:s, s:I, s:I, s:I, s:I, s:f, s:f}", "name", service->name, "slots", slots,
                      "busy", (json_int_t) service->placed, "waiting",
                      (json_int_t) service->waiting, "results", (json_int_t) service->results,
                      "mean_run_ms", service->mean_run_us / 1000, "offered", service->offered);
}

static json_t *
counters_row (const dn_manager_counters_t *counters)
{
    json_t *rejected = json_object ();
    for (int i = 0; i < DENIM_REASONS; i++)
        if (counters->rejected[i])
            json_object_set_new (rejected, denim_reason_name (i),
                                 json_integer ((json_int_t) counters->rejected[i]));
    return json_pack ("{s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:I, s:I}", "submitted",
                      (json_int_t) counters->submitted, "done", (json_int_t) counters->done,
                      "failed", (json_int_t) counters->failed, "lost", (json_int_t) counters->lost,
                      "cancelled", (json_int_t) counters->cancelled, "granted",
                      (json_int_t) counters->granted, "rejected", rejected, "malformed",
                      (json_int_t) counters->malformed, "unsent", (json_int_t) counters->unsent);
}

/*  Sums over the peers, and the list of workers. */
static void
add_peers (const dn_manager_t *manager, json_t *root)
{
    json_int_t       waiting = 0, slots = 0, busy = 0;
    json_t          *workers = json_array ();
    const dn_peer_t *peer;
    for (uint32_t row = 0; (peer = dn_peers_next (dn_manager_peers (manager), &row));) {
        if (peer->role == DN_ROLE_CLIENT) {
            waiting += peer->u.client.waiting;
            continue;
        }
        json_array_append_new (workers, worker_row (manager, peer));
        busy += busy_of (peer);
        if (dn_manager_ready (manager, peer))
            slots += dn_manager_own_slots (peer);
    }
    json_object_set_new (root, "waiting", json_integer (waiting));
    json_object_set_new (root, "slots", json_integer (slots));
    json_object_set_new (root, "busy", json_integer (busy));
    json_object_set_new (root, "workers", workers);
}

char *
dn_manager_status (const dn_manager_t *manager, int64_t uptime_ms)
{
    const dn_peers_t *peers = dn_manager_peers (manager);
    json_t *root = json_pack ("{s:s, s:I, s:I, s:b, s:I, s:I}", "version", DENIM_VERSION, "epoch",
                              (json_int_t) dn_manager_config (manager)->epoch, "uptime_ms",
                              (json_int_t) uptime_ms, "draining", dn_manager_draining (manager),
                              "clients", (json_int_t) dn_peers_count (peers, DN_ROLE_CLIENT),
                              "tasks", (json_int_t) dn_manager_placed (manager));
    add_peers (manager, root);
    json_t *services = json_array ();
    for (uint32_t i = 0; i < dn_services_count (dn_manager_services (manager)); i++)
        json_array_append_new (services, service_row (manager, i));
    json_object_set_new (root, "services", services);
    json_object_set_new (root, "counters", counters_row (dn_manager_counters (manager)));
    char *text = json_dumps (root, JSON_COMPACT);
    json_decref (root);
    return text;
}
