/*  service.c - a small C service that has Python code run elsewhere
 *
 *  It reads numbers from standard input, a line each, has `myapp:add` double every one of them, and
 *  prints the answers as they come. One thread and one event loop: what an HTTP server would do
 *  with its sockets is done here with standard input. The client's descriptor is readable while
 *  there are answers, so it goes into any poll, epoll, libev or GLib loop.
 *
 *      denimd &  denim-worker myapp &
 *      cc service.c $(pkg-config --cflags --libs libdenim) -o service
 *      seq 5 | ./service
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include <denim.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#define DEADLINE_MS 10000 /* nobody waits longer for an answer of ours */
#define BATCH       64    /* answers taken in one go */

/*  What the service knows of one request while it is outstanding. */
typedef struct {
    long number;
} request_t;

/*  Submit one request. False: not now, the window is full; what a server would answer with 503. */
static bool
submit (denim_client_t *client, long number)
{
    request_t *request = malloc (sizeof *request);
    if (!request)
        return false;
    request->number = number;

    denim_options_t options = {
        .deadline_ms = DEADLINE_MS, .idempotent = true, .take_later = true, .tag = request};
    json_t *args = json_pack ("[II]", (json_int_t) number, (json_int_t) number);
    int64_t id = denim_client_submit (client, "myapp:add", args, NULL, &options, 0);
    json_decref (args);
    if (id > 0)
        return true;
    fprintf (stderr, "%ld: %s\n", number, denim_strerror ((int) id));
    free (request);
    return false;
}

/*  Print one answer. Every call ends: with a value, the task's exception, or an outcome that says
 *  why. */
static void
answer (denim_reply_t *reply)
{
    request_t *request = denim_reply_tag (reply);
    int        outcome = denim_reply_outcome (reply);
    json_t    *value = denim_reply_json (reply);
    if (outcome == DENIM_VALUE)
        printf ("%ld -> %lld\n", request->number, (long long) json_integer_value (value));
    else if (outcome == DENIM_EXCEPTION)
        printf ("%ld raised %s: %s\n", request->number,
                json_string_value (json_object_get (value, "type")),
                json_string_value (json_object_get (value, "message")));
    else
        printf ("%ld failed, %s: %s\n", request->number, denim_outcome_name (outcome),
                denim_reply_text (reply));
    free (request);
}

/*  Take what has come. Returns how many. */
static size_t
answer_all (denim_client_t *client)
{
    denim_reply_t *replies[BATCH];
    size_t         all = 0, count;
    while ((count = denim_client_recv_many (client, replies, BATCH)) > 0) {
        for (size_t i = 0; i < count; i++) {
            answer (replies[i]);
            denim_reply_destroy (&replies[i]);
        }
        all += count;
    }
    return all;
}

int
main (void)
{
    int             error;
    denim_client_t *client = denim_client_new (NULL, &error); /* $DENIM_MANAGER, or this host's */
    if (!client) {
        fprintf (stderr, "service: %s\n", denim_strerror (error));
        return 69;
    }
    char   line[64];
    size_t outstanding = 0;
    bool   more = true;
    setvbuf (stdin, NULL, _IONBF, 0); /* poll must see what has not been read */
    while (more || outstanding) {
        struct pollfd items[] = {{.fd = denim_client_fd (client), .events = POLLIN},
                                 {.fd = more ? 0 : -1, .events = POLLIN}};
        if (poll (items, 2, -1) < 0)
            break;
        if (items[0].revents)
            outstanding -= answer_all (client);
        if (items[1].revents && (more = fgets (line, sizeof line, stdin) != NULL))
            outstanding += submit (client, strtol (line, NULL, 10));
    }
    denim_client_destroy (&client);
    return 0;
}
