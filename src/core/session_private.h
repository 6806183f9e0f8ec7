/*  session_private.h - what the three files of the session share: session.c (life, link, time),
 *  session_calls.c (what happens to a call), session_send.c (what is sent, and when)
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_SESSION_PRIVATE_H
#define DN_SESSION_PRIVATE_H

#include "core/calls.h"
#include "core/lines.h"
#include "core/session.h"

#define DN_SENTENCE_ROOM 640 /* bytes of a sentence made here */

typedef struct {
    uint64_t question; /* the shell's number; 0: the row is free */
    dn_str_t verb;     /* borrowed */
    dn_str_t args;     /* borrowed */
    int64_t  deadline_ms;
    bool     sent; /* over this link */
} dn_question_t;

typedef struct {
    uint64_t grant;
    uint16_t count;
    uint8_t  priority;
    uint8_t  depth;
    char     service[DN_LINE_ROOM];
} dn_turn_t;

struct dn_session_core {
    dn_session_config_t config; /* name and address point into the fields below */
    char                name[64];
    char                address[DN_ADDRESS_ROOM];
    dn_calls_t         *calls;
    dn_lines_t         *lines;
    uint64_t            random;
    int64_t             now_ms;         /* of the last event */
    uint64_t            unplaced_bytes; /* of calls on their way without an answer */
    uint32_t            held;           /* calls that wait here */
    uint64_t            submits;
    uint64_t            rejected;
    uint32_t            repeats; /* attempts in stock for calls that are lost, in parts of one */
    bool                more;    /* the last tick did not get to the end */

    /* the link */
    dn_session_link_t link;
    bool              blocked;    /* the socket refused; until dn_session_opened */
    bool              hello_owed; /* GREETING, and the socket refused the HELLO */
    bool              broken;     /* the connection is gone: the next tick asks for a fresh one */
    bool              reached;
    uint32_t          link_number;
    int64_t           heard_ms;   /* last message, or when the link was opened */
    int64_t           contact_ms; /* last message of all links; -1: none ever */
    int64_t           silent_ms;  /* without a message for so long: a fresh link */
    uint64_t          epoch;
    uint32_t          term;
    uint32_t          heartbeat_ms;
    uint64_t          payload_max;
    uint8_t           fault; /* reason of a FAULT that does not end calls; 0: none */

    /* what is sent in batches */
    dn_row_ack_t  acks[DN_ACKS_MAX];
    uint32_t      acks_count;
    uint64_t      acks_bytes; /* of those outcomes */
    uint64_t      in_hand;    /* bytes of the payload of the message under way */
    int64_t       ack_at_ms;
    uint64_t      open_from; /* where the next OPEN begins */
    dn_turn_t     turns[DN_GRANTS_MAX];
    uint32_t      turns_count;
    dn_question_t questions[DN_ASKS_MAX];

    /* the end of all calls: at closing, or when the manager will not have us */
    bool    failing;
    uint8_t failing_outcome;
    uint8_t failing_reason;
    char    failing_text[DN_SENTENCE_ROOM];
};

/*  ---- session_calls.c ---- */

/*  What is known of an event that may end a call. */
typedef struct {
    const dn_result_t *result; /* it says how; else NULL, and the fields below do */
    denim_outcome_t    outcome;
    denim_reason_t     reason;
    bool               started; /* it has run, or may have */
    dn_str_t           text;
    uint8_t            how;     /* of the CANCEL that is sent after it, when it is left */
    bool               refused; /* AGAIN: by a REJECT, which says how long to wait */
    bool               turn;    /* and the client is granted its turn */
    uint32_t           retry_after_ms;
} dn_ending_t;

/*  Something happened to a call: do what the table of calls.h says. At most two effects. `ending`:
 *  for events that may end it. */
void dn_session_on (dn_session_core_t *self, dn_call_t *call, dn_call_event_t event,
                    const dn_ending_t *ending, dn_effects_t *fx);

void dn_session_on_known (dn_session_core_t *self, const dn_known_t *msg, dn_effects_t *fx);
void dn_session_on_reject (dn_session_core_t *self, const dn_reject_t *msg, dn_effects_t *fx);
void dn_session_on_result (dn_session_core_t *self, const dn_result_t *msg, dn_effects_t *fx);
void dn_session_on_progress (dn_session_core_t *self, const dn_progress_t *msg, dn_effects_t *fx);
void dn_session_on_missing (dn_session_core_t *self, const dn_missing_t *msg, dn_effects_t *fx);

/*  End what is due: deadlines, a manager that was never reached, services that nobody offers, all
 *  of them while failing. Sets `more` if there is no room. */
void dn_session_expire (dn_session_core_t *self, dn_effects_t *fx);

/*  A held call, whose turn it is, is late (dn_line_is_late): then it ends now, as it would at its
 *  deadline, and its place goes to another. True: it has. */
bool dn_session_end_late (dn_session_core_t *self, dn_call_t *call, dn_effects_t *fx);

/*  When dn_session_expire has something to do. */
int64_t dn_session_expire_ms (const dn_session_core_t *self);

/*  ---- session_send.c ---- */

/*  May something be sent now? */
bool dn_session_ready (const dn_session_core_t *self);

void dn_session_say_hello (dn_session_core_t *self, dn_effects_t *fx);
void dn_session_say_open (dn_session_core_t *self, uint64_t mark, dn_effects_t *fx);
void dn_session_say_cancel (dn_session_core_t *self, const dn_call_t *call, uint8_t how,
                            dn_effects_t *fx);

/*  An outcome has been received: it is acknowledged with others. */
void dn_session_ack (dn_session_core_t *self, uint64_t seq, uint16_t attempt, dn_effects_t *fx);

/*  Keep a GRANT for the tick. */
void dn_session_on_grant (dn_session_core_t *self, const dn_grant_t *msg, dn_effects_t *fx);
void dn_session_on_answer (dn_session_core_t *self, const dn_answer_t *msg, dn_effects_t *fx);

/*  Answer the questions whose time is over, all of them while failing: ANSWERs without a
 *  message. */
void dn_session_expire_questions (dn_session_core_t *self, dn_effects_t *fx);

/*  Send what may be sent: acknowledgements, questions, answers to grants, calls. */
void dn_session_pump (dn_session_core_t *self, dn_effects_t *fx);

/*  When dn_session_pump has something to do that it has not now. */
int64_t dn_session_pump_ms (const dn_session_core_t *self);

/*  ---- session.c ---- */

/*  A sentence that lasts as long as the effects do. */
__attribute__ ((format (printf, 2, 3))) dn_str_t dn_session_say (dn_effects_t *fx,
                                                                 const char   *format, ...);

/*  A number below `range`. */
uint32_t dn_session_draw (dn_session_core_t *self, uint32_t range);

static inline int64_t
dn_min_ms (int64_t a, int64_t b)
{
    return a < b ? a : b;
}

#endif
