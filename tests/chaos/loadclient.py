# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""One client process of a chaos run: submits tasks until its standard input says or is the end.

Each call leaves a line before it is submitted and one when it has ended, in one write each, so that
the history holds when this process is killed:

    {"call": KEY, "task": ..., "idempotent": ..., "at": NANOSECONDS}
    {"end": KEY, "outcome": ..., "value": ..., "attempts": ..., "started": ..., "at": ...}

    loadclient.py '{"address": ..., "name": ..., "seed": ..., "window": ..., "pause_s": ...,
                    "patience_s": ..., "history": PATH}'
"""

from __future__ import annotations

import concurrent.futures
import heapq
import json
import os
import random
import select
import sys
import threading
import time
from typing import Any, NamedTuple

import denim

LONG_NAP_S = 0.3
LEVELS = 3  # of nested calls
CANCELLED = 0.06  # parts of all calls
KILLED = 0.01
WITH_DEADLINE = 0.1
IDEMPOTENT = 0.3
DEADLINE_S = (0.05, 3.0)


class Choice(NamedTuple):
    """What to call, and what is to happen to it. cancel_s: None: nothing."""

    task: str
    args: tuple[Any, ...]
    options: dict[str, Any]
    cancel_s: float | None
    kill: bool


def choose(dice: random.Random) -> Choice:
    """The mix: most are short, some sleep, some raise, some call others."""
    task = dice.choices(("short", "nap", "fail", "nest"), (72, 12, 8, 8))[0]
    args: tuple[Any, ...] = ()
    if task == "nap":
        args = (dice.uniform(0.005, LONG_NAP_S),)
    elif task == "nest":
        args = (dice.randint(1, LEVELS),)
    options: dict[str, Any] = {}
    if dice.random() < IDEMPOTENT:
        options["idempotent"] = True
    if dice.random() < WITH_DEADLINE:
        options["deadline"] = dice.uniform(*DEADLINE_S)
    fate = dice.random()
    cancel_s = dice.uniform(0, LONG_NAP_S / 2) if fate < CANCELLED + KILLED else None
    return Choice(task, args, options, cancel_s, fate < KILLED)


class Load:
    """The calls of this process. Its callbacks run in the client's thread."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._config = config
        self._dice = random.Random(config["seed"])
        self._client = denim.Client(config["address"], window=config["window"] * 2)
        self._history = os.open(config["history"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._room = threading.Semaphore(config["window"])
        self._open: dict[str, Any] = {}
        self._wishes: list[tuple[float, str, bool]] = []
        self._made = 0

    def run(self) -> None:
        """Submit until it is time to stop; then wait for the ends, and say which did not come."""
        while not self._is_stopped(self._config["pause_s"]):
            if self._room.acquire(timeout=self._config["pause_s"]):
                self._submit()
            self._wish()
        end_at = time.monotonic() + self._config["patience_s"]
        while self._open and time.monotonic() < end_at:
            self._wish()
            time.sleep(0.01)
        sys.stdout.write(f"left {len(self._open)}\n")
        sys.stdout.flush()
        os._exit(0 if not self._open else 1)  # closing would end what is open as cancelled

    def _is_stopped(self, pause_s: float) -> bool:
        return bool(select.select([0], [], [], pause_s)[0])

    def _submit(self) -> None:
        choice = choose(self._dice)
        self._made += 1
        key = f"{self._config['name']}.{self._made}"
        idempotent = choice.options.get("idempotent", False)
        self._write(call=key, task=choice.task, idempotent=idempotent)
        future = self._client.options(**choice.options).submit(
            f"chaosapp:{choice.task}", key, *choice.args
        )
        self._open[key] = future
        if choice.cancel_s is not None:
            heapq.heappush(self._wishes, (time.monotonic() + choice.cancel_s, key, choice.kill))
        future.add_done_callback(lambda ended: self._ended(key, ended))

    def _wish(self) -> None:
        """Cancel what is due for that."""
        while self._wishes and self._wishes[0][0] <= time.monotonic():
            _, key, kill = heapq.heappop(self._wishes)
            future = self._open.get(key)
            if future is not None:
                future.kill() if kill else future.cancel()

    def _ended(self, key: str, future: Any) -> None:
        value, started = "", False
        try:
            outcome, value = "value", future.result(0)
        except concurrent.futures.CancelledError:
            outcome = "TaskCancelled"
        except BaseException as error:
            outcome = type(error).__name__
            value = str(error.args[0]) if error.args else ""
            started = getattr(error, "started", False)
        self._write(
            end=key, outcome=outcome, value=value, attempts=future.attempts, started=started
        )
        self._open.pop(key, None)
        self._room.release()

    def _write(self, **record: Any) -> None:
        record["at"] = time.monotonic_ns()
        os.write(self._history, json.dumps(record).encode() + b"\n")


if __name__ == "__main__":
    Load(json.loads(sys.argv[1])).run()
