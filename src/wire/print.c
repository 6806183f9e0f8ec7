/*  print.c - messages and the protocol itself, written for people
 *
 *  Two more readings of messages.def: one prints a message as name=value, one prints the table.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "wire/wire.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

typedef struct {
    char  *at;
    size_t room_bytes;
    size_t printed; /* characters that the whole text has, cut or not */
} dn_text_t;

static void put (dn_text_t *out, const char *format, ...) __attribute__ ((format (printf, 2, 3)));

static void
put (dn_text_t *out, const char *format, ...)
{
    size_t  used = out->printed < out->room_bytes ? out->printed : out->room_bytes;
    va_list args;
    va_start (args, format);
    int n = vsnprintf (out->at + used, out->room_bytes - used, format, args);
    va_end (args);
    out->printed += n > 0 ? (size_t) n : 0;
}

static void
put_hex (dn_text_t *out, const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        put (out, "%02x", bytes[i]);
}

/*  A peer's text can forge no line and no field: blanks, quotes and what is not ASCII are
 *  escaped. */
static void
put_str (dn_text_t *out, const char *name, dn_str_t text)
{
    put (out, " %s=\"", name);
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char) text.ptr[i];
        if (c < 0x20 || c > 0x7e || c == '"' || c == '\\')
            put (out, "\\x%02x", c);
        else
            put (out, "%c", c);
    }
    put (out, "\"");
}

#define U8(field, text)  put (out, " %s=%u", #field, self->field);
#define U16(field, text) put (out, " %s=%u", #field, self->field);
#define U32(field, text) put (out, " %s=%" PRIu32, #field, self->field);
#define U64(field, text) put (out, " %s=%" PRIu64, #field, self->field);
#define SESSION(field, text)                                                                       \
    put (out, " %s=", #field);                                                                     \
    put_hex (out, self->field.bytes, sizeof self->field.bytes);
#define STR(field, max, text) put_str (out, #field, self->field);
#define BLOB(field, max, text)                                                                     \
    put (out, " %s=", #field);                                                                     \
    put_hex (out, (const uint8_t *) self->field.ptr, self->field.len);
#define LIST(field, row, max, text)                                                                \
    put (out, " %s=[", #field);                                                                    \
    for (dn_list_t list = self->field; list.count;) {                                              \
        dn_##row##_t one;                                                                          \
        if (!dn_list_next (&list, (dn_row_t) list_kind_##row, &one))                               \
            break;                                                                                 \
        print_##row (out, &one);                                                                   \
        put (out, list.count ? ";" : "");                                                          \
    }                                                                                              \
    put (out, "]");
#define R(NAME, name, text)                                                                        \
    enum { list_kind_##name = DN_##NAME };                                                         \
    static void print_##name (dn_text_t *out, const void *self_)                                   \
    {                                                                                              \
        const dn_##name##_t *self = self_;
#define M(number, NAME, name, dirs, text)                                                          \
    static void print_##name (dn_text_t *out, const void *self_)                                   \
    {                                                                                              \
        const dn_##name##_t *self = self_;                                                         \
        (void) out, (void) self;
#define END(name) }
#include "wire/messages.def"
#include "wire/fields_undef.h"

static void (*const printers[DN_MSGS]) (dn_text_t *out, const void *self) = {
#define R(NAME, name, text)
#define M(number, NAME, name, dirs, text) [number] = print_##name,
#include "wire/fields_none.h"
#include "wire/messages.def"
#include "wire/fields_undef.h"
};

size_t
dn_msg_print (const dn_msg_t *msg, char *buffer, size_t buffer_bytes)
{
    dn_text_t   out = {buffer, buffer_bytes, 0};
    const char *name = dn_kind_name ((unsigned) msg->kind);
    put (&out, "%s", name ? name : "?");
    if (name)
        printers[msg->kind](&out, &msg->u);
    return out.printed;
}

/*  ---- the protocol as a page ---- */

typedef struct {
    void (*put) (void *arg, const char *line);
    void *arg;
} dn_page_t;

static void line (const dn_page_t *page, const char *format, ...)
    __attribute__ ((format (printf, 2, 3)));

static void
line (const dn_page_t *page, const char *format, ...)
{
    char    text[200];
    va_list args;
    va_start (args, format);
    vsnprintf (text, sizeof text, format, args);
    va_end (args);
    page->put (page->arg, text);
}

static void
field_line (const dn_page_t *page, const char *field, const char *type, const char *text)
{
    line (page, "    %-16s %-22s %s", field, type, text);
}

static const char *
direction_text (unsigned directions, char *text, size_t room)
{
    static const char *const names[] = {"client > manager", "manager > client", "worker > manager",
                                        "manager > worker", "worker > slot",    "slot > worker"};
    size_t                   used = 0;
    text[0] = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (directions & 1u << i)
            used +=
                (size_t) snprintf (text + used, room - used, "%s%s", used ? ", " : "", names[i]);
    return text;
}

#define U8(field, text)             field_line (page, #field, "u8", text);
#define U16(field, text)            field_line (page, #field, "u16", text);
#define U32(field, text)            field_line (page, #field, "u32", text);
#define U64(field, text)            field_line (page, #field, "u64", text);
#define SESSION(field, text)        field_line (page, #field, "session", text);
#define STR(field, max, text)       field_line (page, #field, "str<=" #max, text);
#define BLOB(field, max, text)      field_line (page, #field, "blob<=" #max, text);
#define LIST(field, row, max, text) field_line (page, #field, #row "<=" #max, text);
#define R(NAME, name, text)                                                                        \
    line (page, "%s", "");                                                                         \
    line (page, "%s: %s", #name, text);
#define M(number, NAME, name, dirs, text)                                                          \
    line (page, "%s", "");                                                                         \
    line (page, "%d %s: %s  (%s)", number, #NAME, text,                                            \
          direction_text (dirs, directions, sizeof directions));
#define END(name)

void
dn_protocol_print (void (*put_line) (void *arg, const char *line), void *arg)
{
    const dn_page_t *page = &(dn_page_t){put_line, arg};
    char             directions[128];
    line (page, "DENIM/%d.%d", DN_MAJOR, DN_MINOR);
    line (page, "%s", "");
    line (page, "A header frame: u8 message number, u8 minor version, then the fields in order.");
    line (page, "Integers are big-endian. session: 16 bytes. str, blob: a length (u8 if the bound");
    line (page, "is below 256, else u16) and that many bytes. A list: u16 count, u32 bytes of all");
    line (page, "rows, the rows. Nothing may be left over; of a newer minor version the rest is");
    line (page, "skipped. Payload frames follow the header and are not looked at on the way.");
#include "wire/messages.def"
}
#include "wire/fields_undef.h"
