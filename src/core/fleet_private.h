/*  fleet_private.h - what the files of the fleet share; nobody else includes it
 *
 *  fleet.c dispatches and keeps time, fleet_link.c speaks with the manager, fleet_tasks.c takes
 *  tasks, fleet_answers.c ends them, fleet_slots.c gives them to slots and watches them there,
 *  fleet_lend.c lends the places of those that wait, fleet_life.c sees slots live and die,
 *  fleet_leave.c is the end.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_FLEET_PRIVATE_H
#define DN_FLEET_PRIVATE_H

#include "core/crowd.h"
#include "core/fleet.h"
#include "core/rosters.h"
#include "core/services.h"
#include "denim.h"

#define DN_ROWS_SPARE                                                                              \
    256 /* effects that one event may cause; a loop over more goes on at the next tick */

/*  Between the worker and its manager. */
typedef enum {
    DN_LINK_CLOSED,     /* nothing to offer yet: no socket */
    DN_LINK_CONNECTING, /* a fresh socket; HELLO goes when it takes one */
    DN_LINK_GREETING,   /* HELLO was sent: nothing more before WELCOME */
    DN_LINK_WELCOMED
} dn_link_state_t;

typedef enum {
    DN_STAY_WORKING,
    DN_STAY_DRAINING, /* no task is taken, those that run may end */
    DN_STAY_LEAVING,  /* no task is left; processes are asked to end */
    DN_STAY_LEFT      /* EXIT was said */
} dn_stay_t;

struct dn_fleet {
    dn_fleet_config_t config;
    dn_holds_t       *holds;
    dn_slots_t       *slots;
    dn_services_t    *services;         /* what it offers, and how long the tasks of each take */
    dn_rosters_t     *rosters;          /* who the workers were, for the managers after this one */
    dn_crowd_t       *forgotten;        /* clients that are gone, likewise */
    uint32_t          forgotten_before; /* of them, the last one before this epoch */
    uint64_t          random;
    int64_t           due_ms;      /* the next tick: never later than what it is for */
    int64_t           deadline_ms; /* the same, for the deadlines of tasks */
    int64_t           tick_ms;     /* the last one */

    /* the link */
    dn_link_state_t link;
    uint32_t        link_number; /* of the last HELLO */
    bool            blocked;     /* the socket takes no more */
    bool            welcomed;    /* once at least */
    uint64_t        epoch;
    int64_t         heard_ms;   /* the last frame */
    int64_t         alone_ms;   /* since when there is no manager; DN_NEVER: there is one */
    int64_t         told_ms;    /* when that was logged last */
    int64_t         silence_ms; /* length after which the manager is gone; random in a range */
    int64_t         heartbeat_ms;
    int64_t         standby_ms;
    uint64_t        payload_max;
    bool            offer_changed;
    bool            offer_soon;       /* and the manager is to know at once */
    bool            services_changed; /* since they were told last */
    int64_t         offer_ms;         /* the last OFFER or HELLO */

    /* the slots */
    bool           known;       /* a process was READY: services are known */
    bool           by_exec;     /* no zygote: slots are exec'd one by one */
    uint32_t       failures;    /* of the first process */
    uint32_t       restarts;    /* of slots */
    uint32_t       turn;        /* slot at which the search for a place begins */
    bool           starting;    /* slots are OFF that can be started */
    int64_t        lent_ms;     /* places were lent, or came back, last */
    dn_slot_exit_t exited;      /* of the slot that is being buried */
    uint64_t       rss_bytes;   /* of the supervisor */
    uint64_t       in_hand;     /* bytes of payload of the message that is in hand */
    bool           outbox_full; /* places are withdrawn; was logged */
    bool           purging;     /* tasks of a client that is gone may be in standby or outbox */

    /* the end */
    dn_stay_t stay;
    bool      hurry;    /* a second signal: nothing is waited for */
    int64_t   drain_ms; /* then what runs is killed */
    int64_t   leave_ms; /* then what still runs is left to the shell */
};

/*  ---- fleet.c ---- */

/*  See that a tick comes at that time. */
static inline void
dn_fleet_alarm (dn_fleet_t *self, int64_t at_ms)
{
    if (at_ms < self->due_ms)
        self->due_ms = at_ms;
}

/*  The same for the deadline of a task. */
void dn_fleet_alarm_deadline (dn_fleet_t *self, int64_t at_ms);

/*  A task has left: one that drains may have waited for it. */
static inline void
dn_fleet_one_less (dn_fleet_t *self)
{
    if (self->stay != DN_STAY_WORKING)
        dn_fleet_alarm (self, self->tick_ms);
}

/*  A text for an effect, in its scratch. Borrowed like all that is there. */
const char *dn_fleet_text (dn_effects_t *fx, const char *format, ...)
    __attribute__ ((format (printf, 2, 3)));

/*  ---- fleet_link.c ---- */

/*  Services and a first process are there: open a socket. Does nothing the second time. */
void dn_fleet_open (dn_fleet_t *self, int64_t now_ms, dn_effects_t *fx);

void dn_fleet_on_welcome (dn_fleet_t *self, int64_t now_ms, const dn_msg_t *msg, dn_effects_t *fx);
void dn_fleet_on_who (dn_fleet_t *self, int64_t now_ms, const dn_msg_t *msg, dn_effects_t *fx);
void dn_fleet_on_beat (dn_fleet_t *self, int64_t now_ms, const dn_msg_t *msg, dn_effects_t *fx);
void dn_fleet_on_fault (dn_fleet_t *self, int64_t now_ms, const dn_msg_t *msg, dn_effects_t *fx);

/*  A client is gone: it is in each HELLO from now on. */
void dn_fleet_remember (dn_fleet_t *self, const dn_session_t *client);
void dn_fleet_on_ask (dn_fleet_t *self, int64_t now_ms, const dn_msg_t *msg, dn_effects_t *fx);

/*  May anything be sent but HELLO? */
static inline bool
dn_fleet_may_send (const dn_fleet_t *self)
{
    return self->link == DN_LINK_WELCOMED && !self->blocked;
}

/*  The places that are offered now, and those of them that are free. */
typedef struct {
    uint32_t slots;
    uint32_t lent; /* of those */
    uint32_t standby;
    uint32_t slots_free;
    uint32_t standby_free;
} dn_places_t;
dn_places_t dn_fleet_places (const dn_fleet_t *self);

/*  Slots, standby or services have changed; _soon: places that somebody waits for. */
void dn_fleet_offer (dn_fleet_t *self);
void dn_fleet_offer_soon (dn_fleet_t *self, int64_t now_ms);

/*  Silence, an OFFER that is due, answers that can go. */
void dn_fleet_tick_link (dn_fleet_t *self, int64_t now_ms, dn_effects_t *fx);

/*  ---- fleet_tasks.c ---- */

void dn_fleet_on_run (dn_fleet_t *self, int64_t now_ms, const dn_msg_t *msg, dn_effects_t *fx);
void dn_fleet_on_cancel (dn_fleet_t *self, int64_t now_ms, const dn_msg_t *msg, dn_effects_t *fx);
void dn_fleet_on_settled (dn_fleet_t *self, int64_t now_ms, const dn_msg_t *msg, dn_effects_t *fx);
void dn_fleet_on_resend (dn_fleet_t *self, int64_t now_ms, const dn_msg_t *msg, dn_effects_t *fx);
void dn_fleet_on_forget (dn_fleet_t *self, int64_t now_ms, const dn_msg_t *msg, dn_effects_t *fx);

/*  It has left its channel and has not started: back to the front of the standby line, unless
 *  there is a reason to end it. */
void dn_fleet_requeue (dn_fleet_t *self, int64_t now_ms, dn_hold_t *hold, dn_effects_t *fx);

/*  Standby that has lasted too long, deadlines, tasks of clients that are gone. */
void dn_fleet_tick_tasks (dn_fleet_t *self, int64_t now_ms, dn_effects_t *fx);

/*  ---- fleet_answers.c ---- */

/*  The answer of a slot, in hand, is the end of this task, which has left its channel. */
void dn_fleet_answer (dn_fleet_t *self, dn_hold_t *hold, dn_effects_t *fx);

/*  This task ends without an answer of a slot. It has left its channel. */
void dn_fleet_end (dn_fleet_t *self, dn_hold_t *hold, const dn_hold_end_t *end, dn_effects_t *fx);

/*  Nothing of it ran, and it leaves for this reason. It has left its channel. */
void dn_fleet_refuse (dn_fleet_t *self, dn_hold_t *hold, denim_reason_t reason, dn_effects_t *fx);

/*  Take the record and what is kept under it out, without a word. */
void dn_fleet_let_go (dn_fleet_t *self, dn_hold_t *hold, dn_effects_t *fx);

/*  Send a REFUSE. `handle`: of a task that was held, whose place counts as free by now, or
 *  DN_NONE. */
void dn_fleet_send_refuse (dn_fleet_t *self, const dn_session_t *session, uint64_t seq,
                           uint16_t attempt, uint8_t reason, dn_handle_t handle, dn_effects_t *fx);

/*  Send what a task has ended with; it is in the outbox. */
void dn_fleet_send_answer (dn_fleet_t *self, dn_hold_t *hold, dn_effects_t *fx);

/*  A client that leaves its answers with us must not use up what others need: once half of it all
 *  is used, no client has more than a quarter. Has this one? */
bool dn_fleet_over_share (const dn_fleet_t *self, const dn_session_t *client);

/*  Send what waits in the outbox, as much as fits. */
void dn_fleet_flush (dn_fleet_t *self, int64_t now_ms, dn_effects_t *fx);

/*  ---- fleet_life.c ---- */

/*  Let an event happen to a slot, and do what it causes. */
void dn_fleet_slot_event (dn_fleet_t *self, int64_t now_ms, dn_slot_t *slot, dn_slot_event_t event,
                          dn_effects_t *fx);

/*  ---- fleet_slots.c ---- */

/*  Take a task out of its channel; the caller says at once where it goes. When all that leave have
 *  left, _follow_channel lets the slot's state follow. */
void dn_fleet_leave_channel (dn_slot_t *slot, dn_hold_t *hold, int64_t now_ms);
void dn_fleet_follow_channel (dn_fleet_t *self, int64_t now_ms, dn_slot_t *slot, dn_effects_t *fx);

/*  The tasks above number `started` leave and stand by again. */
void dn_fleet_return_unstarted (dn_fleet_t *self, int64_t now_ms, dn_slot_t *slot, uint32_t started,
                                dn_effects_t *fx);

/*  As many of the standby tasks as there is room for go to slots. */
void dn_fleet_dispatch (dn_fleet_t *self, int64_t now_ms, dn_effects_t *fx);

/*  Is this slot to be replaced once it has answered `more` tasks? It gets no others then. */
bool dn_fleet_wants_rest (const dn_fleet_t *self, const dn_slot_t *slot, uint32_t more);

/*  Ask which tasks of this slot have started; what has not comes back, and what is wished of the
 *  one that runs is done then. */
void dn_fleet_take_back (dn_slot_t *slot, uint32_t number, dn_effects_t *fx);

/*  The deadline of a task in a channel has passed: it is interrupted, and killed when it has not
 *  ended DN_EXPIRED_GRACE_MS later. */
void dn_fleet_expire_running (dn_fleet_t *self, int64_t now_ms, dn_hold_t *hold, dn_effects_t *fx);

/*  The slot is to be killed for the task that runs in it (once it is known which that is), and the
 *  task ends so. */
void dn_fleet_doom (dn_fleet_t *self, dn_hold_t *hold, denim_outcome_t outcome,
                    denim_reason_t reason, dn_effects_t *fx);

/*  Slots that can be started, backoff, limits of what runs. */
void dn_fleet_tick_slots (dn_fleet_t *self, int64_t now_ms, dn_effects_t *fx);

/*  ---- fleet_lend.c ---- */

void dn_fleet_on_lend (dn_fleet_t *self, int64_t now_ms, dn_slot_t *slot, const dn_msg_t *msg,
                       dn_effects_t *fx);
void dn_fleet_on_back (dn_fleet_t *self, int64_t now_ms, dn_slot_t *slot, const dn_msg_t *msg,
                       dn_effects_t *fx);

/*  The task that runs in this slot, which is BUSY, may wait: lend its place when it is time. */
void dn_fleet_watch_wait (dn_fleet_t *self, int64_t now_ms, dn_slot_t *slot, dn_effects_t *fx);

/*  The task that runs in this slot, if it waits, does not any more: the manager is told at once. */
void dn_fleet_end_wait (dn_fleet_t *self, int64_t now_ms, dn_slot_t *slot, dn_effects_t *fx);

/*  The place of this slot is lent from now on: see to a process that works in it. */
void dn_fleet_do_spare (dn_fleet_t *self, int64_t now_ms, dn_slot_t *slot, dn_effects_t *fx);

/*  The number of lent places has changed. */
void dn_fleet_note_lent (dn_fleet_t *self, int64_t now_ms);

/*  Can processes of slots be made now? */
bool dn_fleet_can_start (const dn_fleet_t *self);

/*  May a task that is nested so deep begin in an idle slot? Lent places are for other levels. */
bool dn_fleet_may_begin (const dn_fleet_t *self, unsigned depth);

/*  Are all slots for tasks that are nested so deep lent, so that none comes free before a task that
 *  waits goes on? */
bool dn_fleet_is_shut (const dn_fleet_t *self, unsigned depth);

/*  Is there a place, in a slot or behind one, for a task that is nested so deep? */
bool dn_fleet_may_take (const dn_fleet_t *self, unsigned depth);

/*  Tasks that wait in nested calls and whose places are not lent. */
uint32_t dn_fleet_blocked (const dn_fleet_t *self);

/*  Let a process end that no lent place needs any more. */
void dn_fleet_end_spare (dn_fleet_t *self, int64_t now_ms, dn_effects_t *fx);

/*  ---- fleet_leave.c ---- */

void dn_fleet_on_drain (dn_fleet_t *self, int64_t now_ms, const dn_msg_t *msg, dn_effects_t *fx);

/*  Draining, leaving, gone. */
void dn_fleet_tick_leave (dn_fleet_t *self, int64_t now_ms, dn_effects_t *fx);

#endif
