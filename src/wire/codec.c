/*  codec.c - decode and encode, each one reading of the table of messages
 *
 *  Owns the bounds: every limit of a field is checked here and nowhere else. A reading of
 *  messages.def makes one small function for each message; the functions on top of the file are all
 *  that they call.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "wire/wire.h"

/*  ---- bytes in: the first error stays, and all that follows reads zero ---- */

typedef struct {
    const uint8_t *at;
    const uint8_t *end;
    int            error;
} dn_in_t;

static const uint8_t *
take (dn_in_t *in, size_t n)
{
    const uint8_t *at = in->at;
    if (in->error || (size_t) (in->end - at) < n) {
        if (!in->error)
            in->error = DN_WIRE_SHORT;
        return NULL;
    }
    in->at += n;
    return at;
}

static uint64_t
get_uint (dn_in_t *in, size_t n)
{
    const uint8_t *at = take (in, n);
    uint64_t       value = 0;
    if (at)
        for (size_t i = 0; i < n; i++)
            value = value << 8 | at[i];
    return value;
}

static void
get_session (dn_in_t *in, dn_session_t *field)
{
    const uint8_t *at = take (in, sizeof field->bytes);
    if (at)
        memcpy (field->bytes, at, sizeof field->bytes);
    else
        memset (field->bytes, 0, sizeof field->bytes);
}

static void
get_str (dn_in_t *in, dn_str_t *field, size_t max)
{
    size_t len = (size_t) get_uint (in, max < 256 ? 1 : 2);
    if (len > max && !in->error)
        in->error = DN_WIRE_LONG;
    const uint8_t *at = take (in, len);
    field->ptr = at ? (const char *) at : "";
    field->len = at ? (uint16_t) len : 0;
}

/*  ---- bytes out: the first error stays, and all that follows writes nothing ---- */

typedef struct {
    uint8_t *at;
    uint8_t *end;
    int      error;
} dn_out_t;

static uint8_t *
room (dn_out_t *out, size_t n)
{
    uint8_t *at = out->at;
    if (out->error || (size_t) (out->end - at) < n) {
        if (!out->error)
            out->error = DN_WIRE_ROOM;
        return NULL;
    }
    out->at += n;
    return at;
}

static void
put_uint (dn_out_t *out, uint64_t value, size_t n)
{
    uint8_t *at = room (out, n);
    if (at)
        for (size_t i = n; i-- > 0; value >>= 8)
            at[i] = (uint8_t) value;
}

static void
put_bytes (dn_out_t *out, const void *bytes, size_t n)
{
    uint8_t *at = room (out, n);
    if (at && n)
        memcpy (at, bytes, n);
}

static void
put_str (dn_out_t *out, dn_str_t field, size_t max)
{
    if (field.len > max && !out->error)
        out->error = DN_WIRE_LONG;
    put_uint (out, field.len, max < 256 ? 1 : 2);
    put_bytes (out, field.ptr, field.len);
}

static void
put_list (dn_out_t *out, dn_list_t field, size_t max)
{
    if (field.count > max && !out->error)
        out->error = DN_WIRE_LONG;
    put_uint (out, field.count, 2);
    put_uint (out, field.rows_bytes, 4);
    put_bytes (out, field.rows, field.rows_bytes);
}

/*  ---- reading the table: rows decode, rows encode ---- */

typedef void (row_decode_fn) (dn_in_t *in, void *row);
typedef void (row_encode_fn) (dn_out_t *out, const void *row);

/*  A list is checked row by row before anyone sees it. `scratch` is a struct of its row. */
static void
get_list (dn_in_t *in, dn_list_t *field, row_decode_fn *decode, void *scratch, size_t max)
{
    size_t count = (size_t) get_uint (in, 2);
    size_t rows_bytes = (size_t) get_uint (in, 4);
    if (count > max && !in->error)
        in->error = DN_WIRE_LONG;
    const uint8_t *at = take (in, rows_bytes);
    *field = (dn_list_t){0};
    if (!at)
        return;

    dn_in_t part = {at, at + rows_bytes, 0};
    for (size_t i = 0; i < count && !part.error; i++)
        decode (&part, scratch);
    if (!part.error && part.at != part.end)
        part.error = DN_WIRE_LEFT_OVER;
    in->error = part.error;
    *field = (dn_list_t){at, (uint32_t) rows_bytes, (uint16_t) count};
}

#define U8(field, text)        self->field = (uint8_t) get_uint (in, 1);
#define U16(field, text)       self->field = (uint16_t) get_uint (in, 2);
#define U32(field, text)       self->field = (uint32_t) get_uint (in, 4);
#define U64(field, text)       self->field = get_uint (in, 8);
#define SESSION(field, text)   get_session (in, &self->field);
#define STR(field, max, text)  get_str (in, &self->field, max);
#define BLOB(field, max, text) get_str (in, &self->field, max);
#define LIST(field, row, max, text)                                                                \
    get_list (in, &self->field, decode_##row, &(dn_##row##_t){0}, max);
#define R(NAME, name, text)                                                                        \
    static void decode_##name (dn_in_t *in, void *self_)                                           \
    {                                                                                              \
        dn_##name##_t *self = self_;
#define M(number, NAME, name, dirs, text)                                                          \
    static void decode_##name (dn_in_t *in, void *self_)                                           \
    {                                                                                              \
        dn_##name##_t *self = self_;                                                               \
        (void) in, (void) self;
#define END(name) }
#include "wire/messages.def"
#include "wire/fields_undef.h"

#define U8(field, text)             put_uint (out, self->field, 1);
#define U16(field, text)            put_uint (out, self->field, 2);
#define U32(field, text)            put_uint (out, self->field, 4);
#define U64(field, text)            put_uint (out, self->field, 8);
#define SESSION(field, text)        put_bytes (out, self->field.bytes, sizeof self->field.bytes);
#define STR(field, max, text)       put_str (out, self->field, max);
#define BLOB(field, max, text)      put_str (out, self->field, max);
#define LIST(field, row, max, text) put_list (out, self->field, max);
#define R(NAME, name, text)                                                                        \
    static void encode_##name (dn_out_t *out, const void *self_)                                   \
    {                                                                                              \
        const dn_##name##_t *self = self_;
#define M(number, NAME, name, dirs, text)                                                          \
    static void encode_##name (dn_out_t *out, const void *self_)                                   \
    {                                                                                              \
        const dn_##name##_t *self = self_;                                                         \
        (void) out, (void) self;
#define END(name) }
#include "wire/messages.def"
#include "wire/fields_undef.h"

static const struct {
    row_decode_fn *decode;
    row_encode_fn *encode;
} row_codec[DN_ROWS] = {
#define R(NAME, name, text) [DN_##NAME] = {decode_##name, encode_##name},
#define M(number, NAME, name, dirs, text)
#include "wire/fields_none.h"
#include "wire/messages.def"
#include "wire/fields_undef.h"
};

static const struct {
    row_decode_fn *decode; /* NULL: no such message */
    row_encode_fn *encode;
    unsigned       directions;
    const char    *name;
} message_codec[DN_MSGS] = {
#define R(NAME, name, text)
#define M(number, NAME, name, dirs, text) [number] = {decode_##name, encode_##name, dirs, #NAME},
#include "wire/fields_none.h"
#include "wire/messages.def"
#include "wire/fields_undef.h"
};

/*  ---- messages ---- */

int
dn_msg_decode (dn_msg_t *msg, unsigned directions, const void *bytes, size_t frame_bytes)
{
    if (frame_bytes > DN_HEADER_MAX)
        return DN_WIRE_LONG;

    dn_in_t  in = {bytes, (const uint8_t *) bytes + frame_bytes, 0};
    unsigned kind = (unsigned) get_uint (&in, 1);
    unsigned minor = (unsigned) get_uint (&in, 1);
    if (in.error)
        return in.error;
    if (kind >= DN_MSGS || !message_codec[kind].decode)
        return DN_WIRE_KIND;
    if (!(message_codec[kind].directions & directions))
        return DN_WIRE_DIRECTION;

    msg->kind = (dn_kind_t) kind;
    msg->minor = (uint8_t) minor;
    message_codec[kind].decode (&in, &msg->u);
    if (!in.error && in.at != in.end && minor <= DN_MINOR)
        in.error = DN_WIRE_LEFT_OVER;
    return in.error;
}

ptrdiff_t
dn_msg_encode (const dn_msg_t *msg, void *buffer, size_t buffer_bytes)
{
    if ((unsigned) msg->kind >= DN_MSGS || !message_codec[msg->kind].encode)
        return DN_WIRE_KIND;

    dn_out_t out = {buffer, (uint8_t *) buffer + buffer_bytes, 0};
    put_uint (&out, (uint64_t) msg->kind, 1);
    put_uint (&out, DN_MINOR, 1);
    message_codec[msg->kind].encode (&out, &msg->u);
    if (out.error)
        return out.error;
    ptrdiff_t used = out.at - (uint8_t *) buffer;
    return used <= DN_HEADER_MAX ? used : DN_WIRE_LONG;
}

bool
dn_list_next (dn_list_t *list, dn_row_t kind, void *row)
{
    if (list->count == 0)
        return false;
    dn_in_t in = {list->rows, list->rows + list->rows_bytes, 0};
    row_codec[kind].decode (&in, row);
    if (in.error)
        return false; /* not of that row: a caller's mistake, and still no harm */
    list->rows_bytes -= (uint32_t) (in.at - list->rows);
    list->rows = in.at;
    list->count--;
    return true;
}

int
dn_rows_put (dn_rows_t *self, dn_row_t kind, const void *row)
{
    if (self->count == UINT16_MAX)
        return DN_WIRE_LONG;
    dn_out_t out = {self->bytes + self->used_bytes, self->bytes + self->bytes_max, 0};
    row_codec[kind].encode (&out, row);
    if (out.error)
        return out.error;
    self->used_bytes = (size_t) (out.at - self->bytes);
    self->count++;
    return 0;
}

const char *
dn_kind_name (unsigned kind)
{
    return kind < DN_MSGS ? message_codec[kind].name : NULL;
}

unsigned
dn_kind_directions (unsigned kind)
{
    return kind < DN_MSGS ? message_codec[kind].directions : 0;
}

const char *
dn_wire_strerror (int error)
{
    switch ((dn_wire_error_t) error) {
    case DN_WIRE_SHORT: return "the frame ends inside a field";
    case DN_WIRE_LEFT_OVER: return "bytes are left over after the last field";
    case DN_WIRE_KIND: return "no such message";
    case DN_WIRE_DIRECTION: return "that message does not come from this side";
    case DN_WIRE_LONG: return "a field is longer than its bound";
    case DN_WIRE_ROOM: return "the buffer is too small";
    }
    return "no error of the wire";
}
