/*  fuzz_manager.c - the manager's machine against peers that say anything at any time
 *
 *  A few clients and workers, over a few links each, send messages of all kinds; frames are
 *  malformed, sockets refuse what is sent, time goes on. After each event the manager asserts what
 *  must hold of it, and all that it wants sent must be a message for that side. Its tables are so
 *  small that they are full soon.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "fuzz.h"

#include "core/manager.h"

#define LINKS      16 /* from 1; those from here on are workers' */
#define WORKERS_AT 9
#define TICKS_MAX  200 /* at the same time, until no more is due */

typedef struct {
    dn_manager_t       *core;
    dn_effects_t       *fx;
    dn_effects_t       *undo;
    int64_t             now_ms;
    uint32_t            deaf;    /* links whose socket takes nothing, a bit for each */
    bool                gone;    /* and it is because the peer has gone */
    const fuzz_frame_t *in_hand; /* NULL: none */
} world_t;

static unsigned
side_of (dn_link_t link)
{
    dn_check (link >= 1 && link <= LINKS);
    return link >= WORKERS_AT ? M2W : M2C;
}

/*  ---- effects ---- */

static void
check_send (const world_t *world, const dn_effect_t *row)
{
    unsigned side = side_of (row->to);
    if (row->kind == DN_FX_SEND || row->kind == DN_FX_FORWARD)
        fuzz_sendable (&row->msg, side);
    else {
        dn_check (row->kind == DN_FX_RELAY);
        dn_check (dn_kind_directions (world->in_hand->msg.kind) & side);
    }
    dn_check (row->kind == DN_FX_SEND || world->in_hand);
}

static void
perform (world_t *world, dn_effects_t *fx, dn_effects_t *undo)
{
    for (uint32_t i = 0; i < fx->count; i++) {
        const dn_effect_t *row = &fx->row[i];
        fuzz_touch (row);
        if (row->kind == DN_FX_LOG)
            continue;
        if (row->kind == DN_FX_ASKED) {
            dn_check (side_of (row->to) == M2C && row->msg.kind == DN_MSG_ASK);
            continue;
        }
        check_send (world, row);
        if (!undo || !(world->deaf >> row->to & 1))
            continue;
        dn_manager_refused (world->core, world->now_ms, row, world->gone, undo);
        perform (world, undo, NULL);
        dn_effects_clear (undo);
    }
}

static void
settle (world_t *world)
{
    perform (world, world->fx, world->undo);
    dn_effects_clear (world->fx);
    dn_manager_check (world->core);
}

/*  ---- events ---- */

static void
on_message (world_t *world, fuzz_t *in, dn_link_t link)
{
    fuzz_frame_t frame;
    uint64_t     payload_bytes = fuzz_number (in);

    fuzz_frame (in, link >= WORKERS_AT ? W2M : C2M, &frame);
    if (frame.error)
        dn_manager_malformed (world->core, world->now_ms, link, frame.error, world->fx);
    else {
        size_t             n = frame.frame_bytes <= UINT16_MAX ? frame.frame_bytes : 0;
        dn_str_t           header = {(const char *) frame.bytes, (uint16_t) n};
        dn_manager_event_t event = {world->now_ms, link, &frame.msg, header, payload_bytes};
        world->in_hand = &frame;
        dn_manager_input (world->core, &event, world->fx);
    }
    settle (world);
    world->in_hand = NULL;
    fuzz_frame_free (&frame);
}

/*  Time goes on, in one step or from deadline to deadline. Nothing may be due for ever. */
static void
on_time (world_t *world, fuzz_t *in)
{
    int64_t end_ms = world->now_ms + fuzz_ms (in);
    bool    jump = fuzz_below (in, 2);

    for (int i = 0, at_once = 0; i < TICKS_MAX; i++) {
        int64_t due_ms = dn_manager_deadline_ms (world->core);
        if (due_ms > end_ms)
            break;
        int64_t next_ms = jump || i == TICKS_MAX / 2 ? end_ms : due_ms;
        at_once = next_ms > world->now_ms ? 0 : at_once + 1;
        dn_check (at_once < TICKS_MAX / 4);
        if (next_ms > world->now_ms)
            world->now_ms = next_ms;
        dn_manager_tick (world->core, world->now_ms, world->fx);
        settle (world);
    }
    world->now_ms = end_ms;
}

static void
on_event (world_t *world, fuzz_t *in)
{
    uint8_t event = fuzz_u8 (in);

    if (event < 200)
        on_message (world, in, 1 + event % LINKS);
    else if (event < 230)
        on_time (world, in);
    else if (event < 240) {
        world->deaf ^= 2u << event % LINKS;
        world->gone = fuzz_below (in, 2);
    } else if (event < 250) {
        dn_manager_malformed (world->core, world->now_ms, 1 + event % LINKS, DN_WIRE_SHORT,
                              world->fx);
        settle (world);
    } else if (event < 252) {
        dn_manager_drain (world->core, world->fx);
        settle (world);
    }
}

int
LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t n)
{
    fuzz_t              in = {bytes, bytes + n, 0};
    uint8_t             tables = fuzz_u8 (&in);
    dn_manager_config_t config = {.epoch = 7,
                                  .seed = 5,
                                  .clients_max = 1 + (tables & 3),
                                  .workers_max = 1 + (tables >> 2 & 1),
                                  .tasks_max = tables & 8 ? 2500 : 5,
                                  .services_max = tables & 16 ? 3 : 300,
                                  .client_share = tables & 32 ? 50 : 0,
                                  .heartbeat_ms = 1000,
                                  .liveness = 3,
                                  .payload_max = 100,
                                  .standby_ms = 100,
                                  .retry_max_ms = 2000,
                                  .client_bytes = 5000};
    world_t             world = {.now_ms = 50000};

    world.core = dn_manager_new (&config, world.now_ms);
    world.fx = fuzz_effects (0);
    world.undo = fuzz_effects (1);
    dn_check (world.core);
    while (fuzz_more (&in))
        on_event (&world, &in);
    dn_manager_destroy (&world.core);
    return 0;
}
