/*  replay.c - a fuzzer's main without libFuzzer: its corpus, then mutations of it
 *
 *      NAME FOLDER [SECONDS]      for so long at most (default 2)
 *      NAME FILE                  one input
 *
 *  The mutations are the same in every run, so a failure is found again by the same command. The
 *  input that failed is written beside the program, and its name is printed.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "fuzz.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FILES_MAX     1000
#define INPUT_MAX     65536
#define MUTATIONS_MAX 20000
#define CHANGES_MAX   8 /* in one mutation */

typedef struct {
    uint8_t *bytes;
    size_t   n;
} input_t;

static input_t  corpus[FILES_MAX];
static size_t   corpus_count;
static uint64_t random_state = 1;
static input_t  running; /* what the fuzzer is at */
static char     failed_path[4096];

/*  ---- failures ---- */

const char *__asan_default_options (void);

__attribute__ ((visibility ("default"), used)) const char *
__asan_default_options (void)
{
    return "abort_on_error=1";
}

static void
on_abort (int number)
{
    static const char said[] = "replay: the input that failed is in ";
    int               fd = open (failed_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    bool              ok = fd >= 0 && write (fd, running.bytes, running.n) == (ssize_t) running.n;
    if (ok && write (STDERR_FILENO, said, sizeof said - 1) > 0 &&
        write (STDERR_FILENO, failed_path, strlen (failed_path)) > 0)
        ok = write (STDERR_FILENO, "\n", 1) == 1;
    signal (number, SIG_DFL);
    raise (number);
}

/*  The input lies in memory of exactly its length. */
static void
run (const uint8_t *bytes, size_t n)
{
    uint8_t *mine = malloc (n ? n : 1);
    dn_check (mine);
    if (n)
        memcpy (mine, bytes, n);
    running = (input_t){mine, n};
    LLVMFuzzerTestOneInput (mine, n);
    free (mine);
}

/*  ---- the corpus ---- */

static void
read_input (const char *path)
{
    static uint8_t bytes[INPUT_MAX];
    int            fd = open (path, O_RDONLY | O_CLOEXEC);
    ssize_t        n = fd < 0 ? -1 : read (fd, bytes, sizeof bytes);
    if (n < 0) {
        perror (path);
        exit (66);
    }
    close (fd);
    dn_check (corpus_count < FILES_MAX);
    input_t *input = &corpus[corpus_count++];
    *input = (input_t){malloc ((size_t) n + 1), (size_t) n};
    dn_check (input->bytes);
    memcpy (input->bytes, bytes, input->n);
}

static void
read_corpus (const char *path)
{
    struct dirent **entry;
    struct stat     file;
    char            name[4096];

    if (stat (path, &file) == 0 && !S_ISDIR (file.st_mode)) {
        read_input (path);
        return;
    }
    int count = scandir (path, &entry, NULL, alphasort);
    if (count < 0) {
        perror (path);
        exit (66);
    }
    for (int i = 0; i < count; i++) {
        snprintf (name, sizeof name, "%s/%s", path, entry[i]->d_name);
        if (entry[i]->d_name[0] != '.')
            read_input (name);
        free (entry[i]);
    }
    free (entry);
}

/*  ---- mutations ---- */

/*  xorshift64 (public domain). */
static size_t
dice (size_t sides)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return sides ? (size_t) (random_state >> 16) % sides : 0;
}

/*  Change a byte, put some in, take some out, or go on as another input does. */
static size_t
change (uint8_t *bytes, size_t n)
{
    size_t         at = dice (n + 1);
    size_t         some = 1 + dice (8);
    const input_t *other = &corpus[dice (corpus_count)];
    size_t         from = dice (other->n);

    switch (dice (5)) {
    case 0:
        if (at < n)
            bytes[at] = (uint8_t) dice (256);
        return n;
    case 1:
        if (at < n)
            bytes[at] ^= (uint8_t) (1u << dice (8));
        return n;
    case 2:
        if (n + some > INPUT_MAX)
            return n;
        memmove (bytes + at + some, bytes + at, n - at);
        memset (bytes + at, (int) dice (256), some);
        return n + some;
    case 3:
        some = some < n - at ? some : n - at;
        memmove (bytes + at, bytes + at + some, n - at - some);
        return n - some;
    default:
        some = other->n - from;
        some = some < INPUT_MAX - at ? some : INPUT_MAX - at;
        memcpy (bytes + at, other->bytes + from, some);
        return at + some;
    }
}

static unsigned
mutate (double seconds)
{
    static uint8_t bytes[INPUT_MAX];
    clock_t        end = clock () + (clock_t) (seconds * CLOCKS_PER_SEC);
    unsigned       runs = 0;

    while (corpus_count && runs < MUTATIONS_MAX && clock () < end) {
        const input_t *input = &corpus[dice (corpus_count)];
        size_t         n = input->n;
        memcpy (bytes, input->bytes, n);
        for (size_t i = 1 + dice (CHANGES_MAX); i > 0; i--)
            n = change (bytes, n);
        run (bytes, n);
        runs++;
    }
    return runs;
}

int
main (int argc, char **argv)
{
    if (argc < 2) {
        fprintf (stderr, "usage: %s FOLDER|FILE [SECONDS]\n", argv[0]);
        return 64;
    }
    snprintf (failed_path, sizeof failed_path, "%s.failed", argv[0]);
    signal (SIGABRT, on_abort);
    read_corpus (argv[1]);
    for (size_t i = 0; i < corpus_count; i++)
        run (corpus[i].bytes, corpus[i].n);
    unsigned    runs = corpus_count > 1 ? mutate (argc > 2 ? atof (argv[2]) : 2) : 0;
    const char *name = strrchr (argv[0], '/');
    printf ("%s: %zu inputs and %u mutations of them passed\n", name ? name + 1 : argv[0],
            corpus_count, runs);
    for (size_t i = 0; i < corpus_count; i++)
        free (corpus[i].bytes);
    return 0;
}
