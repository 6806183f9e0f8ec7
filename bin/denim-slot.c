/*  denim-slot.c - the host of a slot: loads the user's own Python and becomes it
 *
 *      denim-slot LIBRARY EXECUTABLE
 *
 *  Started by denim-worker, with what wire/heritage.h lists. LIBRARY is the interpreter's libpython
 *  and EXECUTABLE its path, both as it reports them: so prefix, packages and sys.executable are
 *  those of the user's environment. This program is not linked to any Python: one that is breaks in
 *  an environment that another build of the same version has made, and finds no packages in that of
 *  another version.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "wire/heritage.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { EXIT_USE = 64, EXIT_BUG = 70, EXIT_CONFIG = 78 };

typedef int (main_fn) (int argc, char **argv);

/*  Leave no descriptor but ours, and none of ours free for a file of the app's. */
static void
close_others (void)
{
#ifdef SYS_close_range
    syscall (SYS_close_range, DN_FD_PAGE + 1, ~0u, 0);
#endif
    if (fcntl (DN_FD_PAGE, F_GETFD) < 0) { /* a zygote has no page */
        int fd = open ("/dev/null", O_RDWR | O_CLOEXEC);
        if (fd >= 0 && fd != DN_FD_PAGE) {
            dup3 (fd, DN_FD_PAGE, O_CLOEXEC);
            close (fd);
        }
    }
}

int
main (int argc, char **argv)
{
    if (argc != 3) {
        fprintf (stderr, "denim-slot: started by denim-worker as: denim-slot LIBRARY EXECUTABLE\n");
        return EXIT_USE;
    }
    if (fcntl (DN_FD_CHANNEL, F_GETFD) < 0) {
        fprintf (stderr, "denim-slot: descriptor %d is no channel to a denim-worker\n",
                 DN_FD_CHANNEL);
        return EXIT_BUG;
    }
    close_others ();

    void *library = dlopen (argv[1], RTLD_NOW | RTLD_GLOBAL);
    if (!library) {
        fprintf (stderr, "denim-slot: cannot load Python: %s\n", dlerror ());
        return EXIT_CONFIG;
    }
    main_fn *run = (main_fn *) dlsym (library, "Py_BytesMain");
    if (!run) {
        fprintf (stderr, "denim-slot: %s is no library of CPython 3.8 or newer\n", argv[1]);
        return EXIT_CONFIG;
    }
    char *arguments[] = {argv[2], "-c", DN_SLOT_BOOTSTRAP, NULL};
    return run (3, arguments);
}
