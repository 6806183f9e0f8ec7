/*  fuzz_fleet.c - a worker's machine against a manager and slots that say anything at any time
 *
 *  The manager and the processes of slots send messages of all kinds; slots start tasks, end, are
 *  not made, lie about what they have started; the socket refuses, breaks, opens; time goes on.
 *  Each effect is performed as the shell does it, with the calls that are made while it is. After
 *  each event the fleet asserts what must hold of it.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "fuzz.h"

#include "core/fleet.h"

#define LEVELS    4 /* as the shell has them */
#define SLOTS_MAX 4
#define TICKS_MAX 1000
#define TICKS_ALL 5000 /* of one input; after those the clock jumps: each is followed by a check */

typedef struct {
    bool     alive;
    bool     failed;  /* it could not be made; the fleet will be told */
    uint32_t sent;    /* number of the task that was handed last */
    uint32_t started; /* as its page says: what it likes */
} process_t;

typedef struct {
    dn_fleet_t         *core;
    dn_effects_t       *fx[LEVELS];
    int                 level;
    int64_t             now_ms;
    uint32_t            slots;
    bool                full;   /* the socket takes nothing */
    bool                barren; /* no process can be made */
    bool                open;   /* there is a socket */
    uint32_t            link;   /* number of the last HELLO */
    bool                exited; /* EXIT was said */
    uint32_t            ticks;
    const fuzz_frame_t *in_hand;                /* NULL: none */
    process_t           process[SLOTS_MAX + 1]; /* the last one is the zygote */
    bool                kept[DN_HOLDS_MAX];     /* by row of the handle */
} world_t;

static uint32_t
row_of (const world_t *world, uint32_t slot)
{
    dn_check (slot < world->slots || slot == DN_SLOT_ZYGOTE);
    return slot == DN_SLOT_ZYGOTE ? SLOTS_MAX : slot;
}

static bool *
kept_under (world_t *world, dn_handle_t handle)
{
    dn_check ((uint32_t) handle < DN_HOLDS_MAX);
    return &world->kept[(uint32_t) handle];
}

/*  ---- effects ---- */

static dn_effects_t *
begin (world_t *world)
{
    dn_check (world->level < LEVELS);
    dn_effects_t *fx = world->fx[world->level++];
    dn_effects_clear (fx);
    return fx;
}

static void end (world_t *world);

static void
perform_send (world_t *world, const dn_effect_t *row)
{
    if (row->kind == DN_FX_SEND) {
        fuzz_sendable (&row->msg, W2M);
        if (row->msg.kind == DN_MSG_WORKER_HELLO)
            world->link = row->msg.u.worker_hello.link;
    } else if (row->kind == DN_FX_RELAY)
        dn_check (world->in_hand && (dn_kind_directions (world->in_hand->msg.kind) & W2M));
    else
        dn_check (*kept_under (world, row->handle));
    bool refused = world->full || !world->open;
    if (!refused && !row->handle)
        return;
    dn_effects_t *fx = begin (world);
    if (refused)
        dn_fleet_refused (world->core, row, fx);
    else
        dn_fleet_sent (world->core, row->handle, fx);
    end (world);
}

static void
perform_start (world_t *world, const dn_effect_t *row)
{
    uint32_t   slot = row->kind == DN_FX_START_ZYGOTE ? DN_SLOT_ZYGOTE : row->slot;
    process_t *process = &world->process[row_of (world, slot)];
    bool       orphan = row->kind == DN_FX_FORK && !world->process[SLOTS_MAX].alive;

    dn_check (!process->alive && !process->failed);
    *process = (process_t){.alive = !world->barren && !orphan};
    process->failed = !process->alive;
}

static void
perform_hand (world_t *world, const dn_effect_t *row)
{
    process_t *process = &world->process[row_of (world, row->slot)];
    dn_check (process->alive && *kept_under (world, row->handle));
    dn_check (row->number > process->sent && row->number <= DN_CHANNEL_NUMBER_MAX);
    process->sent = (uint32_t) row->number;
}

static void
perform_take_back (world_t *world, const dn_effect_t *row)
{
    process_t *process = &world->process[row_of (world, row->slot)];
    dn_check (row->slot != DN_SLOT_ZYGOTE && row->number <= process->sent);
    dn_effects_t *fx = begin (world);
    dn_fleet_taken_back (world->core, world->now_ms, row->slot, process->started, fx);
    end (world);
}

static void
perform (world_t *world, const dn_effect_t *row)
{
    fuzz_touch (row);
    if (row->kind == DN_FX_SEND || row->kind == DN_FX_RELAY || row->kind == DN_FX_RELAY_KEPT)
        perform_send (world, row);
    else if (row->kind == DN_FX_START_ZYGOTE || row->kind == DN_FX_FORK || row->kind == DN_FX_EXEC)
        perform_start (world, row);
    else if (row->kind == DN_FX_HAND)
        perform_hand (world, row);
    else if (row->kind == DN_FX_TAKE_BACK)
        perform_take_back (world, row);
    else if (row->kind == DN_FX_KEEP) {
        dn_check (world->in_hand);
        world->in_hand = NULL; /* it has moved */
        *kept_under (world, row->handle) = true;
    } else if (row->kind == DN_FX_DROP) {
        dn_check (*kept_under (world, row->handle));
        *kept_under (world, row->handle) = false;
    } else if (row->kind == DN_FX_FRESH)
        world->open = true;
    else if (row->kind == DN_FX_EXIT)
        world->exited = true;
    else if (row->kind == DN_FX_KILL || row->kind == DN_FX_STOP || row->kind == DN_FX_INTERRUPT)
        row_of (world, row->slot);
    else
        dn_check (row->kind == DN_FX_LOG);
}

static void
end (world_t *world)
{
    dn_effects_t *fx = world->fx[world->level - 1];
    for (uint32_t i = 0; i < fx->count; i++)
        perform (world, &fx->row[i]);
    if (--world->level == 0)
        dn_fleet_check (world->core);
}

/*  What could not be made is told when the event is over. */
static void
tell_failed (world_t *world)
{
    for (uint32_t row = 0; row <= SLOTS_MAX; row++) {
        if (!world->process[row].failed)
            continue;
        world->process[row].failed = false;
        dn_effects_t *fx = begin (world);
        dn_fleet_start_failed (world->core, world->now_ms, row == SLOTS_MAX ? DN_SLOT_ZYGOTE : row,
                               fx);
        end (world);
    }
}

/*  ---- events ---- */

static void
on_manager (world_t *world, fuzz_t *in)
{
    fuzz_frame_t frame;
    uint64_t     payload_bytes = fuzz_number (in) * 16;

    fuzz_frame (in, M2W, &frame);
    bool ours = fuzz_number (in) % 8 != 0; /* mostly of the newest link: others are dropped */
    if (ours && frame.msg.kind == DN_MSG_RUN)
        frame.msg.u.run.link = world->link;
    if (ours && frame.msg.kind == DN_MSG_WELCOME)
        frame.msg.u.welcome.link = world->link;
    if (ours && frame.msg.kind == DN_MSG_SETTLED)
        frame.msg.u.settled.link = world->link;
    if (frame.error == 0 && world->open) {
        world->in_hand = &frame;
        dn_effects_t *fx = begin (world);
        dn_fleet_input (world->core, world->now_ms, &frame.msg, payload_bytes, fx);
        end (world);
    }
    world->in_hand = NULL;
    fuzz_frame_free (&frame);
}

/*  What the shell keeps to itself does not reach the fleet. */
static void
on_slot (world_t *world, fuzz_t *in, uint32_t slot)
{
    fuzz_frame_t frame;
    uint64_t     payload_bytes = fuzz_number (in) * 16;

    fuzz_frame (in, S2W, &frame);
    bool own = frame.error == 0 && slot == DN_SLOT_ZYGOTE &&
               (frame.msg.kind == DN_MSG_FORKED || frame.msg.kind == DN_MSG_EXITED);
    if (world->process[row_of (world, slot)].alive && !own) {
        world->in_hand = frame.error ? NULL : &frame;
        dn_effects_t *fx = begin (world);
        if (frame.error)
            dn_fleet_slot_garbled (world->core, world->now_ms, slot, fx);
        else
            dn_fleet_from_slot (world->core, world->now_ms, slot, &frame.msg, payload_bytes, fx);
        end (world);
    }
    world->in_hand = NULL;
    fuzz_frame_free (&frame);
}

static void
on_end (world_t *world, fuzz_t *in, uint32_t slot)
{
    static const int statuses[] = {0, 1 << 8, 9, 11, 0x80 | 6, -1, 15, 255 << 8};
    process_t       *process = &world->process[row_of (world, slot)];
    uint8_t          how = fuzz_u8 (in);
    dn_slot_exit_t   exited = {statuses[how & 7], process->started, how & 8};

    if (!process->alive)
        return;
    *process = (process_t){.alive = false};
    dn_effects_t *fx = begin (world);
    dn_fleet_exited (world->core, world->now_ms, slot, &exited, fx);
    end (world);
}

static void
on_time (world_t *world, fuzz_t *in)
{
    int64_t end_ms = world->now_ms + fuzz_ms (in);
    bool    jump = fuzz_below (in, 2);

    for (int at_once = 0; !world->exited;) {
        int64_t due_ms = dn_fleet_deadline_ms (world->core);
        if (due_ms > end_ms)
            break;
        int64_t next_ms = jump || ++world->ticks > TICKS_ALL ? end_ms : due_ms;
        at_once = next_ms > world->now_ms ? 0 : at_once + 1;
        dn_check (at_once < TICKS_MAX);
        if (next_ms > world->now_ms)
            world->now_ms = next_ms;
        dn_effects_t *fx = begin (world);
        dn_fleet_tick (world->core, world->now_ms, fx);
        end (world);
        tell_failed (world);
    }
    world->now_ms = end_ms;
}

/*  A slot claims its next task, or says that it has started something else. */
static void
on_start (world_t *world, fuzz_t *in, uint32_t slot)
{
    process_t *process = &world->process[row_of (world, slot)];
    uint64_t   lie = fuzz_number (in);
    if (process->started < process->sent)
        process->started++;
    if (lie > 1)
        process->started = (uint32_t) lie;
}

static void
on_rss (world_t *world, fuzz_t *in, uint32_t slot)
{
    dn_effects_t *fx = begin (world);
    dn_fleet_rss (world->core, world->now_ms, slot, fuzz_number (in), fx);
    end (world);
}

static void
on_writable (world_t *world)
{
    world->full = false;
    if (!world->open || !dn_fleet_wants_writable (world->core))
        return;
    dn_effects_t *fx = begin (world);
    dn_fleet_writable (world->core, world->now_ms, fx);
    end (world);
}

static void
on_rare (world_t *world, fuzz_t *in, uint32_t slot)
{
    uint32_t event = fuzz_below (in, 8);

    if (event == 0)
        world->full = true;
    else if (event == 1)
        world->barren = !world->barren;
    else if (event == 2)
        on_rss (world, in, fuzz_below (in, 2) ? slot : world->slots);
    else {
        dn_effects_t *fx = begin (world);
        if (event == 3)
            dn_fleet_disconnected (world->core, world->now_ms, fx);
        else if (event == 4)
            dn_fleet_signal (world->core, world->now_ms, fx);
        end (world);
    }
}

static void
on_event (world_t *world, fuzz_t *in)
{
    uint8_t  event = fuzz_u8 (in);
    uint32_t number = event % (world->slots + 1);
    uint32_t slot = number < world->slots ? number : DN_SLOT_ZYGOTE;

    if (event < 80)
        on_manager (world, in);
    else if (event < 140)
        on_slot (world, in, slot);
    else if (event < 170)
        on_time (world, in);
    else if (event < 185)
        on_end (world, in, slot);
    else if (event < 210)
        on_start (world, in, slot);
    else if (event < 230)
        on_writable (world);
    else
        on_rare (world, in, slot);
    tell_failed (world);
    dn_fleet_task_in (world->core, slot);
}

/*  ---- one life ---- */

static dn_fleet_config_t
make_config (fuzz_t *in)
{
    uint8_t how = fuzz_u8 (in);
    uint8_t limits = fuzz_u8 (in);
    return (dn_fleet_config_t){.name = "w1",
                               .host = "h1",
                               .apps = "app",
                               .pid = 42,
                               .session = fuzz_session_of (3),
                               .seed = 1,
                               .slots = 1 + (how & 3),
                               .standby = how & 4 ? 2000 : 3,
                               .preload = how & 8,
                               .allow_pickle = how & 16,
                               .soft_limit_ms = limits & 1 ? 50 : 0,
                               .hard_limit_ms = limits & 2 ? 100 : 0,
                               .grace_ms = limits & 4 ? 20 : 500,
                               .rss_max = limits & 8 ? 100 : 0,
                               .recycle_tasks = limits & 16 ? 2 : 0,
                               .outbox_bytes = limits & 32 ? 300 : 1000000};
}

int
LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t n)
{
    static world_t    world;
    fuzz_t            in = {bytes, bytes + n, 0};
    dn_fleet_config_t config = make_config (&in);

    memset (&world, 0, sizeof world);
    world.core = dn_fleet_new (&config);
    world.slots = config.slots;
    world.now_ms = 1000;
    dn_check (world.core);
    for (int i = 0; i < LEVELS; i++)
        world.fx[i] = fuzz_effects (i);
    dn_effects_t *fx = begin (&world);
    dn_fleet_start (world.core, world.now_ms, fx);
    end (&world);
    while (fuzz_more (&in) && !world.exited)
        on_event (&world, &in);
    dn_fleet_destroy (&world.core);
    return 0;
}
