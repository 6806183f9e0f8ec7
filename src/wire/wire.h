/*  wire.h - the messages of DENIM/1 as structs, and their bytes
 *
 *  Owns: the mapping between a header frame and a dn_msg_t, made from messages.def by one decode
 *  loop and one encode loop. Must never know: sockets, peers, what a message causes.
 *
 *  Strings, blobs and lists of a decoded message are borrowed: they point into the frame and last
 *  as long as it does. No function here allocates or fails on anything but its input. Any thread.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_WIRE_H
#define DN_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define DN_MAJOR      1       /* of the protocol; another one is refused */
#define DN_MINOR      0       /* a newer one only appends fields */
#define DN_HEADER_MAX 1000000 /* bytes of a header frame; a longer one does not decode */
#define DN_HEADER_SMALL                                                                            \
    2048                   /* bytes that hold any message without lists or ASK, for stack buffers */
#define DN_FRAMES_MAX  64  /* payload frames of one message */
#define DN_SMALL_MAX   128 /* bytes of a payload that travels in the header frame */
#define DN_FRAME_SMALL 4096 /* bytes; a task with a larger payload is no tiny one */

typedef struct {
    uint8_t bytes[16];
} dn_session_t;

typedef struct {
    const char *ptr; /* borrowed; not terminated */
    uint16_t    len; /* bytes */
} dn_str_t;

typedef struct {
    const uint8_t *rows; /* borrowed; encoded */
    uint32_t       rows_bytes;
    uint16_t       count;
} dn_list_t;

/*  Who may send what to whom. */
enum { C2M = 1 << 0, M2C = 1 << 1, W2M = 1 << 2, M2W = 1 << 3, W2S = 1 << 4, S2W = 1 << 5 };

typedef enum {
#define R(NAME, name, text) DN_##NAME,
#define M(number, NAME, name, dirs, text)
#include "wire/fields_none.h"
#include "wire/messages.def"
#include "wire/fields_undef.h"
    DN_ROWS
} dn_row_t;

typedef enum {
    DN_MSG_NONE = 0,
#define R(NAME, name, text)
#define M(number, NAME, name, dirs, text) DN_MSG_##NAME = number,
#include "wire/fields_none.h"
#include "wire/messages.def"
#include "wire/fields_undef.h"
    DN_MSGS = 96 /* numbers end below this */
} dn_kind_t;

#define R(NAME, name, text)               typedef struct {
#define M(number, NAME, name, dirs, text) typedef struct {
#define U8(field, text)                   uint8_t field;
#define U16(field, text)                  uint16_t field;
#define U32(field, text)                  uint32_t field;
#define U64(field, text)                  uint64_t field;
#define SESSION(field, text)              dn_session_t field;
#define STR(field, max, text)             dn_str_t field;
#define BLOB(field, max, text)            dn_str_t field;
#define LIST(field, row, max, text)       dn_list_t field;
#define END(name)                                                                                  \
    }                                                                                              \
    dn_##name##_t;
#include "wire/messages.def"
#include "wire/fields_undef.h"

typedef struct {
    dn_kind_t kind;
    uint8_t   minor; /* of the sender; encode writes DN_MINOR */
    union {
#define R(NAME, name, text)
#define M(number, NAME, name, dirs, text) dn_##name##_t name;
#include "wire/fields_none.h"
#include "wire/messages.def"
#include "wire/fields_undef.h"
    } u;
} dn_msg_t;

/*  Why a frame did not decode, or a message does not encode; always negative. */
typedef enum {
    DN_WIRE_SHORT = -1,     /* it ends inside a field */
    DN_WIRE_LEFT_OVER = -2, /* bytes after the last field */
    DN_WIRE_KIND = -3,      /* no such message */
    DN_WIRE_DIRECTION = -4, /* not from there */
    DN_WIRE_LONG = -5,      /* a string, blob, list or frame beyond its bound */
    DN_WIRE_ROOM = -6       /* the buffer is too small */
} dn_wire_error_t;

/*  A sentence for one of them; static. */
const char *dn_wire_strerror (int error);

/*  Read a header frame that came in one of `directions`. 0, or a negative dn_wire_error_t; *msg is
 *  then undefined. Its strings and lists point into `bytes`. Rows of lists have been checked. */
int dn_msg_decode (dn_msg_t *msg, unsigned directions, const void *bytes, size_t frame_bytes);

/*  Write a header frame. Bytes written, or a negative dn_wire_error_t with nothing of use
 *  written. */
ptrdiff_t dn_msg_encode (const dn_msg_t *msg, void *buffer, size_t buffer_bytes);

/*  Write it for people: `SUBMIT seq=1 attempt=1 …`, cut to fit, always terminated. Characters, as
 *  snprintf counts them. */
size_t dn_msg_print (const dn_msg_t *msg, char *buffer, size_t buffer_bytes);

/*  Name and directions of a message number; NULL and 0 when there is none. */
const char *dn_kind_name (unsigned kind);
unsigned    dn_kind_directions (unsigned kind);

/*  Print the whole protocol as a page, a line at a time: `put` is called with each, unterminated by
 *  a newline. */
void dn_protocol_print (void (*put) (void *arg, const char *line), void *arg);

/*  ---- lists ---- */

/*  Take the next row of a list that came out of dn_msg_decode: false at the end. `row` is the
 *  struct of that row (dn_row_held_t …); its strings point into the frame. The list is used up. */
bool dn_list_next (dn_list_t *list, dn_row_t kind, void *row);

/*  A list under construction, in the caller's bytes. */
typedef struct {
    uint8_t *bytes;
    size_t   bytes_max;
    size_t   used_bytes;
    uint16_t count;
} dn_rows_t;

/*  Append a row: 0, or DN_WIRE_ROOM when the bytes are used up, or DN_WIRE_LONG. */
int dn_rows_put (dn_rows_t *self, dn_row_t kind, const void *row);

/*  Lend what was built, as a field of a message. Until the bytes change. */
static inline dn_list_t
dn_rows_list (const dn_rows_t *self)
{
    return (dn_list_t){self->bytes, (uint32_t) self->used_bytes, self->count};
}

/*  ---- small ones ---- */

static inline dn_str_t
dn_str (const char *text)
{
    return (dn_str_t){text, (uint16_t) strlen (text)};
}

static inline bool
dn_str_eq (dn_str_t a, dn_str_t b)
{
    return a.len == b.len && (a.len == 0 || memcmp (a.ptr, b.ptr, a.len) == 0);
}

/*  Copy into a C string of `room` bytes, cut to fit, terminated. */
static inline void
dn_str_copy (char *to, size_t room, dn_str_t from)
{
    size_t n = from.len < room - 1 ? from.len : room - 1;
    if (n)
        memcpy (to, from.ptr, n);
    to[n] = 0;
}

/*  Bytes of the payload that lies in the header itself. (RUN: ask the SUBMIT in it.) */
static inline uint16_t
dn_msg_small_bytes (const dn_msg_t *msg)
{
    if (msg->kind == DN_MSG_RESULT)
        return msg->u.result.small.len;
    return msg->kind == DN_MSG_SUBMIT ? msg->u.submit.small.len : 0;
}

static inline bool
dn_session_eq (const dn_session_t *a, const dn_session_t *b)
{
    return memcmp (a->bytes, b->bytes, sizeof a->bytes) == 0;
}

static inline bool
dn_session_zero (const dn_session_t *self)
{
    static const dn_session_t zero;
    return dn_session_eq (self, &zero);
}

#endif
