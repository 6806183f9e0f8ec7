# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""Tasks that call tasks."""

from __future__ import annotations

import concurrent.futures
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import denim


client = denim.Client()  # made when the app is imported, before the slots are forked


def double(n: int) -> int:
    """By the app's own client."""
    return client.call("nestapp:square", n) + client.call("nestapp:square", n)


def count(n: int) -> int:
    """How many levels are below this one, by asking the next one."""
    return 0 if n == 0 else 1 + denim.default_client().call("nestapp:count", n - 1)


def dive(level: int = 0) -> tuple[int, bool, str]:
    """Calls itself until that is refused: at which level, and how."""
    try:
        return denim.default_client().call("nestapp:dive", level + 1)
    except denim.NestingTooDeep as error:
        return level, isinstance(error, RecursionError), str(error)


@denim.task
def fib(n: int) -> int:
    if n < 2:
        return n
    first, second = fib.submit(n - 1), fib.submit(n - 2)
    return first.result() + second.result()


def square(n: int) -> int:
    return n * n


def nap(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def ways(n: int) -> dict[str, Any]:
    """The same calls in each way in which a program can wait for them."""
    client = denim.default_client()
    names = ["nestapp:square"] * n

    def submit() -> list[Any]:
        return [client.submit(name, i) for i, name in enumerate(names)]

    futures = submit()
    denim.wait(futures)
    waited = [future.result() for future in futures]
    completed = sorted(future.result() for future in denim.as_completed(submit()))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        threads = list(pool.map(lambda i: client.call("nestapp:square", i), range(n)))
    return {
        "call": [client.call("nestapp:square", i) for i in range(n)],
        "gather": client.gather(*submit()),
        "wait": waited,
        "as_completed": completed,
        "map": list(client.map("nestapp:square", range(n))),
        "chunks": list(client.map("nestapp:square", range(n), chunksize=3)),
        "exception": [future.exception() for future in submit()],
        "threads": threads,
    }


def hold(begun: str, end: str, seconds: float = 60.0) -> int:
    """Runs from when `begun` is there until `end` is."""
    Path(begun).touch()
    deadline = time.monotonic() + seconds
    while not Path(end).exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    return os.getpid()


def call(name: str, *args: Any, **options: Any) -> Any:
    return denim.default_client().options(**options).call(name, *args)


def call_for(seconds: float, name: str, *args: Any) -> Any:
    """With a deadline."""
    return call(name, *args, deadline=seconds)


def call_with_client(address: str, name: str, *args: Any) -> Any:
    with denim.Client(address) as client:
        return client.call(name, *args)


def call_and_say(name: str, *args: Any) -> tuple[str, str]:
    """How a nested call failed."""
    try:
        denim.default_client().call(name, *args)
    except Exception as error:
        return type(error).__name__, str(error)
    return "", ""


def call_until_told(name: str, *args: Any) -> str:
    """Until its own soft limit or cancel; then what came."""
    try:
        denim.default_client().call(name, *args)
    except denim.SoftTimeLimit:
        return "SoftTimeLimit"
    return "ended"


def crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def leave_thread(name: str, *args: Any) -> None:
    """Returns while a thread of it waits in a nested call."""
    threading.Thread(target=denim.default_client().call, args=(name, *args)).start()


def manager() -> str:
    return denim.default_client().address
