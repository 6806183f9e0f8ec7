/*  sanitizer_options.c - what the thread sanitizer must know
 *
 *  libzmq is not built with it: its locks and atomics are invisible, and what it copies and frees
 *  with the C library's functions would look like races with us. Those calls are left out; ours are
 *  not.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
const char *__tsan_default_options (void);

__attribute__ ((visibility ("default"))) const char *
__tsan_default_options (void)
{
    return "ignore_noninstrumented_modules=1";
}
