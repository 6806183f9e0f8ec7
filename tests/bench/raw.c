/* SPDX-License-Identifier: MPL-2.0
 * Copyright the denim authors
 *
 * A load generator that speaks the protocol itself, for what libdenim does not do: refusals without
 * a retry, and thousands of sessions in one process. Prints one line of JSON.
 *
 *     raw --manager ADDRESS --mode once --erlangs 32 [--sessions 1] [--count 7000]
 *     raw --manager ADDRESS --mode closed [--sessions 1000] [--outstanding 1] [--seconds 4]
 *     raw --manager ADDRESS --mode idle [--sessions 5000] [--seconds 4]
 *     all: [--task-ms 50] [--times constant] [--warmup 1] [--seed 1]
 *
 * once: calls arrive at random (Poisson), each is one SUBMIT, and a REJECT is its end; a GRANT is
 * passed on. The load is what was asked for, and not left to chance: gaps and run times are brought
 * to their mean, and the rate follows how long a place is held beyond the run time. closed: each
 * session has as many calls outstanding; one that is refused goes again with a GRANT, or after
 * retry_after. idle: connected, and answering each BEAT.
 *
 * All sessions are connections of one ROUTER: the manager sees clients like any others. Times are
 * in milliseconds; "beyond" is what calls that had a place at once took longer than they sleep. A
 * line "ready" goes to stderr when every session has its WELCOME.
 */
#include "wire/wire.h"

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <zmq.h>

#include "sample.h"

#define SESSIONS_MAX  16000
#define CALLS_MAX     4096 /* on their way, of one session */
#define ACK_MAX       64
#define CONNECT_BATCH 200
#define BATCH         512
#define RETRY_MAX_S   2.0
#define NEVER         1e18
#define BEYOND_OF     256 /* calls, roughly, that tell how long a place is held beyond the run */
#define SERVICE       "benchapp"
#define TASK          "benchapp:rest"

typedef enum { ONCE, CLOSED, IDLE } raw_mode_t;

typedef struct {
    const char *manager;
    raw_mode_t  mode;
    int         sessions;
    int         outstanding;
    double      erlangs;
    size_t      count;
    double      task_s;
    times_t     times;
    double      warmup_s;
    double      seconds;
    uint64_t    seed;
} options_t;

typedef struct {
    uint64_t seq; /* 0: the row is free */
    uint32_t try_no;
    bool     held; /* refused, and waits to go again */
    double   begun_s;
    double   task_s;
} call_t;

typedef struct {
    dn_session_t id;
    uint32_t     link;
    bool         ready;
    uint64_t     epoch;
    uint32_t     term;
    uint64_t     last_seq;
    call_t      *call;
    uint32_t     room; /* rows at `call` */
    uint32_t     out;  /* of them in use: on their way or held */
    uint32_t     held;
    double       retry_s; /* a held call goes without a GRANT then */
    double       wait_s;  /* the range of the next such time */
    dn_row_ack_t ack[ACK_MAX];
    uint32_t     acks;
    uint64_t     done; /* in the window */
    double       longest_s;
} session_t;

typedef struct {
    double gap; /* before it: 1 in the mean */
    double task_s;
} arrival_t;

static options_t  options;
static session_t *session;
static arrival_t *plan; /* of ONCE: before the window, options.count in it, behind it */
static size_t     planned, planned_before;
static void      *router;
static uint64_t   random_state;
static uint64_t   arrivals, refused, placed, passed, failed, retries, reasons[256];
static work_t     work;
static sample_t   waits, runs, beyond;
static double     start_s, end_s; /* of the window; NEVER: not yet */
static double     beyond_s;       /* as it is of late */
static uint8_t    buffer[DN_HEADER_SMALL], list_buffer[64 * 1024], list_rows[48 * 1024];
static int        welcomed;

static void
give_up (const char *what)
{
    fprintf (stderr, "raw: %s: %s\n", what, zmq_strerror (errno));
    exit (1);
}

/*  ---- messages ---- */

/*  The routing id of a session's connection: `s` and its number. */
static void
send_message (int to, const dn_msg_t *msg, const char *payload)
{
    bool      long_one = msg->kind == DN_MSG_OPEN || msg->kind == DN_MSG_ACK;
    uint8_t  *room = long_one ? list_buffer : buffer;
    ptrdiff_t n = dn_msg_encode (msg, room, long_one ? sizeof list_buffer : sizeof buffer);
    char      route[5] = {'s'};
    memcpy (route + 1, &to, 4);
    if (n < 0) {
        errno = EMSGSIZE;
        give_up ("encode");
    }
    if (zmq_send (router, route, sizeof route, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0)
        return; /* the connection is down or full: the protocol bears a loss */
    zmq_send (router, room, (size_t) n, (payload ? ZMQ_SNDMORE : 0) | ZMQ_DONTWAIT);
    if (payload)
        zmq_send (router, payload, strlen (payload), ZMQ_DONTWAIT);
}

static void
say_hello (int number)
{
    session_t *self = &session[number];
    dn_msg_t   msg = {.kind = DN_MSG_CLIENT_HELLO};
    msg.u.client_hello.major = DN_MAJOR;
    msg.u.client_hello.session = self->id;
    msg.u.client_hello.link = ++self->link;
    msg.u.client_hello.name = dn_str ("raw");
    send_message (number, &msg, NULL);
}

static void
say_acks (int number)
{
    session_t *self = &session[number];
    dn_rows_t  rows = {list_rows, sizeof list_rows, 0, 0};
    for (uint32_t i = 0; i < self->acks; i++)
        dn_rows_put (&rows, DN_ROW_ACK, &self->ack[i]);
    dn_msg_t msg = {.kind = DN_MSG_ACK};
    msg.u.ack.acks = dn_rows_list (&rows);
    send_message (number, &msg, NULL);
    self->acks = 0;
}

static void
say_open (int number, uint64_t mark)
{
    session_t *self = &session[number];
    dn_rows_t  calls = {list_rows, sizeof list_rows / 2, 0, 0};
    dn_rows_t  wants = {list_rows + sizeof list_rows / 2, sizeof list_rows / 2, 0, 0};
    dn_msg_t   msg = {.kind = DN_MSG_OPEN};
    msg.u.open.mark = mark;
    msg.u.open.upto_seq = self->last_seq;
    for (uint32_t i = 0; i < self->room; i++) {
        const call_t *call = &self->call[i];
        if (!call->seq || call->held)
            continue;
        dn_row_open_t row = {.seq = call->seq,
                             .attempt = 1,
                             .try_no = call->try_no,
                             .epoch = self->epoch,
                             .term = self->term,
                             .known = 1}; /* nothing here depends on it */
        if (dn_rows_put (&calls, DN_ROW_OPEN, &row) < 0)
            return; /* more than fits: say nothing rather than half */
    }
    dn_row_want_t want = {dn_str (SERVICE), 1, self->held, 1, 0};
    if (self->held)
        dn_rows_put (&wants, DN_ROW_WANT, &want);
    msg.u.open.calls = dn_rows_list (&calls);
    msg.u.open.wants = dn_rows_list (&wants);
    send_message (number, &msg, NULL);
    if (self->acks)
        say_acks (number);
}

static void
say_submit (int number, call_t *call, uint64_t grant)
{
    session_t *self = &session[number];
    char       payload[32];
    dn_msg_t   msg = {.kind = DN_MSG_SUBMIT};
    if (call->held)
        self->held--;
    call->held = false;
    call->try_no++;
    msg.u.submit = (dn_submit_t){.seq = call->seq,
                                 .attempt = 1,
                                 .try_no = call->try_no,
                                 .grant = grant,
                                 .priority = 1,
                                 .codec = 1,
                                 .held = self->held,
                                 .service = dn_str (SERVICE),
                                 .task = dn_str (TASK)};
    snprintf (payload, sizeof payload, "[[%.6f]]", call->task_s);
    send_message (number, &msg, payload);
}

/*  ---- calls ---- */

static call_t *
new_call (session_t *self, double at_s, double task_s)
{
    if (self->out == self->room) {
        uint32_t room = self->room ? 2 * self->room : 4;
        if (room > CALLS_MAX)
            return NULL;
        self->call = realloc (self->call, room * sizeof *self->call);
        if (!self->call)
            abort ();
        memset (self->call + self->room, 0, (room - self->room) * sizeof *self->call);
        self->room = room;
    }
    uint32_t i = 0;
    while (self->call[i].seq)
        i++;
    self->out++;
    self->call[i] = (call_t){.seq = ++self->last_seq, .begun_s = at_s, .task_s = task_s};
    return &self->call[i];
}

static call_t *
find_call (const session_t *self, uint64_t seq)
{
    for (uint32_t i = 0; i < self->room; i++)
        if (seq && self->call[i].seq == seq)
            return &self->call[i];
    return NULL;
}

static call_t *
first_held (const session_t *self)
{
    call_t *first = NULL;
    for (uint32_t i = 0; i < self->room; i++)
        if (self->call[i].seq && self->call[i].held && (!first || self->call[i].seq < first->seq))
            first = &self->call[i];
    return first;
}

static void
end_call (session_t *self, call_t *call)
{
    call->seq = 0;
    self->out--;
}

static double
some_task_s (void)
{
    return draw_task_s (&random_state, options.times, options.task_s);
}

static void
begin_call (int number, double at_s, double task_s)
{
    call_t *call = new_call (&session[number], at_s, task_s);
    if (call)
        say_submit (number, call, 0);
}

/*  ---- what comes ---- */

static bool
in_window (double at_s)
{
    return at_s >= start_s && at_s < end_s;
}

static void
on_result (int number, const dn_result_t *result, double at_s)
{
    session_t *self = &session[number];
    call_t    *call = find_call (self, result->seq);
    self->ack[self->acks++] = (dn_row_ack_t){result->seq, result->attempt};
    if (self->acks == ACK_MAX)
        say_acks (number);
    if (!call)
        return;
    double run_s = result->run_us / 1e6, wait_s = at_s - call->begun_s;
    work_add (&work, at_s, run_s);
    failed += result->outcome != 0;
    if (call->try_no == 1)
        beyond_s += (wait_s - call->task_s - beyond_s) / BEYOND_OF;
    if (in_window (call->begun_s)) {
        placed++;
        sample_add (&runs, run_s);
        if (call->try_no == 1)
            sample_add (&beyond, wait_s - call->task_s);
    }
    if (in_window (at_s)) {
        sample_add (&waits, wait_s);
        self->done++;
        if (wait_s > self->longest_s)
            self->longest_s = wait_s;
    }
    end_call (self, call);
    if (options.mode == CLOSED)
        begin_call (number, at_s, some_task_s ());
}

static void
on_reject (int number, const dn_reject_t *reject, double at_s)
{
    session_t *self = &session[number];
    call_t    *call = find_call (self, reject->seq);
    if (!call || call->try_no != reject->try_no || call->held)
        return;
    reasons[reject->reason]++;
    if (options.mode == ONCE) {
        refused += in_window (call->begun_s);
        end_call (self, call);
        return;
    }
    retries++;
    call->held = true;
    self->held++;
    double told_s = reject->retry_after_ms / 1e3;
    self->wait_s = self->wait_s * 2 > told_s ? self->wait_s * 2 : told_s;
    if (self->wait_s > RETRY_MAX_S)
        self->wait_s = RETRY_MAX_S;
    self->retry_s = at_s + self->wait_s * draw_unit (&random_state);
}

static void
on_grant (int number, const dn_grant_t *grant)
{
    session_t *self = &session[number];
    for (unsigned i = 0; i < grant->count; i++) {
        call_t *call = first_held (self);
        if (!call) {
            dn_msg_t msg = {.kind = DN_MSG_PASS};
            msg.u.pass.grant = grant->grant;
            send_message (number, &msg, NULL);
            passed++;
            return;
        }
        say_submit (number, call, grant->grant);
        self->wait_s = 0;
        self->retry_s = now_s () + RETRY_MAX_S * (1 + draw_unit (&random_state));
    }
}

static void
on_welcome (int number, const dn_welcome_t *welcome)
{
    session_t *self = &session[number];
    self->epoch = welcome->epoch;
    self->term = welcome->term;
    if (self->ready)
        return;
    self->ready = true;
    if (++welcomed == options.sessions)
        fprintf (stderr, "ready\n");
    for (int i = 0; options.mode == CLOSED && i < options.outstanding; i++)
        begin_call (number, now_s (), some_task_s ());
}

static void
take_message (int number, const dn_msg_t *msg, double at_s)
{
    if (msg->kind == DN_MSG_WELCOME)
        on_welcome (number, &msg->u.welcome);
    else if (msg->kind == DN_MSG_WHO)
        say_hello (number);
    else if (msg->kind == DN_MSG_BEAT)
        say_open (number, msg->u.beat.mark);
    else if (msg->kind == DN_MSG_RESULT)
        on_result (number, &msg->u.result, at_s);
    else if (msg->kind == DN_MSG_REJECT)
        on_reject (number, &msg->u.reject, at_s);
    else if (msg->kind == DN_MSG_GRANT)
        on_grant (number, &msg->u.grant);
    else if (msg->kind == DN_MSG_FAULT)
        fprintf (stderr, "raw: %.*s\n", msg->u.fault.text.len, msg->u.fault.text.ptr);
}

/*  One message, if there is one: its first two frames count. */
static bool
receive (double at_s)
{
    zmq_msg_t frame[3];
    int       count = 0, more = 1, number = -1;
    while (more) {
        zmq_msg_t *next = &frame[count < 2 ? count : 2];
        zmq_msg_init (next);
        if (zmq_msg_recv (next, router, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close (next);
            break;
        }
        more = zmq_msg_more (next);
        if (count >= 2)
            zmq_msg_close (next);
        count++;
    }
    if (count >= 2 && zmq_msg_size (&frame[0]) == 5)
        memcpy (&number, (char *) zmq_msg_data (&frame[0]) + 1, 4);
    dn_msg_t msg;
    if (number >= 0 && number < options.sessions &&
        dn_msg_decode (&msg, M2C, zmq_msg_data (&frame[1]), zmq_msg_size (&frame[1])) == 0)
        take_message (number, &msg, at_s);
    for (int i = 0; i < count && i < 2; i++)
        zmq_msg_close (&frame[i]);
    return count > 0;
}

/*  ---- the loop ---- */

static void
drain (void)
{
    double at_s = now_s ();
    for (int i = 0; i < BATCH && receive (at_s); i++)
        if (i % 16 == 15)
            at_s = now_s ();
}

static void
wait_until (double due_s)
{
    zmq_pollitem_t item = {router, 0, ZMQ_POLLIN, 0};
    double         wait_s = due_s - now_s ();
    if (wait_s > 0.001)
        zmq_poll (&item, 1, wait_s < 0.02 ? (long) (wait_s * 1e3) : 20);
    drain ();
}

/*  Connect them all and wait for their WELCOMEs. */
static void
connect_all (void)
{
    void *context = zmq_ctx_new ();
    int   linger_ms = 0, mark = 10000, mandatory = 1;
    router = zmq_socket (context, ZMQ_ROUTER);
    if (!router)
        give_up ("socket");
    zmq_setsockopt (router, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    zmq_setsockopt (router, ZMQ_SNDHWM, &mark, sizeof mark);
    zmq_setsockopt (router, ZMQ_RCVHWM, &mark, sizeof mark);
    zmq_setsockopt (router, ZMQ_ROUTER_MANDATORY, &mandatory, sizeof mandatory);
    for (int i = 0; i < options.sessions; i++) {
        char route[5] = {'s'};
        memcpy (route + 1, &i, 4);
        for (size_t j = 0; j < sizeof session[i].id.bytes; j += 8) {
            uint64_t bits = draw (&random_state) ^ (uint64_t) (now_s () * 1e9);
            memcpy (session[i].id.bytes + j, &bits, 8);
        }
        session[i].retry_s = NEVER;
        zmq_setsockopt (router, ZMQ_CONNECT_ROUTING_ID, route, sizeof route);
        if (zmq_connect (router, options.manager) < 0)
            give_up ("connect");
        say_hello (i);
        if (i % CONNECT_BATCH == CONNECT_BATCH - 1)
            wait_until (now_s () + 0.01);
    }
    double last_s = now_s () + 60;
    while (welcomed < options.sessions && now_s () < last_s)
        wait_until (now_s () + 0.02);
    if (welcomed < options.sessions)
        fprintf (stderr, "raw: %d of %d sessions are welcome\n", welcomed, options.sessions);
}

/*  Refused calls whose timer has come. */
static void
retry_held (double at_s)
{
    for (int i = 0; i < options.sessions; i++) {
        if (session[i].retry_s > at_s || !session[i].held)
            continue;
        session[i].retry_s = at_s + RETRY_MAX_S;
        say_submit (i, first_held (&session[i]), 0);
    }
}

/*  So many arrivals more, their gaps and run times brought to the mean. */
static void
plan_arrivals (size_t count)
{
    double gaps = 0, tasks_s = 0;
    plan = realloc (plan, (planned + count) * sizeof *plan);
    if (!plan)
        abort ();
    arrival_t *row = plan + planned;
    for (size_t i = 0; i < count; i++) {
        row[i] = (arrival_t){draw_exponential (&random_state, 1), some_task_s ()};
        gaps += row[i].gap;
        tasks_s += row[i].task_s;
    }
    for (size_t i = 0; i < count; i++) {
        row[i].gap *= (double) count / gaps;
        row[i].task_s *= options.task_s * (double) count / tasks_s;
    }
    planned += count;
}

/*  Arrivals that come in so many seconds. */
static size_t
arrivals_in (double seconds)
{
    return 1 + (size_t) (seconds * options.erlangs / options.task_s);
}

/*  Before this arrival. The load is the rate of arrivals times how long each holds a place. */
static double
gap_s (size_t next)
{
    return plan[next].gap * (options.task_s + beyond_s) / options.erlangs;
}

/*  What must pass after the window, so that all that began in it has ended. */
static double
tail_s (void)
{
    return 7 * options.task_s + 0.5;
}

static void
arrive (size_t number, double at_s)
{
    if (number == planned_before) {
        start_s = at_s;
        work_start (&work, start_s, 2 * (double) options.count * options.task_s / options.erlangs);
    }
    if (number == planned_before + options.count)
        end_s = at_s;
    arrivals += in_window (at_s);
    begin_call ((int) (number % (size_t) options.sessions), at_s, plan[number].task_s);
}

static void
run (void)
{
    double retry_s = now_s (), next_s = retry_s;
    size_t next = 0;
    for (double at_s = retry_s; at_s < end_s + tail_s (); at_s = now_s ()) {
        while (next < planned && next_s <= at_s) {
            arrive (next, next_s);
            if (++next < planned)
                next_s += gap_s (next);
        }
        if (options.mode == CLOSED && at_s >= retry_s) {
            retry_held (at_s);
            retry_s = at_s + 0.005;
        }
        wait_until (next < planned && next_s < at_s + 0.005 ? next_s : at_s + 0.005);
    }
}

static void
print_results (void)
{
    sample_t dones = {0};
    double   sum = 0, squares = 0, least = NEVER, longest = 0;
    for (int i = 0; i < options.sessions; i++) {
        double done = (double) session[i].done;
        sum += done;
        squares += done * done;
        least = done < least ? done : least;
        longest = session[i].longest_s > longest ? session[i].longest_s : longest;
        for (uint32_t j = 0; j < session[i].room; j++)
            if (session[i].call[j].seq && end_s - session[i].call[j].begun_s > longest)
                longest = end_s - session[i].call[j].begun_s;
        sample_add (&dones, done);
    }
    printf ("{\"sessions\": %d, \"seconds\": %.3f, \"arrivals\": %llu, \"refused\": %llu, ",
            options.sessions, end_s - start_s, (unsigned long long) arrivals,
            (unsigned long long) refused);
    printf ("\"placed\": %llu, \"passed\": %llu, \"failed\": %llu, \"retries\": %llu, ",
            (unsigned long long) placed, (unsigned long long) passed, (unsigned long long) failed,
            (unsigned long long) retries);
    printf ("\"jain\": %.4f, \"least\": %.0f, \"longest\": %.1f, ",
            squares > 0 ? sum * sum / squares / options.sessions : 0, least, longest * 1e3);
    printf ("\"reasons\": {");
    for (int i = 0, n = 0; i < 256; i++)
        if (reasons[i])
            printf ("%s\"%d\": %llu", n++ ? ", " : "", i, (unsigned long long) reasons[i]);
    printf ("}, \"goodput\": %.2f, ", work_between (&work, start_s, end_s) / (end_s - start_s));
    sample_print ("wait", &waits, ", ");
    sample_print ("run", &runs, ", ");
    sample_print ("beyond", &beyond, ", ");
    work_print (&work, "}\n");
}

static void
read_options (int argc, char **argv)
{
    static const struct option names[] = {
        {"manager", 1, NULL, 'm'}, {"mode", 1, NULL, 'M'},        {"sessions", 1, NULL, 'n'},
        {"erlangs", 1, NULL, 'r'}, {"outstanding", 1, NULL, 'o'}, {"count", 1, NULL, 'c'},
        {"task-ms", 1, NULL, 'l'}, {"times", 1, NULL, 'T'},       {"warmup", 1, NULL, 'w'},
        {"seconds", 1, NULL, 's'}, {"seed", 1, NULL, 'e'},        {NULL, 0, NULL, 0},
    };
    for (int c; (c = getopt_long (argc, argv, "", names, NULL)) != -1;)
        switch (c) {
        case 'm': options.manager = optarg; break;
        case 'M': options.mode = *optarg == 'o' ? ONCE : *optarg == 'c' ? CLOSED : IDLE; break;
        case 'n': options.sessions = atoi (optarg); break;
        case 'r': options.erlangs = atof (optarg); break;
        case 'o': options.outstanding = atoi (optarg); break;
        case 'c': options.count = strtoull (optarg, NULL, 10); break;
        case 'l': options.task_s = atof (optarg) / 1e3; break;
        case 'T': options.times = read_times (optarg); break;
        case 'w': options.warmup_s = atof (optarg); break;
        case 's': options.seconds = atof (optarg); break;
        case 'e': options.seed = strtoull (optarg, NULL, 10); break;
        default: exit (64);
        }
    if (!options.manager || options.sessions < 1 || options.sessions > SESSIONS_MAX) {
        fprintf (stderr, "raw: --manager tcp://HOST:PORT, 1 to %d sessions\n", SESSIONS_MAX);
        exit (64);
    }
}

int
main (int argc, char **argv)
{
    options = (options_t){.sessions = 1,
                          .outstanding = 1,
                          .erlangs = 1,
                          .count = 1000,
                          .task_s = 0.05,
                          .warmup_s = 1,
                          .seconds = 4,
                          .seed = 1};
    read_options (argc, argv);
    struct rlimit files;
    getrlimit (RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit (RLIMIT_NOFILE, &files);
    random_state = options.seed;
    session = calloc ((size_t) options.sessions, sizeof *session);
    if (!session)
        abort ();
    connect_all ();
    start_s = now_s () + options.warmup_s;
    end_s = start_s + options.seconds;
    if (options.mode == ONCE) {
        plan_arrivals (planned_before = arrivals_in (options.warmup_s));
        plan_arrivals (options.count);
        plan_arrivals (arrivals_in (tail_s ()));
        start_s = end_s = NEVER;
    } else
        work_start (&work, start_s, options.seconds);
    run ();
    print_results ();
    fflush (stdout);
    _Exit (0); /* what is still on its way goes with the process */
}
