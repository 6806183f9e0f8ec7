/*  fuzz_wire.c - any bytes, decoded in every direction
 *
 *  What decodes has one form only: encoded again it has the same bytes, its lists taken apart and
 *  put together again are the same, and it can be printed into a buffer of any length.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "fuzz.h"

#include <stdlib.h>

#define ROW_ROOM 512 /* bytes that hold the struct of any row */

/*  ---- lists ---- */

static void
check_list (dn_list_t list, dn_row_t kind)
{
    union {
        max_align_t align;
        uint8_t     bytes[ROW_ROOM];
    } row;
    dn_rows_t rows = {malloc (list.rows_bytes + 1), list.rows_bytes, 0, 0};
    dn_list_t rest = list;

    dn_check (rows.bytes);
    while (dn_list_next (&rest, kind, &row))
        dn_check (dn_rows_put (&rows, kind, &row) == 0);
    dn_check (rest.count == 0 && rest.rows_bytes == 0);
    dn_check (rows.count == list.count && rows.used_bytes == list.rows_bytes);
    dn_check (list.rows_bytes == 0 || memcmp (rows.bytes, list.rows, list.rows_bytes) == 0);
    free (rows.bytes);
}

#define U8(field, text)
#define U16(field, text)
#define U32(field, text)
#define U64(field, text)
#define SESSION(field, text)
#define STR(field, max, text)       dn_check (self->field.len <= max);
#define BLOB(field, max, text)      dn_check (self->field.len <= max);
#define LIST(field, row, max, text) check_list (self->field, (dn_row_t) kind_##row);
#define R(NAME, name, text)                                                                        \
    _Static_assert(sizeof (dn_##name##_t) <= ROW_ROOM, "a row finds room");                        \
    enum { kind_##name = DN_##NAME };                                                              \
    __attribute__ ((unused)) static void check_##name (const void *self_)                          \
    {                                                                                              \
        const dn_##name##_t *self = self_;                                                         \
        (void) self;
#define M(number, NAME, name, dirs, text)                                                          \
    static void check_##name (const void *self_)                                                   \
    {                                                                                              \
        const dn_##name##_t *self = self_;                                                         \
        (void) self;
#define END(name) }
#include "wire/messages.def"
#include "wire/fields_undef.h"

static void (*const checks[DN_MSGS]) (const void *self) = {
#define R(NAME, name, text)
#define M(number, NAME, name, dirs, text) [number] = check_##name,
#include "wire/fields_none.h"
#include "wire/messages.def"
#include "wire/fields_undef.h"
};

/*  ---- the message ---- */

static void
check_print (const dn_msg_t *msg, size_t room)
{
    char *text = malloc (room);
    dn_check (text);
    size_t whole = dn_msg_print (msg, text, room);
    size_t n = strnlen (text, room);
    dn_check (n == (whole < room ? whole : room - 1));
    for (size_t i = 0; i < n; i++)
        dn_check (text[i] >= ' ' && text[i] <= '~');
    free (text);
}

/*  All but the minor version is the same; what a newer one appended is cut off. */
static void
check_encode (const dn_msg_t *msg, const uint8_t *frame, size_t frame_bytes)
{
    uint8_t *bytes = malloc (frame_bytes);
    dn_check (bytes);
    ptrdiff_t n = dn_msg_encode (msg, bytes, frame_bytes);
    dn_check (n > 0 && (size_t) n <= frame_bytes);
    dn_check (msg->minor > DN_MINOR || (size_t) n == frame_bytes);
    dn_check (bytes[0] == frame[0] && bytes[1] == DN_MINOR);
    dn_check (memcmp (bytes + 2, frame + 2, (size_t) n - 2) == 0);
    dn_check (dn_msg_encode (msg, bytes, (size_t) n - 1) == DN_WIRE_ROOM);
    free (bytes);
}

static void
check_frame (unsigned direction, const uint8_t *frame, size_t frame_bytes, size_t room)
{
    dn_msg_t msg;
    int      rc = dn_msg_decode (&msg, direction, frame, frame_bytes);

    if (rc < 0) {
        dn_check (dn_wire_strerror (rc) != dn_wire_strerror (0));
        return;
    }
    dn_check (dn_kind_name (msg.kind) && (dn_kind_directions (msg.kind) & direction));
    checks[msg.kind](&msg.u);
    check_encode (&msg, frame, frame_bytes);
    check_print (&msg, room);
    check_print (&msg, 4096);
}

int
LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t n)
{
    if (n == 0)
        return 0;
    size_t   room = 1 + bytes[0];
    uint8_t *frame = malloc (n);
    dn_check (frame);
    memcpy (frame, bytes + 1, n - 1);
    frame = realloc (frame, n > 1 ? n - 1 : 1);
    dn_check (frame);
    for (unsigned direction = C2M; direction <= S2W; direction <<= 1)
        check_frame (direction, frame, n - 1, room);
    free (frame);
    return 0;
}
