# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""The app of the chaos runs: tasks that leave a line for each execution before anything else.

The line is one write to a file that is open for appending, so it counts even when the slot is
killed right after it:

    begin KEY WORKER PID NANOSECONDS
    end KEY WORKER PID NANOSECONDS          when a nap is over

The file and the name of the worker come from the environment of the worker.
"""

from __future__ import annotations

import os
import time
from functools import cache

import denim


INNER = "~"  # begins the key of a call that a task has made, as the checker knows


@cache
def _log() -> int:
    """Opened on first use: a slot keeps no descriptor of the process that it was forked from."""
    return os.open(os.environ["CHAOS_RUNS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def _note(word: str, key: str) -> None:
    worker = os.environ.get("CHAOS_WORKER", "-")
    line = f"{word} {key} {worker} {os.getpid()} {time.monotonic_ns()}\n"
    os.write(_log(), line.encode())


def short(key: str) -> str:
    _note("begin", key)
    return key


def nap(key: str, seconds: float) -> str:
    _note("begin", key)
    time.sleep(seconds)
    _note("end", key)
    return key


def nest(key: str, levels: int) -> str:
    """A task that calls tasks. What becomes of its calls is not its end; that they have one is."""
    _note("begin", key)
    inner = f"{INNER}{key}.{os.getpid()}.{time.monotonic_ns()}"
    client = denim.default_client()
    try:
        if levels > 1:
            client.call("chaosapp:nest", inner, levels - 1)
        else:
            client.call("chaosapp:short", inner)
    except (denim.DenimError, denim.TaskCancelled):
        pass
    return key


def fail(key: str) -> None:
    _note("begin", key)
    raise ValueError(key)
