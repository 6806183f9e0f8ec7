# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""The app of the system tests: tasks that behave, and tasks that do not."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from typing import Any

import denim


class Own(Exception):
    """An exception of the app's own."""


def add(x: Any, y: Any) -> Any:
    return x + y


def same(x: Any) -> Any:
    return x


def crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def read_null() -> bytes:
    return ctypes.string_at(0)


def leave(code: int) -> None:
    os._exit(code)


def system_exit() -> None:
    sys.exit(3)


def interrupt() -> None:
    raise KeyboardInterrupt


def stop_iteration() -> None:
    raise StopIteration(1)


def deep(n: int = 0) -> int:
    return deep(n + 1)


def raise_key() -> None:
    raise KeyError("absent", 7)


def raise_own() -> None:
    raise Own("mine", 1)


def speak(text: str = "hello from the task") -> str:
    print(text)
    return "said"


def give_object() -> Any:
    return {"rows": [1, object()]}


def blob(n: int) -> bytes:
    return bytes(n)


def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def carry(load: bytes, seconds: float) -> bytes:
    """Give it back after a while."""
    time.sleep(seconds)
    return load


def touch_and_nap(path: str, seconds: float) -> float:
    """Sleep, after a file that says that it has begun."""
    with open(path, "w"):
        pass
    return nap(seconds)


def hold(begun: str, end: str) -> str:
    """Run from a file that says so to another one that ends it."""
    with open(begun, "w"):
        pass
    while not os.path.exists(end):
        time.sleep(0.005)
    return "released"


def spin() -> None:
    while True:
        pass


def stop_in_time(path: str) -> str:
    """Run until the soft limit, and give a value all the same."""
    try:
        touch_and_nap(path, 600)
    except denim.SoftTimeLimit:
        return "stopped in time"
    return "slept on"


def die_in(folder: str) -> None:
    """Crash, after a file that counts the attempts."""
    with open(os.path.join(folder, str(os.getpid())), "w"):
        pass
    crash()


def manager_of_tasks() -> str:
    """The address of the default client here."""
    return denim.default_client().address


def who() -> dict[str, Any]:
    """The interpreter that runs it."""
    return {
        "prefix": sys.prefix,
        "executable": sys.executable,
        "version": list(sys.version_info[:3]),
        "pid": os.getpid(),
    }
