/*  test_wire.c - every message out and in, its bytes pinned, and what mangled frames get
 *
 *  `test_wire --write` writes the golden files anew, for whoever changes the wire on purpose.
 */
#include "wire/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define MESSAGES   "tests/golden/messages.txt"
#define PROTOCOL   "tests/golden/protocol.txt"
#define FRAME_ROOM 4096
#define ROWS_ROOM  512

/*  ---- an example of each message: another reading of the table ---- */

typedef struct {
    uint64_t next; /* each field differs from its neighbours */
    uint8_t  rows[ROWS_ROOM];
    size_t   rows_used;
    char     text[64];
} filler_t;

static uint64_t
number (filler_t *fill)
{
    fill->next = fill->next * 6364136223846793005u + 1442695040888963407u;
    return fill->next >> 8;
}

static void
fill_session (filler_t *fill, dn_session_t *session)
{
    for (size_t i = 0; i < sizeof session->bytes; i++)
        session->bytes[i] = (uint8_t) number (fill);
}

static dn_str_t
fill_str (filler_t *fill, size_t max)
{
    static const char text[] = "abcdefghijklmnopqrstuvwxyz";
    return (dn_str_t){text, (uint16_t) (number (fill) % 12 < max ? number (fill) % 12 : max)};
}

static dn_list_t
fill_list (filler_t *fill, dn_row_t kind, void (*fill_row) (filler_t *, void *), void *row)
{
    dn_rows_t rows = {fill->rows + fill->rows_used, ROWS_ROOM - fill->rows_used, 0, 0};
    for (int i = 0; i < 2; i++) {
        fill_row (fill, row);
        assert_int_equal (dn_rows_put (&rows, kind, row), 0);
    }
    fill->rows_used += rows.used_bytes;
    return dn_rows_list (&rows);
}

#define U8(field, text)        self->field = (uint8_t) number (fill);
#define U16(field, text)       self->field = (uint16_t) number (fill);
#define U32(field, text)       self->field = (uint32_t) number (fill);
#define U64(field, text)       self->field = number (fill);
#define SESSION(field, text)   fill_session (fill, &self->field);
#define STR(field, max, text)  self->field = fill_str (fill, max);
#define BLOB(field, max, text) self->field = fill_str (fill, max);
#define LIST(field, row, max, text)                                                                \
    self->field = fill_list (fill, (dn_row_t) kind_##row, fill_##row, &(dn_##row##_t){0});
#define R(NAME, name, text)                                                                        \
    enum { kind_##name = DN_##NAME };                                                              \
    static void fill_##name (filler_t *fill, void *self_)                                          \
    {                                                                                              \
        dn_##name##_t *self = self_;
#define M(number_, NAME, name, dirs, text)                                                         \
    static void fill_##name (filler_t *fill, void *self_)                                          \
    {                                                                                              \
        dn_##name##_t *self = self_;                                                               \
        (void) fill, (void) self;
#define END(name) }
#include "wire/messages.def"
#include "wire/fields_undef.h"

static const struct {
    dn_kind_t   kind;
    const char *name;
    unsigned    directions;
    void (*fill) (filler_t *, void *);
} examples[] = {
#define R(NAME, name, text)
#define M(number, NAME, name, dirs, text) {DN_MSG_##NAME, #NAME, dirs, fill_##name},
#include "wire/fields_none.h"
#include "wire/messages.def"
#include "wire/fields_undef.h"
};

#define EXAMPLES (sizeof examples / sizeof *examples)

static size_t
encode_example (size_t i, uint8_t *frame)
{
    filler_t fill = {.next = i + 1};
    dn_msg_t msg = {.kind = examples[i].kind};
    examples[i].fill (&fill, &msg.u);
    ptrdiff_t n = dn_msg_encode (&msg, frame, FRAME_ROOM);
    assert_true (n > 0);
    return (size_t) n;
}

/*  ---- golden ---- */

static void
write_messages (FILE *file)
{
    uint8_t frame[FRAME_ROOM];
    for (size_t i = 0; i < EXAMPLES; i++) {
        size_t n = encode_example (i, frame);
        fprintf (file, "%s ", examples[i].name);
        for (size_t j = 0; j < n; j++)
            fprintf (file, "%02x", frame[j]);
        fprintf (file, "\n");
    }
}

static void
write_line (void *file, const char *line)
{
    fprintf (file, "%s\n", line);
}

static void
write_protocol (FILE *file)
{
    dn_protocol_print (write_line, file);
}

static char *
read_all (FILE *file, size_t *n)
{
    char *text = NULL;
    FILE *out = open_memstream (&text, n);
    for (int c; (c = fgetc (file)) != EOF;)
        fputc (c, out);
    fclose (out);
    return text;
}

static void
assert_golden (const char *path, void (*write) (FILE *))
{
    char  *now = NULL;
    size_t now_bytes, then_bytes;
    FILE  *out = open_memstream (&now, &now_bytes);
    write (out);
    fclose (out);
    FILE *file = fopen (path, "r");
    assert_non_null (file);
    char *then = read_all (file, &then_bytes);
    fclose (file);
    assert_string_equal (now, then);
    free (now);
    free (then);
}

static void
bytes_of_every_message_are_pinned (void **state)
{
    (void) state;
    assert_golden (MESSAGES, write_messages);
}

static void
the_printed_protocol_is_pinned (void **state)
{
    (void) state;
    assert_golden (PROTOCOL, write_protocol);
}

/*  ---- out and in ---- */

static void
every_message_survives_a_round_trip (void **state)
{
    (void) state;
    uint8_t frame[FRAME_ROOM], again[FRAME_ROOM];
    for (size_t i = 0; i < EXAMPLES; i++) {
        size_t   n = encode_example (i, frame);
        dn_msg_t msg;
        assert_int_equal (dn_msg_decode (&msg, examples[i].directions, frame, n), 0);
        assert_int_equal (msg.kind, examples[i].kind);
        assert_int_equal (dn_msg_encode (&msg, again, sizeof again), n);
        assert_memory_equal (frame, again, n);
    }
}

static void
every_truncation_is_refused (void **state)
{
    (void) state;
    uint8_t frame[FRAME_ROOM];
    for (size_t i = 0; i < EXAMPLES; i++) {
        size_t n = encode_example (i, frame);
        for (size_t cut = 0; cut < n; cut++) {
            uint8_t *part = malloc (cut ? cut : 1); /* the sanitizer sees a read behind its end */
            memcpy (part, frame, cut);
            dn_msg_t msg;
            assert_true (dn_msg_decode (&msg, examples[i].directions, part, cut) < 0);
            free (part);
        }
    }
}

/*  A flipped bit gives another message or none, never a read out of bounds; what decodes prints and
 *  encodes to the same bytes again. */
static void
every_bit_flip_decodes_to_itself_or_is_refused (void **state)
{
    (void) state;
    uint8_t frame[FRAME_ROOM], again[FRAME_ROOM];
    char    text[64];
    for (size_t i = 0; i < EXAMPLES; i++) {
        size_t n = encode_example (i, frame);
        for (size_t bit = 0; bit < n * 8; bit++) {
            frame[bit / 8] ^= (uint8_t) (1u << bit % 8);
            dn_msg_t msg;
            if (dn_msg_decode (&msg, ~0u, frame, n) == 0) {
                dn_msg_print (&msg, text, sizeof text);
                ptrdiff_t out = dn_msg_encode (&msg, again, sizeof again);
                if (msg.minor == DN_MINOR) {
                    assert_int_equal (out, n);
                    assert_memory_equal (frame, again, n);
                }
            }
            frame[bit / 8] ^= (uint8_t) (1u << bit % 8);
        }
    }
}

static void
bytes_left_over_are_refused_but_from_a_newer_minor_skipped (void **state)
{
    (void) state;
    uint8_t frame[FRAME_ROOM];
    for (size_t i = 0; i < EXAMPLES; i++) {
        size_t n = encode_example (i, frame);
        frame[n] = 0;
        dn_msg_t msg;
        assert_int_equal (dn_msg_decode (&msg, examples[i].directions, frame, n + 1),
                          DN_WIRE_LEFT_OVER);
        frame[1] = DN_MINOR + 1;
        assert_int_equal (dn_msg_decode (&msg, examples[i].directions, frame, n + 1), 0);
        assert_int_equal (msg.minor, DN_MINOR + 1);
    }
}

static void
a_message_from_the_wrong_side_is_refused (void **state)
{
    (void) state;
    uint8_t frame[FRAME_ROOM];
    for (size_t i = 0; i < EXAMPLES; i++) {
        size_t   n = encode_example (i, frame);
        dn_msg_t msg;
        assert_int_equal (dn_msg_decode (&msg, ~examples[i].directions, frame, n),
                          DN_WIRE_DIRECTION);
    }
}

static void
numbers_without_a_message_are_refused (void **state)
{
    (void) state;
    for (unsigned kind = 0; kind < 256; kind++) {
        uint8_t  frame[2] = {(uint8_t) kind, DN_MINOR};
        dn_msg_t msg;
        if (!dn_kind_name (kind))
            assert_int_equal (dn_msg_decode (&msg, ~0u, frame, sizeof frame), DN_WIRE_KIND);
    }
}

/*  ---- bounds ---- */

static void
a_string_beyond_its_bound_does_not_encode (void **state)
{
    (void) state;
    char name[300];
    memset (name, 'x', sizeof name);
    uint8_t  frame[FRAME_ROOM];
    dn_msg_t msg = {.kind = DN_MSG_CLIENT_HELLO};
    msg.u.client_hello.name = (dn_str_t){name, 63};
    assert_true (dn_msg_encode (&msg, frame, sizeof frame) > 0);
    msg.u.client_hello.name.len = 64;
    assert_int_equal (dn_msg_encode (&msg, frame, sizeof frame), DN_WIRE_LONG);
}

static void
a_string_beyond_its_bound_does_not_decode (void **state)
{
    (void) state;
    uint8_t  frame[FRAME_ROOM];
    dn_msg_t msg = {.kind = DN_MSG_CLIENT_HELLO};
    size_t   n = (size_t) dn_msg_encode (&msg, frame, sizeof frame);
    frame[n - 1] = 64; /* the length of the name stands last */
    memset (frame + n, 'x', 64);
    assert_int_equal (dn_msg_decode (&msg, C2M, frame, n + 64), DN_WIRE_LONG);
}

static void
a_list_whose_rows_do_not_fill_it_is_refused (void **state)
{
    (void) state;
    uint8_t  rows[10] = {0}, frame[FRAME_ROOM];
    dn_msg_t msg = {.kind = DN_MSG_ACK};
    msg.u.ack.acks = (dn_list_t){rows, sizeof rows, 1};
    size_t n = (size_t) dn_msg_encode (&msg, frame, sizeof frame);
    assert_int_equal (dn_msg_decode (&msg, C2M, frame, n), 0);
    frame[3] = 0; /* no rows, but ten bytes of them */
    assert_int_equal (dn_msg_decode (&msg, C2M, frame, n), DN_WIRE_LEFT_OVER);
    frame[3] = 2;
    assert_int_equal (dn_msg_decode (&msg, C2M, frame, n), DN_WIRE_SHORT);
    frame[2] = 4; /* 1,026 of them */
    assert_int_equal (dn_msg_decode (&msg, C2M, frame, n), DN_WIRE_LONG);
}

static void
a_buffer_too_small_is_told (void **state)
{
    (void) state;
    uint8_t frame[FRAME_ROOM];
    for (size_t i = 0; i < EXAMPLES; i++) {
        size_t   n = encode_example (i, frame);
        dn_msg_t msg;
        uint8_t  copy[FRAME_ROOM];
        memcpy (copy, frame, n);
        assert_int_equal (dn_msg_decode (&msg, examples[i].directions, copy, n), 0);
        assert_int_equal (dn_msg_encode (&msg, frame, n - 1), DN_WIRE_ROOM);
    }
}

static void
a_peers_text_cannot_forge_a_field_in_print (void **state)
{
    (void) state;
    dn_msg_t msg = {.kind = DN_MSG_CLIENT_HELLO};
    msg.u.client_hello.name = dn_str ("x\" link=9\n");
    char text[256];
    dn_msg_print (&msg, text, sizeof text);
    assert_non_null (strstr (text, "name=\"x\\x22 link=9\\x0a\""));
}

int
main (int argc, char **argv)
{
    if (argc > 1 && strcmp (argv[1], "--write") == 0) {
        FILE *file = fopen (MESSAGES, "w");
        write_messages (file);
        fclose (file);
        file = fopen (PROTOCOL, "w");
        write_protocol (file);
        return fclose (file);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (bytes_of_every_message_are_pinned),
        cmocka_unit_test (the_printed_protocol_is_pinned),
        cmocka_unit_test (every_message_survives_a_round_trip),
        cmocka_unit_test (every_truncation_is_refused),
        cmocka_unit_test (every_bit_flip_decodes_to_itself_or_is_refused),
        cmocka_unit_test (bytes_left_over_are_refused_but_from_a_newer_minor_skipped),
        cmocka_unit_test (a_message_from_the_wrong_side_is_refused),
        cmocka_unit_test (numbers_without_a_message_are_refused),
        cmocka_unit_test (a_string_beyond_its_bound_does_not_encode),
        cmocka_unit_test (a_string_beyond_its_bound_does_not_decode),
        cmocka_unit_test (a_list_whose_rows_do_not_fill_it_is_refused),
        cmocka_unit_test (a_buffer_too_small_is_told),
        cmocka_unit_test (a_peers_text_cannot_forge_a_field_in_print),
    };
    return cmocka_run_group_tests_name ("wire", tests, NULL, NULL);
}
