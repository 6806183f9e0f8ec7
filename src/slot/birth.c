/*  birth.c - a slot's process, from the outside
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#include "slot/birth.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

bool
dn_birth_follow (pid_t parent)
{
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    return getppid () == parent; /* asked after: it may have died in between */
}

void
dn_birth_settle (const char *name)
{
    setpgid (0, 0);
    prctl (PR_SET_NAME, name);
}

void
dn_birth_offer_to_oom (void)
{
    int fd = open ("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return; /* no /proc: then the kernel decides as it likes */

    char text[16] = "";
    int  score = 0;
    if (read (fd, text, sizeof text - 1) > 0)
        sscanf (text, "%d", &score);
    int n = snprintf (text, sizeof text, "%d", DN_OOM_SCORE);
    if (score < DN_OOM_SCORE && lseek (fd, 0, SEEK_SET) == 0)
        score = (int) write (fd, text, (size_t) n); /* raising needs no rights */
    close (fd);
}

int
dn_birth_reserve (bool has_page)
{
    if (!has_page && fcntl (DN_FD_PAGE, F_GETFD) < 0) {
        int fd = open ("/dev/null", O_RDWR | O_CLOEXEC);
        if (fd < 0 || (fd != DN_FD_PAGE && dup3 (fd, DN_FD_PAGE, O_CLOEXEC) < 0))
            return -1;
        if (fd != DN_FD_PAGE)
            close (fd);
    }
    if (fcntl (DN_FD_CHANNEL, F_SETFD, FD_CLOEXEC) < 0)
        return -1;
    return fcntl (DN_FD_PAGE, F_SETFD, FD_CLOEXEC);
}

int
dn_birth_adopt (const int given[3])
{
    for (int i = 0; i < 3; i++)
        if (given[i] <= DN_FD_PAGE) { /* these numbers are taken in a zygote */
            errno = EBADF;
            return -1;
        }
    if (dup3 (given[0], DN_FD_CHANNEL, O_CLOEXEC) < 0 ||
        dup3 (given[1], DN_FD_PAGE, O_CLOEXEC) < 0 || dup2 (given[2], STDOUT_FILENO) < 0 ||
        dup2 (given[2], STDERR_FILENO) < 0)
        return -1;
    for (int i = 0; i < 3; i++)
        close (given[i]);
    return 0;
}

dn_page_t *
dn_birth_map_page (void)
{
    void *page = mmap (NULL, sizeof (dn_page_t), PROT_READ | PROT_WRITE, MAP_SHARED, DN_FD_PAGE, 0);
    return page == MAP_FAILED ? NULL : page;
}
