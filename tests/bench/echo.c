/* SPDX-License-Identifier: MPL-2.0
 * Copyright the denim authors
 *
 * The bare ZeroMQ broker that denim is measured against: two ROUTERs on TCP loopback and nothing
 * that denim adds. A client keeps a window of messages on their way, a worker sends each one back.
 * Broker, worker and client are processes of their own, as denim's are; this program forks them,
 * prints one line of JSON and leaves none of them behind.
 *
 *     echo [--window 512] [--frames 2] [--bytes 64] [--workers 1] [--seconds 3 | --count N]
 *
 * A message is a header frame of 40 bytes and `frames - 1` payload frames of `bytes` bytes. In the
 * header are the sequence number and the time, set by the client, and the client's routing id, set
 * by the broker, which finds its way back by it. Raw zmq_msg_t all the way, moved and never copied
 * by the broker; every socket is drained in batches before anybody polls.
 */
#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#define HEADER_BYTES   40
#define ROUTE_MAX      16 /* bytes of a routing id that the header has room for; libzmq's have 5 */
#define FRAMES_MAX     64
#define WINDOW_MAX     65536
#define WORKERS_MAX    16
#define BATCH          64        /* messages of one socket before the broker looks at the other */
#define WARMUP_NS      300000000 /* not counted: connections, buffers and caches come up to speed */
#define GIVE_UP_S      30        /* without an answer for so long something is broken */
#define LATENCY_MAX_US 1000000   /* the last cell of the histogram holds all that took longer */

typedef struct {
    uint64_t seq;     /* host order: all are on one host */
    int64_t  sent_ns; /* the client's clock; only the client looks at it */
    uint8_t  route_bytes;
    uint8_t  route[ROUTE_MAX];
} header_t;

static_assert (sizeof (header_t) <= HEADER_BYTES, "the header has 40 bytes");

typedef struct {
    int      window;
    int      frames; /* header included */
    size_t   bytes;  /* of one payload frame */
    int      workers;
    double   seconds;
    uint64_t count; /* measured tasks; 0: as many as `seconds` gives */
} options_t;

typedef struct {
    uint64_t tasks; /* measured, without the warm-up */
    int64_t  elapsed_ns;
    uint32_t p50_us;
    uint32_t p99_us;
} measure_t;

typedef struct {
    char clients[64]; /* endpoints as bound: the ports are the system's choice */
    char workers[64];
} doors_t;

typedef struct {
    uint64_t tasks;  /* brought back, warm-up included */
    double   cpu_us; /* of the broker's process, its I/O threads included */
} cost_t;

typedef struct {
    zmq_msg_t frames[FRAMES_MAX]; /* routing id included, where there is one */
    int       count;
} message_t;

static void
die (const char *what)
{
    fprintf (stderr, "echo: %s: %s\n", what, zmq_strerror (errno));
    exit (71);
}

static void
need (bool ok, const char *what)
{
    if (!ok)
        die (what);
}

static int64_t
now_ns (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (int64_t) now.tv_sec * 1000000000 + now.tv_nsec;
}

static void *
socket_new (void *context, int type, const options_t *options)
{
    /* The window is all that is ever on its way, and memory is bounded by it. The marks are twice
     * as high, and so never reached: libzmq reports what was read only every half mark. */
    int   mark = 2 * options->window + 64;
    int   linger_ms = 0;
    void *socket = zmq_socket (context, type);
    need (socket != NULL, "cannot make a socket");
    zmq_setsockopt (socket, ZMQ_SNDHWM, &mark, sizeof mark);
    zmq_setsockopt (socket, ZMQ_RCVHWM, &mark, sizeof mark);
    zmq_setsockopt (socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    return socket;
}

/* --- messages: received whole, sent whole; a frame that was sent is empty after -------------- */

static bool
message_recv (message_t *self, void *socket)
{
    self->count = 0;
    do {
        zmq_msg_t *frame = &self->frames[self->count];
        zmq_msg_init (frame);
        if (zmq_msg_recv (frame, socket, ZMQ_DONTWAIT) < 0) {
            need (errno == EAGAIN && self->count == 0, "cannot receive");
            return false;
        }
        self->count++;
    } while (zmq_msg_more (&self->frames[self->count - 1]) && self->count < FRAMES_MAX);
    return true;
}

static void
frame_send (zmq_msg_t *frame, void *socket, bool more)
{
    need (zmq_msg_send (frame, socket, ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0)) >= 0,
          "cannot send");
}

static void
message_send (message_t *self, int from, void *socket)
{
    for (int i = from; i < self->count; i++)
        frame_send (&self->frames[i], socket, i + 1 < self->count);
}

static header_t *
header_get (zmq_msg_t *frame)
{
    need (zmq_msg_size (frame) == HEADER_BYTES, "a header of another size");
    return (header_t *) zmq_msg_data (frame);
}

static void
bytes_send (const void *bytes, size_t size, void *socket, bool more)
{
    zmq_msg_t frame;
    need (zmq_msg_init_size (&frame, size) == 0, "no memory");
    memcpy (zmq_msg_data (&frame), bytes, size);
    frame_send (&frame, socket, more);
}

/* --- broker ---------------------------------------------------------------------------------- */

typedef struct {
    void *clients;
    void *workers;
    struct {
        uint8_t bytes;
        uint8_t id[ROUTE_MAX];
    } ring[WORKERS_MAX]; /* routing ids of the workers, served in turn */
    int      ring_count;
    int      ring_next;
    uint64_t tasks;
} broker_t;

static void *
door_open (void *context, const options_t *options, uint64_t io_thread, char *endpoint, size_t size)
{
    int   mandatory = 1;
    void *door = socket_new (context, ZMQ_ROUTER, options);
    zmq_setsockopt (door, ZMQ_AFFINITY, &io_thread, sizeof io_thread);
    zmq_setsockopt (door, ZMQ_ROUTER_MANDATORY, &mandatory, sizeof mandatory);
    need (zmq_bind (door, "tcp://127.0.0.1:*") == 0, "cannot bind");
    need (zmq_getsockopt (door, ZMQ_LAST_ENDPOINT, endpoint, &size) == 0, "no endpoint");
    return door;
}

static void
greet_worker (broker_t *self, zmq_msg_t *route)
{
    need (self->ring_count < WORKERS_MAX && zmq_msg_size (route) <= ROUTE_MAX, "a strange worker");
    self->ring[self->ring_count].bytes = (uint8_t) zmq_msg_size (route);
    memcpy (self->ring[self->ring_count].id, zmq_msg_data (route), zmq_msg_size (route));
    self->ring_count++;
}

/* A worker's message is [its id][header][payload...]; [its id] alone is its greeting. */
static int
serve_workers (broker_t *self)
{
    message_t message;
    int       served = 0;
    while (served < BATCH && message_recv (&message, self->workers)) {
        served++;
        if (message.count == 2 && zmq_msg_size (&message.frames[1]) == 0) {
            greet_worker (self, &message.frames[0]);
            zmq_msg_close (&message.frames[1]);
        } else {
            header_t *header = header_get (&message.frames[1]);
            bytes_send (header->route, header->route_bytes, self->clients, true);
            message_send (&message, 1, self->clients);
            self->tasks++;
        }
        zmq_msg_close (&message.frames[0]);
    }
    return served;
}

static int
serve_clients (broker_t *self)
{
    message_t message;
    int       served = 0;
    while (self->ring_count && served < BATCH && message_recv (&message, self->clients)) {
        served++;
        zmq_msg_t *route = &message.frames[0];
        header_t  *header = header_get (&message.frames[1]);
        need (zmq_msg_size (route) <= ROUTE_MAX, "a routing id too long");
        header->route_bytes = (uint8_t) zmq_msg_size (route);
        memcpy (header->route, zmq_msg_data (route), zmq_msg_size (route));
        zmq_msg_close (route);

        int next = self->ring_next++ % self->ring_count;
        bytes_send (self->ring[next].id, self->ring[next].bytes, self->workers, true);
        message_send (&message, 1, self->workers);
    }
    return served;
}

static double
cpu_us (void)
{
    struct rusage usage;
    getrusage (RUSAGE_SELF, &usage);
    return 1e6 * (double) (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double) (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static void
run_broker (const options_t *options, int stop_fd, int result_fd)
{
    void *context = zmq_ctx_new ();
    zmq_ctx_set (context, ZMQ_IO_THREADS, 2);
    broker_t self = {0};
    doors_t  doors = {0};
    self.clients = door_open (context, options, 1, doors.clients, sizeof doors.clients);
    self.workers = door_open (context, options, 2, doors.workers, sizeof doors.workers);
    need (write (result_fd, &doors, sizeof doors) == sizeof doors, "cannot tell the endpoints");

    zmq_pollitem_t items[] = {
        {self.workers, 0, ZMQ_POLLIN, 0},
        {NULL, stop_fd, ZMQ_POLLIN, 0},
        {self.clients, 0, ZMQ_POLLIN, 0},
    };
    double before_us = cpu_us ();
    while (!items[1].revents) {
        int served = serve_workers (&self);
        served += serve_clients (&self);
        if (!served) /* clients are not listened to before there is a worker */
            need (zmq_poll (items, self.ring_count ? 3 : 2, -1) >= 0, "cannot poll");
    }
    cost_t cost = {.tasks = self.tasks, .cpu_us = cpu_us () - before_us};
    need (write (result_fd, &cost, sizeof cost) == sizeof cost, "cannot tell the cost");

    zmq_close (self.clients);
    zmq_close (self.workers);
    zmq_ctx_term (context);
}

/* --- worker ---------------------------------------------------------------------------------- */

static void
run_worker (const options_t *options, const doors_t *doors, int stop_fd)
{
    void *context = zmq_ctx_new ();
    void *socket = socket_new (context, ZMQ_DEALER, options);
    need (zmq_connect (socket, doors->workers) == 0, "cannot connect");
    bytes_send ("", 0, socket, false);

    zmq_pollitem_t items[] = {{socket, 0, ZMQ_POLLIN, 0}, {NULL, stop_fd, ZMQ_POLLIN, 0}};
    message_t      message;
    while (!items[1].revents) {
        while (message_recv (&message, socket))
            message_send (&message, 0, socket);
        need (zmq_poll (items, 2, -1) >= 0, "cannot poll");
    }
    zmq_close (socket);
    zmq_ctx_term (context);
}

/* --- client ---------------------------------------------------------------------------------- */

typedef struct {
    void            *socket;
    const options_t *options;
    void            *payload; /* what each payload frame is filled from */
    uint32_t        *cells;   /* of the histogram: answers by their latency in microseconds */
    uint64_t         sent;
    uint64_t         back;
    int64_t          warm_ns;  /* when the warm-up ends */
    int64_t          begin_ns; /* of the measurement: the first answer after it; 0 before */
    int64_t          last_ns;  /* the last measured answer */
    uint64_t         measured;
} client_t;

static void
send_task (client_t *self)
{
    uint8_t  bytes[HEADER_BYTES] = {0};
    header_t header = {.seq = self->sent, .sent_ns = now_ns ()};
    memcpy (bytes, &header, sizeof header);
    int frames = self->options->frames;
    bytes_send (bytes, sizeof bytes, self->socket, frames > 1);
    for (int i = 1; i < frames; i++)
        bytes_send (self->payload, self->options->bytes, self->socket, i + 1 < frames);
    self->sent++;
}

static void
take_answer (client_t *self, message_t *message)
{
    int64_t now = now_ns ();
    need (message->count == self->options->frames, "an answer with other frames");
    header_t header = *header_get (&message->frames[0]);
    need (self->options->workers > 1 || header.seq == self->back, "an answer out of order");
    for (int i = 0; i < message->count; i++)
        zmq_msg_close (&message->frames[i]);
    self->back++;

    if (self->begin_ns) {
        int64_t us = (now - header.sent_ns) / 1000;
        self->cells[us < LATENCY_MAX_US ? us : LATENCY_MAX_US]++;
        self->measured++;
        self->last_ns = now;
    } else if (now >= self->warm_ns)
        self->begin_ns = now;
}

static void
take_answers (client_t *self)
{
    message_t message;
    int       taken = 0;
    while (taken < BATCH && message_recv (&message, self->socket)) {
        take_answer (self, &message);
        taken++;
    }
    if (taken)
        return;
    zmq_pollitem_t item = {self->socket, 0, ZMQ_POLLIN, 0};
    errno = ETIMEDOUT;
    need (zmq_poll (&item, 1, GIVE_UP_S * 1000) > 0, "no answer");
}

static bool
finished (const client_t *self)
{
    if (self->options->count)
        return self->measured >= self->options->count;
    return self->begin_ns &&
           self->last_ns >= self->begin_ns + (int64_t) (self->options->seconds * 1e9);
}

static uint32_t
percentile_us (const client_t *self, double part)
{
    uint64_t wanted = (uint64_t) (part * (double) self->measured);
    uint64_t seen = 0;
    uint32_t us = 0;
    while (us < LATENCY_MAX_US && (seen += self->cells[us]) <= wanted)
        us++;
    return us;
}

static void
run_client (const options_t *options, const doors_t *doors, int result_fd)
{
    void    *context = zmq_ctx_new ();
    client_t self = {.options = options, .socket = socket_new (context, ZMQ_DEALER, options)};
    self.payload = calloc (1, options->bytes + 1);
    self.cells = calloc (LATENCY_MAX_US + 1, sizeof *self.cells);
    need (self.payload && self.cells, "no memory");
    need (zmq_connect (self.socket, doors->clients) == 0, "cannot connect");

    self.warm_ns = now_ns () + WARMUP_NS;
    while (!finished (&self)) {
        while (self.sent - self.back < (uint64_t) options->window)
            send_task (&self);
        take_answers (&self);
    }
    measure_t measure = {
        .tasks = self.measured,
        .elapsed_ns = self.last_ns - self.begin_ns,
        .p50_us = percentile_us (&self, 0.50),
        .p99_us = percentile_us (&self, 0.99),
    };
    while (self.back < self.sent) /* the broker is to find us there until the last answer */
        take_answers (&self);
    need (write (result_fd, &measure, sizeof measure) == sizeof measure, "cannot tell the result");

    free (self.payload);
    free (self.cells);
    zmq_close (self.socket);
    zmq_ctx_term (context);
}

/* --- the processes --------------------------------------------------------------------------- */

/* True in the child, which dies with its parent. `stop_fd` is the parent's end, that it closes to
 * have broker and workers leave: held by a child it would never be closed. */
static bool
fork_child (int stop_fd)
{
    pid_t parent = getpid ();
    pid_t pid = fork ();
    need (pid >= 0, "cannot fork");
    if (pid > 0)
        return false;
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    if (getppid () != parent)
        _exit (71);
    close (stop_fd);
    return true;
}

static void
read_all (int fd, void *bytes, size_t size, const char *who)
{
    errno = EPIPE;
    need (read (fd, bytes, size) == (ssize_t) size, who);
}

/* Any exit of this function, and any death of this process, ends all children. Each pipe is made
 * just before the child that writes to it, so that nobody else holds its end and a death shows as
 * its end. */
static void
run_all (const options_t *options, measure_t *measure, cost_t *cost)
{
    int stop[2], broker[2], client[2];
    need (pipe (stop) == 0 && pipe (broker) == 0, "cannot make a pipe");
    if (fork_child (stop[1])) {
        run_broker (options, stop[0], broker[1]);
        exit (0);
    }
    close (broker[1]);
    doors_t doors;
    read_all (broker[0], &doors, sizeof doors, "the broker does not start");

    for (int i = 0; i < options->workers; i++)
        if (fork_child (stop[1])) {
            run_worker (options, &doors, stop[0]);
            exit (0);
        }
    need (pipe (client) == 0, "cannot make a pipe");
    if (fork_child (stop[1])) {
        run_client (options, &doors, client[1]);
        exit (0);
    }
    close (client[1]);

    /* The broker has nothing to say before it is stopped: if it is the first, it has died. */
    struct pollfd fds[] = {{client[0], POLLIN, 0}, {broker[0], POLLIN, 0}};
    need (poll (fds, 2, -1) > 0, "cannot wait");
    errno = EPIPE;
    need (!fds[1].revents, "the broker has died");
    read_all (client[0], measure, sizeof *measure, "the client has died");

    alarm (GIVE_UP_S); /* and its end is theirs, should one of them hang now */
    close (stop[1]);
    read_all (broker[0], cost, sizeof *cost, "the broker has died");
    int status, failed = 0;
    while (wait (&status) > 0)
        failed += status != 0;
    errno = ECHILD;
    need (!failed, "a process has failed");
}

static int
usage (void)
{
    fprintf (stderr,
             "usage: echo [--window 1..%d] [--frames 1..%d] [--bytes N] [--workers 1..%d]"
             " [--seconds S | --count N]\n",
             WINDOW_MAX, FRAMES_MAX - 1, WORKERS_MAX);
    return 64;
}

int
main (int argc, char **argv)
{
    static const struct option names[] = {
        {"window", required_argument, NULL, 'w'},
        {"frames", required_argument, NULL, 'f'},
        {"bytes", required_argument, NULL, 'b'},
        {"workers", required_argument, NULL, 'k'},
        {"seconds", required_argument, NULL, 's'},
        {"count", required_argument, NULL, 'n'},
        {NULL, 0, NULL, 0},
    };
    options_t options = {.window = 512, .frames = 2, .bytes = 64, .workers = 1, .seconds = 3};
    int       name;
    while ((name = getopt_long (argc, argv, "", names, NULL)) != -1) {
        switch (name) {
        case 'w': options.window = atoi (optarg); break;
        case 'f': options.frames = atoi (optarg); break;
        case 'b': options.bytes = strtoull (optarg, NULL, 10); break;
        case 'k': options.workers = atoi (optarg); break;
        case 's': options.seconds = atof (optarg); break;
        case 'n': options.count = strtoull (optarg, NULL, 10); break;
        default: return usage ();
        }
    }
    if (optind < argc || options.window < 1 || options.window > WINDOW_MAX || options.frames < 1 ||
        options.frames > FRAMES_MAX - 1 || options.workers < 1 || options.workers > WORKERS_MAX ||
        options.seconds <= 0)
        return usage ();

    measure_t measure;
    cost_t    cost;
    run_all (&options, &measure, &cost);
    printf ("{\"tasks_per_s\": %.0f, \"p50_us\": %u, \"p99_us\": %u, "
            "\"broker_cpu_us_per_task\": %.2f}\n",
            1e9 * (double) measure.tasks / (double) measure.elapsed_ns, measure.p50_us,
            measure.p99_us, cost.cpu_us / (double) cost.tasks);
    return 0;
}
