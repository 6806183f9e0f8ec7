/*  fuzz.c - an input read piece by piece, messages made of it
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "fuzz.h"

#include <stdlib.h>

#define ARENA_BYTES (512 * 1024) /* of the strings and lists of one message */
#define LIST_SHORT  8            /* rows that are read one by one; more are one row numbered */
#define KIND_NEWER  1            /* a message of a newer minor version */
#define KIND_RAW    2            /* any bytes */

static uint8_t arena[ARENA_BYTES];
static size_t  arena_used;

/*  ---- small ones ---- */

bool
fuzz_more (const fuzz_t *in)
{
    return in->at < in->end;
}

uint8_t
fuzz_u8 (fuzz_t *in)
{
    return in->at < in->end ? *in->at++ : 0;
}

uint32_t
fuzz_below (fuzz_t *in, uint32_t range)
{
    return fuzz_u8 (in) % range;
}

uint64_t
fuzz_number (fuzz_t *in)
{
    uint64_t value = 0;
    uint8_t  b = fuzz_u8 (in);

    if (b < 0xc0)
        return b;
    if (b < 0xe0)
        return (uint64_t) (b & 31) << 8 | fuzz_u8 (in);
    if (b < 0xf0)
        return 1ull << (4 * (b & 15) + 3);
    if (b < 0xf8)
        return UINT64_MAX - (b & 7);
    for (int i = 0; i < 8; i++)
        value = value << 8 | fuzz_u8 (in);
    return value;
}

int64_t
fuzz_ms (fuzz_t *in)
{
    static const int32_t steps[] = {0,    1,    2,    3,     4,     5,      10,     20,
                                    50,   100,  200,  300,   500,   1000,   1001,   2000,
                                    2500, 3000, 5000, 10000, 60000, 600000, 3600000};
    return steps[fuzz_below (in, sizeof steps / sizeof steps[0])];
}

dn_session_t
fuzz_session_of (uint8_t number)
{
    dn_session_t session = {{0}};
    if (number == 7)
        memset (session.bytes, 0xff, sizeof session.bytes);
    else if (number < 6)
        session.bytes[0] = (uint8_t) (number + 1);
    return session;
}

dn_session_t
fuzz_session (fuzz_t *in)
{
    return fuzz_session_of ((uint8_t) fuzz_below (in, 8));
}

dn_str_t
fuzz_raw (fuzz_t *in, size_t max)
{
    size_t left = (size_t) (in->end - in->at);
    size_t n = (size_t) fuzz_number (in);
    if (left)
        left--;
    n = n < left ? n : left;
    n = n < max ? n : max;
    n = n < (size_t) (in->end - in->at) ? n : (size_t) (in->end - in->at);
    dn_str_t raw = {(const char *) in->at, (uint16_t) n};
    in->at += n;
    return raw;
}

/*  Bytes of the arena; NULL when it is used up. */
static uint8_t *
take (size_t n)
{
    if (ARENA_BYTES - arena_used < n)
        return NULL;
    arena_used += n;
    return arena + arena_used - n;
}

static dn_str_t
numbered (uint64_t number, size_t max)
{
    char *text = (char *) take (24);
    if (!text)
        return dn_str ("");
    size_t n = (size_t) snprintf (text, 24, "s%u", (unsigned) number);
    return (dn_str_t){text, (uint16_t) (n < max ? n : max)};
}

static dn_str_t
repeated (char letter, size_t n)
{
    uint8_t *text = take (n);
    if (!text)
        return dn_str ("");
    memset (text, letter, n);
    return (dn_str_t){(const char *) text, (uint16_t) n};
}

dn_str_t
fuzz_str (fuzz_t *in, size_t max)
{
    static const char *const words[] = {"app", "app:add", "b",           "",
                                        "w1",  "status",  "denim:apply", "\x1b[2J\n\"\xff"};
    uint8_t                  b = fuzz_u8 (in);

    if (b >= 0xf0)
        return fuzz_raw (in, max);
    if (b >= 0xe0)
        return repeated ((char) ('a' + (b & 15)), max);
    if (in->step)
        return numbered (in->step, max);
    dn_str_t word = dn_str (words[b % (sizeof words / sizeof words[0])]);
    if (word.len > max)
        word.len = (uint16_t) max;
    return word;
}

/*  ---- messages: another reading of the table ---- */

typedef void (fill_fn) (fuzz_t *in, void *self);

static void fill_submit (fuzz_t *in, void *self);

/*  The one long blob is a SUBMIT; the short one the key of a task. */
static dn_str_t
fill_blob (fuzz_t *in, size_t max)
{
    uint8_t  b = fuzz_u8 (in);
    uint8_t *bytes = b < 0xf0 ? take (max) : NULL;
    dn_msg_t inner = {.kind = DN_MSG_SUBMIT};

    if (!bytes)
        return fuzz_raw (in, max);
    if (max < 256) {
        size_t n = b % (max + 1);
        memset (bytes, 0, max);
        bytes[0] = 1;
        bytes[max - 1] = b;
        return (dn_str_t){(const char *) bytes, (uint16_t) (b & 1 ? max : b & 2 ? n : 0)};
    }
    fill_submit (in, &inner.u.submit);
    ptrdiff_t n = dn_msg_encode (&inner, bytes, max);
    return (dn_str_t){(const char *) bytes, (uint16_t) (n > 0 ? n : 0)};
}

/*  A long list has one row over and over; its numbers and names rise. */
static dn_list_t
fill_list (fuzz_t *in, dn_row_t kind, fill_fn *fill, void *row, size_t max)
{
    uint8_t        b = fuzz_u8 (in);
    size_t         count = b < LIST_SHORT ? b : (size_t) b * 4;
    const uint8_t *start = in->at;
    uint64_t       step = in->step;
    dn_rows_t      rows = {take (0), 0, 0, 0};
    size_t         before = arena_used;
    size_t         half = (ARENA_BYTES - before) / 2; /* strings of the rows come behind them */

    take (half);
    rows.bytes_max = half;
    count = count < max ? count : max;
    for (size_t i = 0; i < count; i++) {
        if (b >= LIST_SHORT) {
            in->at = start;
            in->step = i;
        }
        fill (in, row);
        if (dn_rows_put (&rows, kind, row) < 0)
            break;
    }
    in->step = step;
    arena_used = before + rows.used_bytes; /* the strings are copied into the rows */
    return dn_rows_list (&rows);
}

#define U8(field, text)        self->field = (uint8_t) fuzz_number (in);
#define U16(field, text)       self->field = (uint16_t) fuzz_number (in);
#define U32(field, text)       self->field = (uint32_t) fuzz_number (in);
#define U64(field, text)       self->field = fuzz_number (in) + in->step;
#define SESSION(field, text)   self->field = fuzz_session (in);
#define STR(field, max, text)  self->field = fuzz_str (in, max);
#define BLOB(field, max, text) self->field = fill_blob (in, max);
#define LIST(field, row, max, text)                                                                \
    self->field = fill_list (in, (dn_row_t) kind_##row, fill_##row, &(dn_##row##_t){0}, max);
#define R(NAME, name, text)                                                                        \
    enum { kind_##name = DN_##NAME };                                                              \
    static void fill_##name (fuzz_t *in, void *self_)                                              \
    {                                                                                              \
        dn_##name##_t *self = self_;
#define M(number, NAME, name, dirs, text)                                                          \
    static void fill_##name (fuzz_t *in, void *self_)                                              \
    {                                                                                              \
        dn_##name##_t *self = self_;                                                               \
        (void) in, (void) self;
#define END(name) }
#include "wire/messages.def"
#include "wire/fields_undef.h"

static fill_fn *const fills[DN_MSGS] = {
#define R(NAME, name, text)
#define M(number, NAME, name, dirs, text) [number] = fill_##name,
#include "wire/fields_none.h"
#include "wire/messages.def"
#include "wire/fields_undef.h"
};

/*  ---- frames ---- */

static uint8_t room[DN_HEADER_MAX];

/*  The message with that number, or the next one that comes from there. */
static unsigned
pick_kind (unsigned number, unsigned directions)
{
    unsigned kind = number % DN_MSGS;
    while (!(dn_kind_directions (kind) & directions))
        kind = (kind + 1) % DN_MSGS;
    return kind;
}

static size_t
make_frame (fuzz_t *in, unsigned directions)
{
    uint8_t  b = fuzz_u8 (in);
    unsigned how = b / DN_MSGS;
    dn_msg_t msg = {.kind = DN_MSG_NONE};

    if (how == KIND_RAW) {
        dn_str_t raw = fuzz_raw (in, 4096);
        if (raw.len)
            memcpy (room, raw.ptr, raw.len);
        return raw.len;
    }
    msg.kind = (dn_kind_t) pick_kind (b, directions);
    fills[msg.kind](in, &msg.u);
    ptrdiff_t n = dn_msg_encode (&msg, room, sizeof room);
    dn_check (n > 0);
    if (how == KIND_NEWER) {
        size_t more = (size_t) fuzz_number (in) % 70000;
        dn_check ((size_t) n + more <= sizeof room);
        room[1] = DN_MINOR + 1;
        memset (room + n, 'x', more);
        n += (ptrdiff_t) more;
    }
    return (size_t) n;
}

void
fuzz_frame (fuzz_t *in, unsigned directions, fuzz_frame_t *frame)
{
    arena_used = 0;
    in->step = 0;
    frame->frame_bytes = make_frame (in, directions);
    frame->bytes = malloc (frame->frame_bytes ? frame->frame_bytes : 1);
    dn_check (frame->bytes);
    memcpy (frame->bytes, room, frame->frame_bytes);
    frame->error = dn_msg_decode (&frame->msg, directions, frame->bytes, frame->frame_bytes);
}

void
fuzz_frame_free (fuzz_frame_t *frame)
{
    free (frame->bytes);
    frame->bytes = NULL;
}

/*  ---- what comes out ---- */

void
fuzz_sendable (const dn_msg_t *msg, unsigned direction)
{
    dn_msg_t  again;
    ptrdiff_t n = dn_msg_encode (msg, room, sizeof room);
    dn_check (n > 0);
    dn_check (dn_msg_decode (&again, direction, room, (size_t) n) == 0);
}

dn_effects_t *
fuzz_effects (int number)
{
    static dn_effects_t *lists[FUZZ_EFFECTS];
    if (!lists[number])
        lists[number] = dn_effects_new ();
    dn_check (lists[number]);
    dn_effects_clear (lists[number]);
    return lists[number];
}

void
fuzz_touch (const dn_effect_t *row)
{
    char   text[256];
    size_t seen = 0;

    if (row->kind == DN_FX_LOG)
        dn_check (row->event && row->level <= DN_FX_DEBUG);
    seen += row->event ? strlen (row->event) : 0;
    seen += row->name ? strlen (row->name) : 0;
    seen += row->text ? strlen (row->text) : 0;
    if (row->msg.kind != DN_MSG_NONE)
        seen += dn_msg_print (&row->msg, text, sizeof text);
    dn_check (seen < DN_EFFECTS_SCRATCH * 4);
}
