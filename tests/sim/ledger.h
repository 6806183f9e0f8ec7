/*  ledger.h - what must hold of calls: what the simulator notes of each
 *
 *  A part of sim.h, which includes it.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_SIM_LEDGER_H
#define DN_SIM_LEDGER_H

typedef enum { SIM_TASK_RETURNS, SIM_TASK_RAISES, SIM_TASK_DIES } sim_task_kind_t;

typedef struct {
    uint8_t  runs;
    bool     received; /* a worker has taken it */
    bool     answered; /* its slot has made an answer */
    bool     crashed;  /* its slot ended while it ran */
    uint16_t worker;   /* that received it last */
    uint32_t unheard;  /* workers that nobody knew of when it was told never, a bit each */
} sim_attempt_t;

typedef struct {
    uint32_t        client;
    bool            asked;
    bool            ended;
    bool            cancelled;
    dn_handle_t     handle;
    uint64_t        seq; /* 0: never sent */
    uint16_t        attempt_sent;
    uint32_t        try_sent;
    uint32_t        boot_sent; /* whose epoch it is stamped with: of its last SUBMIT or KNOWN */
    uint8_t         outcome;
    bool            started; /* it ended so: it has run, or may have */
    int64_t         asked_ms;
    int64_t         ended_ms;
    int64_t         deadline_ms;
    uint8_t         service;
    uint8_t         priority;
    bool            idempotent;
    bool            finish;
    bool            stubborn; /* ignores interrupts */
    sim_task_kind_t kind;
    int64_t         run_us;
    uint64_t        payload_bytes;
    uint64_t        answer_bytes;
    uint32_t        soft_limit_ms;
    uint32_t        hard_limit_ms;
    uint8_t         depth;
    char            parent[DENIM_PARENT_BYTES];
    uint64_t        process; /* of the task that makes it, if depth, */
    uint32_t        run;     /* and the run there that waits for it; 0: none */
    sim_attempt_t   attempt[SIM_ATTEMPTS + 1];
} sim_call_t;

/*  Did a peer come to the manager only after settling, or not at all, and for a cause? */
bool sim_ledger_came_late (const sim_t *sim, uint32_t node);

/*  A SUBMIT goes out; the manager gives a task to a worker, or tells it what is new, to cancel one,
 *  to let go of some; it takes one; a slot starts it, answers it, dies of it. */
void sim_ledger_submit (sim_t *sim, sim_call_t *call, const dn_submit_t *submit);
void sim_ledger_give (sim_t *sim, uint32_t worker);
void sim_ledger_beat (sim_t *sim, uint32_t worker, const dn_beat_t *beat);
void sim_ledger_cancel (sim_t *sim, const dn_cancel_t *cancel);
void sim_ledger_settle (sim_t *sim, uint32_t worker, const dn_settled_t *settled);
void sim_ledger_receive (sim_t *sim, uint32_t worker, const sim_frame_t *frame);
void sim_ledger_run (sim_t *sim, uint32_t worker, const sim_frame_t *frame, uint16_t attempt);
void sim_ledger_answer (sim_t *sim, uint16_t call, uint16_t attempt);
void sim_ledger_crash (sim_t *sim, uint16_t call, uint16_t attempt);

/*  What a client is told before its core is; how a call ended. */
void sim_ledger_told (sim_t *sim, uint32_t client, const dn_msg_t *msg);
void sim_ledger_end (sim_t *sim, sim_call_t *call, const dn_result_t *result,
                     const sim_frame_t *hand);

/*  Does the manager know how deep the tasks are nested that hold places? */
void sim_ledger_depths (sim_t *sim);

/*  All calls have ended; and all tables are empty. */
void sim_ledger_close_calls (sim_t *sim);
void sim_ledger_close (sim_t *sim);

#endif
