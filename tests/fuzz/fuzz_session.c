/*  fuzz_session.c - the client's machine against a manager that says anything at any time
 *
 *  Calls are submitted, cancelled, left; questions are asked; the socket refuses, breaks, opens;
 *  the manager sends messages of all kinds; time goes on. After each event the session asserts what
 *  must hold of it. In the end the client is closed, and every call has ended exactly once.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "fuzz.h"

#include "core/session.h"

#include <stdlib.h>

#define WINDOW_MAX    2000
#define QUESTIONS_MAX 4096
#define TICKS_MAX     200 /* until the deadline is not now any more */

/*  Something asked for: the memory that is lent to the session until its end. */
typedef struct {
    dn_handle_t handle; /* of a call; DN_NONE: the row is free */
    char       *lent;
} asked_t;

typedef struct {
    dn_session_core_t *core;
    dn_effects_t      *fx;
    int64_t            now_ms;
    bool               deaf; /* the socket takes nothing until it is said to be open */
    bool               refusing;
    uint32_t           window;
    asked_t           *call;     /* by the row of its handle */
    char             **question; /* by its number; NULL: none, or answered */
    uint64_t           questions;
} world_t;

/*  Room for the bytes of both, with nothing behind them. */
static char *
lend (dn_str_t *a, dn_str_t *b)
{
    char *lent = malloc ((size_t) a->len + b->len + 1u);
    dn_check (lent);
    char *at = lent + 1;
    if (a->len)
        memcpy (at, a->ptr, a->len);
    if (b->len)
        memcpy (at + a->len, b->ptr, b->len);
    *a = (dn_str_t){at, a->len};
    *b = (dn_str_t){at + a->len, b->len};
    return lent;
}

/*  ---- effects ---- */

static asked_t *
call_of (const world_t *world, dn_handle_t handle)
{
    uint32_t row = (uint32_t) handle;
    dn_check (row < world->window && world->call[row].handle == handle);
    return &world->call[row];
}

static void
end_call (world_t *world, dn_handle_t handle)
{
    asked_t *call = call_of (world, handle);
    free (call->lent);
    *call = (asked_t){0};
}

static void
end_question (world_t *world, uint64_t number)
{
    dn_check (number < world->questions && world->question[number]);
    free (world->question[number]);
    world->question[number] = NULL;
}

/*  As the shell does it: what is refused is appended to the same list. */
static void
perform_send (world_t *world, const dn_effect_t *row)
{
    fuzz_sendable (&row->msg, C2M);
    if (row->kind == DN_FX_SEND_KEPT)
        call_of (world, row->handle);
    world->deaf = world->deaf || world->refusing;
    if (world->deaf)
        dn_session_refused (world->core, world->now_ms, row, world->fx);
}

static void
perform (world_t *world)
{
    for (uint32_t i = 0; i < world->fx->count; i++) {
        const dn_effect_t *row = &world->fx->row[i];
        fuzz_touch (row);
        if (row->kind == DN_FX_SEND || row->kind == DN_FX_SEND_KEPT)
            perform_send (world, row);
        else if (row->kind == DN_FX_COMPLETE) {
            dn_check (row->msg.kind == DN_MSG_RESULT && row->msg.u.result.text.len <= 1000);
            end_call (world, row->handle);
        } else if (row->kind == DN_FX_ANSWER)
            end_question (world, row->number);
        else if (row->kind == DN_FX_PLACED || row->kind == DN_FX_PROGRESS)
            call_of (world, row->handle);
        else if (row->kind == DN_FX_FRESH)
            world->deaf = true;
        else
            dn_check (row->kind == DN_FX_LOG);
    }
    dn_effects_clear (world->fx);
}

static void
settle (world_t *world)
{
    perform (world);
    dn_session_check (world->core);
}

/*  ---- events ---- */

static void
tick (world_t *world)
{
    int ticks = 0;
    do {
        dn_session_tick (world->core, world->now_ms, world->fx);
        settle (world);
        dn_check (++ticks < TICKS_MAX);
    } while (dn_session_deadline_ms (world->core) <= world->now_ms);
}

static void
submit (world_t *world, const dn_request_t *request)
{
    dn_request_t mine = *request;
    dn_handle_t  handle = DN_NONE;
    char        *lent = lend (&mine.task, &mine.parent);

    if (dn_session_submit (world->core, world->now_ms, &mine, &handle, world->fx) < 0) {
        dn_check (dn_session_facts (world->core).in_flight == world->window);
        free (lent);
        return;
    }
    uint32_t row = (uint32_t) handle;
    dn_check (row < world->window && !world->call[row].handle);
    world->call[row] = (asked_t){handle, lent};
    perform (world);
}

/*  One call, or many, all of one service or each of its own. */
static void
on_submit (world_t *world, fuzz_t *in)
{
    uint8_t      how = fuzz_u8 (in);
    uint32_t     count = how & 1 ? 1 : 10u * fuzz_u8 (in);
    dn_request_t request = {.codec = 1,
                            .priority = how >> 1 & 1 ? 2 : how >> 2 & 1,
                            .idempotent = how >> 3 & 1,
                            .finish = how >> 4 & 1,
                            .deadline_ms = DN_NEVER};
    char         name[16];

    if (how >> 5 & 1)
        request.deadline_ms = world->now_ms + fuzz_ms (in);
    if (how >> 6 & 1)
        request.payload_bytes = fuzz_number (in);
    request.service = fuzz_str (in, 127);
    request.service.len = (uint16_t) strnlen (request.service.ptr, request.service.len);
    request.task = fuzz_str (in, 255);
    request.parent = fuzz_raw (in, how & 1 ? 24 : 0);
    for (uint32_t i = 0; i < count; i++) {
        if (count > 1 && how >> 7 & 1)
            request.service = (dn_str_t){name, (uint16_t) snprintf (name, sizeof name, "s%u", i)};
        submit (world, &request);
    }
}

static void
on_ask (world_t *world, fuzz_t *in)
{
    dn_str_t verb = fuzz_str (in, 31);
    dn_str_t args = fuzz_str (in, 4000);
    if (world->questions == QUESTIONS_MAX)
        return;
    uint64_t number = world->questions++;
    world->question[number] = lend (&verb, &args);
    dn_session_ask (world->core, number, verb, args, world->now_ms + fuzz_ms (in), world->fx);
}

static void
on_message (world_t *world, fuzz_t *in)
{
    fuzz_frame_t frame;
    uint64_t     payload_bytes = fuzz_number (in);

    fuzz_frame (in, M2C, &frame);
    if (frame.error == 0)
        dn_session_input (world->core, world->now_ms, &frame.msg, payload_bytes, world->fx);
    settle (world);
    fuzz_frame_free (&frame);
}

static void
on_time (world_t *world, fuzz_t *in)
{
    int64_t end_ms = world->now_ms + fuzz_ms (in);
    bool    jump = fuzz_below (in, 2);

    for (int i = 0; i < TICKS_MAX && !jump; i++) {
        int64_t due_ms = dn_session_deadline_ms (world->core);
        if (due_ms > end_ms)
            break;
        world->now_ms = due_ms > world->now_ms ? due_ms : world->now_ms;
        tick (world);
    }
    world->now_ms = end_ms;
    tick (world);
}

/*  A call that there is, or any handle. */
static dn_handle_t
pick (const world_t *world, fuzz_t *in)
{
    uint64_t row = fuzz_number (in);
    return row < world->window ? world->call[row].handle : row;
}

/*  The shell says so when it waited for it, and when there was no need to. */
static void
on_opened (world_t *world)
{
    world->deaf = false;
    dn_session_opened (world->core, world->now_ms, world->fx);
}

static void
on_event (world_t *world, fuzz_t *in)
{
    uint8_t event = fuzz_u8 (in);

    if (event < 100)
        on_message (world, in);
    else if (event < 130)
        on_submit (world, in);
    else if (event < 160)
        on_time (world, in);
    else if (event < 180)
        on_opened (world);
    else if (event < 200)
        dn_session_cancel (world->core, pick (world, in), event & 1, world->fx);
    else if (event < 210)
        dn_session_abandon (world->core, pick (world, in), world->fx);
    else if (event < 230)
        on_ask (world, in);
    else if (event < 240)
        dn_session_broken (world->core);
    else
        world->refusing = !world->refusing;
    settle (world);
}

/*  ---- one life ---- */

static void
finish (world_t *world)
{
    dn_session_close (world->core, world->fx);
    settle (world);
    for (int i = 0; dn_session_facts (world->core).in_flight; i++) {
        dn_check (i < TICKS_MAX);
        dn_session_tick (world->core, world->now_ms, world->fx);
        settle (world);
    }
    for (uint32_t row = 0; row < world->window; row++)
        dn_check (!world->call[row].handle);
    dn_session_destroy (&world->core);
    for (uint64_t i = 0; i < world->questions; i++)
        free (world->question[i]); /* those that had no answer yet */
    free (world->question);
    free (world->call);
}

int
LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t n)
{
    static const uint32_t windows[] = {1, 3, 20, 300, WINDOW_MAX};
    fuzz_t                in = {bytes, bytes + n, 0};
    uint8_t               how = fuzz_u8 (&in);
    dn_session_config_t   config = {.id = fuzz_session_of (0),
                                    .seed = 7,
                                    .name = "fuzz",
                                    .address = "tcp://127.0.0.1:5570",
                                    .window = windows[how % 5],
                                    .connect_timeout_ms = how & 128 ? -1 : DN_CONNECT_TIMEOUT_MS,
                                    .unknown_grace_ms = how & 64 ? 0 : DN_UNKNOWN_GRACE_MS};
    world_t               world = {.now_ms = 1000, .deaf = true, .window = config.window};

    world.core = dn_session_new (&config, world.now_ms);
    world.fx = fuzz_effects (0);
    world.call = calloc (world.window, sizeof *world.call);
    world.question = calloc (QUESTIONS_MAX, sizeof *world.question);
    world.questions = 1;
    dn_check (world.core && world.call && world.question);
    while (fuzz_more (&in))
        on_event (&world, &in);
    finish (&world);
    return 0;
}
