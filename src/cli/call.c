/*  call.c - `denim call`: one call, for shells, cron and timers
 *
 *  Arguments go to the task as they were written: what is JSON is not read and written again, so an
 *  integer of any size arrives as it is. The value comes back likewise.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "cli/cli.h"

#include "base/text.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define LINE_BYTES  4096 /* of a traceback; a longer line is cut */
#define SHOWN_BYTES 100  /* of what the user wrote, in a sentence */

/*  ---- arguments ---- */

/*  A document under construction. */
typedef struct {
    FILE  *stream;
    char  *text; /* owned; whole after fclose */
    size_t text_bytes;
} document_t;

static bool
is_json (const char *text)
{
    json_error_t error;
    json_t      *value = json_loads (text, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    bool         huge = !value && json_error_code (&error) == json_error_numeric_overflow;
    json_decref (value);
    return value || huge;
}

/*  Append a string; -1 when it is not UTF-8. */
static int
put_string (document_t *self, const char *text, size_t text_bytes)
{
    json_t *string = json_stringn (text, text_bytes);
    if (!string)
        return -1;
    json_dumpf (string, self->stream, JSON_ENCODE_ANY);
    json_decref (string);
    return 0;
}

static int
put_arg (document_t *self, const char *arg)
{
    if (is_json (arg))
        return fputs (arg, self->stream) < 0 ? -1 : 0;
    return put_string (self, arg, strlen (arg));
}

static int
put_keyword (document_t *self, const char *keyword)
{
    size_t name_bytes = strcspn (keyword, "=");
    if (put_string (self, keyword, name_bytes) < 0)
        return -1;
    fputc (':', self->stream);
    return put_arg (self, keyword + name_bytes + 1);
}

/*  Words with commas between. -1, after it was told which of them is not UTF-8. */
static int
put_all (document_t *self, char **words, int count, int (*put) (document_t *self, const char *word))
{
    char shown[SHOWN_BYTES];
    for (int i = 0; i < count; i++) {
        if (i)
            fputc (',', self->stream);
        if (put (self, words[i]) == 0)
            continue;
        dn_cli_fail (DN_EXIT_USE, "call: \"%s\" is not UTF-8",
                     dn_text_show (shown, sizeof shown, words[i]));
        return -1;
    }
    return 0;
}

/*  [args] or [args, kwargs]; the text is owned by the caller. NULL after the mistake was told. */
static char *
make_document (char **args, int args_count, char **keywords, int keywords_count)
{
    document_t self = {0};
    self.stream = open_memstream (&self.text, &self.text_bytes);
    if (!self.stream)
        return NULL;
    fputs ("[[", self.stream);
    int rc = put_all (&self, args, args_count, put_arg);
    fputc (']', self.stream);
    if (rc == 0 && keywords_count) {
        fputs (",{", self.stream);
        rc = put_all (&self, keywords, keywords_count, put_keyword);
        fputc ('}', self.stream);
    }
    fputc (']', self.stream);
    fclose (self.stream);
    if (rc == 0)
        return self.text;
    free (self.text);
    return NULL;
}

/*  ---- answers ---- */

/*  One line of JSON: blanks between tokens may be line ends, and nothing else may. */
static int
print_value (const denim_reply_t *reply)
{
    size_t      frame_bytes = 0;
    const char *text = denim_reply_frame (reply, 0, &frame_bytes);
    if (denim_reply_codec (reply) != DENIM_CODEC_JSON)
        return dn_cli_fail (DN_EXIT_LOST, "the value is a pickle, which only Python reads");
    for (size_t i = 0; i < frame_bytes; i++)
        putchar (text[i] == '\n' || text[i] == '\r' ? ' ' : text[i]);
    putchar ('\n');
    if (denim_reply_frames (reply) > 1)
        dn_cli_fail (0, "%zu buffers that belong to the value are not shown",
                     denim_reply_frames (reply) - 1);
    return DN_EXIT_OK;
}

static void
print_line (const char *line, size_t line_bytes)
{
    char   copy[LINE_BYTES], shown[LINE_BYTES + 8];
    size_t n = line_bytes < sizeof copy - 1 ? line_bytes : sizeof copy - 1;
    memcpy (copy, line, n);
    copy[n] = '\0';
    fprintf (stderr, "%s\n", dn_text_show (shown, sizeof shown, copy));
}

/*  The traceback as the worker made it; its lines may not do anything to a terminal. */
static int
print_exception (denim_reply_t *reply)
{
    json_t     *told = denim_reply_json (reply);
    const char *traceback = json_string_value (json_object_get (told, "traceback"));
    if (!traceback || !*traceback) {
        const char *type = json_string_value (json_object_get (told, "type"));
        const char *message = json_string_value (json_object_get (told, "message"));
        return dn_cli_fail (DN_EXIT_RAISED, "the task raised %s: %s", type ? type : "an exception",
                            message ? message : denim_reply_text (reply));
    }
    for (size_t n; *traceback; traceback += n, traceback += *traceback == '\n') {
        n = strcspn (traceback, "\n");
        print_line (traceback, n);
    }
    return DN_EXIT_RAISED;
}

static int
exit_code (const denim_reply_t *reply)
{
    switch ((denim_outcome_t) denim_reply_outcome (reply)) {
    case DENIM_VALUE: return DN_EXIT_OK;
    case DENIM_EXCEPTION:
    case DENIM_TIME_LIMIT: return DN_EXIT_RAISED;
    case DENIM_REJECTED: return DN_EXIT_LATER;
    case DENIM_UNAVAILABLE:
    case DENIM_UNKNOWN_TASK: return DN_EXIT_UNAVAILABLE;
    case DENIM_DEADLINE: return denim_reply_started (reply) ? DN_EXIT_LOST : DN_EXIT_LATER;
    case DENIM_TOO_LARGE: return DN_EXIT_USE;
    case DENIM_NOT_ALLOWED:
    case DENIM_MISMATCH: return DN_EXIT_CONFIG;
    case DENIM_LOST:
    case DENIM_POISON:
    case DENIM_CANCELLED:
    case DENIM_CODEC:
    case DENIM_NESTING_TOO_DEEP:
    case DENIM_OUTCOMES: break;
    }
    return DN_EXIT_LOST;
}

static int
report (denim_reply_t *reply, const char *task)
{
    char shown[LINE_BYTES];
    if (denim_reply_outcome (reply) == DENIM_VALUE)
        return print_value (reply);
    if (denim_reply_outcome (reply) == DENIM_EXCEPTION)
        return print_exception (reply);
    const char *text = denim_reply_text (reply);
    if (!*text)
        text = denim_outcome_text (denim_reply_outcome (reply));
    return dn_cli_fail (exit_code (reply), "%s: %s (%s)", task,
                        dn_text_show (shown, sizeof shown, text),
                        denim_outcome_name (denim_reply_outcome (reply)));
}

/*  ---- the call ---- */

typedef struct {
    denim_options_t options;
    char          **keywords; /* as many as argc: room for all; borrowed words */
    int             keywords_count;
} request_t;

/*  Wait for the answer, or for a signal that ends us: NULL then, and the signal in *number. */
static denim_reply_t *
await_answer (denim_client_t *client, int signals, int *number)
{
    struct pollfd           items[] = {{denim_client_fd (client), POLLIN, 0}, {signals, POLLIN, 0}};
    struct signalfd_siginfo info;
    denim_reply_t          *reply;
    while ((reply = denim_client_recv (client)) == NULL) {
        if (poll (items, 2, -1) < 0 && errno != EINTR)
            continue;
        if (items[1].revents && read (signals, &info, sizeof info) == sizeof info) {
            *number = (int) info.ssi_signo;
            return NULL;
        }
    }
    return reply;
}

/*  One that our caller has told us to ignore, as a shell does for what it runs aside, stays so. */
static void
add_ending (sigset_t *ending, int number)
{
    struct sigaction action;
    if (sigaction (number, NULL, &action) == 0 && action.sa_handler != SIG_IGN)
        sigaddset (ending, number);
}

/*  Submit and wait; a signal cancels the call and then does what it always does. */
static int
call (denim_client_t *client, const char *task, const char *document,
      const denim_options_t *options)
{
    sigset_t ending;
    int      number = 0, code = DN_EXIT_SYSTEM;
    sigemptyset (&ending);
    add_ending (&ending, SIGINT);
    add_ending (&ending, SIGTERM);
    sigprocmask (SIG_BLOCK, &ending, NULL);
    int signals = signalfd (-1, &ending, SFD_CLOEXEC);

    denim_frame_t frame = {document, strlen (document)};
    int64_t       id = denim_client_submit_frames (client, task, &frame, 1, options, 0);
    if (id > 0) {
        denim_reply_t *reply = await_answer (client, signals, &number);
        if (reply)
            code = report (reply, task);
        denim_reply_destroy (&reply);
    } else if (id == DENIM_ERR_ARGUMENT) {
        code = dn_cli_fail (DN_EXIT_USE, "call: a TASK is MODULE:FUNCTION, such as myapp:add");
    } else {
        dn_cli_fail (code, "%s", denim_strerror ((int) id));
    }
    denim_client_close (client); /* tells the manager, so that it ends there too */
    close (signals);
    sigprocmask (SIG_UNBLOCK, &ending, NULL);
    if (number)
        raise (number);
    return code;
}

/*  Read the options: 0, or -1 with the exit code in *code. */
static int
parse (dn_cli_t *cli, int argc, char **argv, request_t *request, int *code)
{
    static const struct option options[] = {{"deadline", required_argument, NULL, 'd'},
                                            {"service", required_argument, NULL, 's'},
                                            {"idempotent", no_argument, NULL, 'i'},
                                            {NULL, 0, NULL, 0}};
    int                        option;
    while ((option = dn_cli_option (cli, argc, argv, "+k:", options, code)) != -1) {
        if (option == '?')
            return -1;
        *code = DN_EXIT_USE;
        if (option == 'd') {
            request->options.deadline_ms = dn_cli_seconds ("deadline", optarg);
            if (request->options.deadline_ms < 0)
                return -1;
        } else if (option == 's') {
            request->options.service = optarg;
        } else if (option == 'i') {
            request->options.idempotent = true;
        } else if (strchr (optarg, '=') == NULL || *optarg == '=') {
            dn_cli_fail (*code, "call: -k takes NAME=ARG");
            return -1;
        } else {
            request->keywords[request->keywords_count++] = optarg;
        }
    }
    if (optind < argc)
        return 0;
    *code = dn_cli_fail (DN_EXIT_USE, "call: which TASK? See `denim call --help`");
    return -1;
}

int
dn_cli_call (dn_cli_t *cli, int argc, char **argv)
{
    request_t request = {.options.take_later = true};
    int       code = DN_EXIT_SYSTEM;
    request.keywords = calloc ((size_t) argc, sizeof *request.keywords);
    if (!request.keywords)
        return dn_cli_fail (code, "out of memory");
    if (parse (cli, argc, argv, &request, &code) == 0) {
        code = DN_EXIT_USE;
        char *document = make_document (argv + optind + 1, argc - optind - 1, request.keywords,
                                        request.keywords_count);
        denim_client_t *client = document ? dn_cli_connect (cli, &code) : NULL;
        if (client)
            code = call (client, argv[optind], document, &request.options);
        denim_client_destroy (&client);
        free (document);
    }
    free (request.keywords);
    return code;
}
