/*  lines.h - the lines in which calls wait, one for each service and level of nesting of a client
 *
 *  Owns: what a client knows of a service (its pace, why it was refused last), the held calls of it
 *  in the order in which they go, and the ring in which lines take turns. Calls that are nested
 *  deeper have lines of their own, as a task may wait for them that keeps others from going on. A
 *  fixed number of lines; one of which no call is left is forgotten when its row is needed, the one
 *  used longest ago first. Must never know: messages, when to send.
 *
 *  In a line high priority goes before normal and that before low; within one priority calls that
 *  were tried before go first, in the order of their numbers, then the others as they came.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_LINES_H
#define DN_LINES_H

#include "core/calls.h"
#include "core/pace.h"

#define DN_LINES_MAX      256 /* services, by level, that a client uses at the same time */
#define DN_LINE_ROOM      128 /* bytes of a name with its end */
#define DN_LINE_TEXT_ROOM 256 /* bytes of a sentence; a longer one is cut */
#define DN_LINE_NONE      UINT32_MAX

/*  A decaying mean of lengths, and how far they are from it. The first ones weigh as much as all
 *  before them together, each later one 1/16. */
typedef struct {
    uint32_t count; /* of them, up to 16 */
    double   mean_us;
    double   deviation_us; /* the mean of the distances, likewise; of one length: its half */
} dn_mean_t;

typedef struct dn_line {
    char      name[DN_LINE_ROOM];
    dn_str_t  name_str; /* the same */
    uint8_t   depth;    /* levels of nesting */
    dn_pace_t pace;
    uint32_t  held[DN_PRIORITIES];
    uint32_t  held_all;   /* their sum */
    uint32_t  calls;      /* that have not ended: held or on their way */
    uint8_t   reason;     /* of its last REJECT that is tried again */
    bool      served;     /* a task of it has run and ended by itself */
    dn_mean_t run;        /* of its tasks */
    dn_mean_t way;        /* of its calls, there and back: what their runs do not explain */
    int64_t   refused_ms; /* when that came; negative: never */
    bool      shut;       /* none has had a place since */
    int64_t   unknown_ms; /* since when it is refused as NO_SERVICE; DN_NEVER: it is not */
    char      unknown_text[DN_LINE_TEXT_ROOM]; /* what the last such REJECT said */
    struct dn_call_list again[DN_PRIORITIES];  /* tried before, rising numbers */
    struct dn_call_list fresh[DN_PRIORITIES];
    TAILQ_ENTRY (dn_line) of_ring; /* on the ring while calls are held, idle while there are none */
} dn_line_t;

typedef struct dn_lines dn_lines_t;

/*  Owned; NULL when memory is short. `seed`: for the jitter of the paces. */
dn_lines_t *dn_lines_new (uint32_t lines_max, uint64_t seed);
void        dn_lines_destroy (dn_lines_t **self_p);

/*  The line of this service and level, for a call more: made if it is new. Its number, or
 *  DN_LINE_NONE when all are in use. Each is followed by one dn_lines_done. */
uint32_t dn_lines_take (dn_lines_t *self, dn_str_t name, uint8_t depth);

/*  A call of that line has ended; it is not held. */
void dn_lines_done (dn_lines_t *self, dn_line_t *line);

/*  Borrowed. _find gives NULL when there is none. */
dn_line_t *dn_lines_get (const dn_lines_t *self, uint32_t number);
dn_line_t *dn_lines_find (const dn_lines_t *self, dn_str_t name, uint8_t depth);

/*  Put a call at its place in its line, or take it off. */
void dn_lines_hold (dn_lines_t *self, dn_call_t *call);
void dn_lines_unhold (dn_lines_t *self, dn_call_t *call);

/*  Has a task of that service run and ended by itself, on whatever level? */
bool dn_lines_served (const dn_lines_t *self, const dn_line_t *line);

/*  A call of it has run for so long and has ended by itself; its answer came so long after it was
 *  sent. */
void dn_line_ran (dn_line_t *self, uint32_t run_us, int64_t answered_ms);

/*  Should a held call that has waited so long, and has so much left until its deadline, leave its
 *  place to others? For one of two reasons: it has waited for longer than it still can, and has
 *  little time left; or it would be ended at its deadline with its work half done, or its answer on
 *  the way, and many of those in a row keep all slots busy and end nothing. Who has hardly waited
 *  is not late in any case: what is known of run times may be old. */
bool dn_line_is_late (const dn_line_t *self, int64_t waited_ms, int64_t left_ms);

/*  The call that goes next, of all priorities or of one; NULL when none is held. */
dn_call_t *dn_line_head (const dn_line_t *self);
dn_call_t *dn_line_head_of (const dn_line_t *self, unsigned priority);

/*  When the oldest of the calls that go next was submitted; DN_NEVER when none is held. */
int64_t dn_line_oldest_ms (const dn_line_t *self);

/*  The ring of lines with held calls: its first, the next after one (NULL at the end), and put one
 *  at the end as it has had its turn. */
dn_line_t *dn_lines_first (const dn_lines_t *self);
dn_line_t *dn_lines_next (const dn_line_t *line);
void       dn_lines_turn (dn_lines_t *self, dn_line_t *line);

/*  Lines on the ring. */
uint32_t dn_lines_waiting (const dn_lines_t *self);

/*  Another manager: all that was learned of services is void. */
void dn_lines_reset (dn_lines_t *self);

/*  Assert what must hold of the table. */
void dn_lines_check (const dn_lines_t *self);

#endif
