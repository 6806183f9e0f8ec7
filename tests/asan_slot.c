/* SPDX-License-Identifier: MPL-2.0
 * Copyright the denim authors
 *
 * The sanitizer's defaults for bin/denim-slot, linked into it in the sanitizer build only. A slot
 * runs Python, which keeps memory until it exits, and a slot's caller is told by which signal it
 * died: so neither leaks nor signals are the sanitizer's here. Being compiled in, they need no
 * variable that denim-worker, whose leaks are checked, would have to hand down. ASAN_OPTIONS goes
 * before them.
 */
const char *__asan_default_options (void);

__attribute__ ((visibility ("default"))) const char *
__asan_default_options (void)
{
    return "detect_leaks=0:handle_segv=0:handle_abort=0:handle_sigbus=0:handle_sigfpe=0:"
           "handle_sigill=0";
}
