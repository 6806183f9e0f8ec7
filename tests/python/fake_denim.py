# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""A stand-in for the extension `denim._denim`, for tests of the Python client without servers.

It keeps to what `_denim.pyi` says. A `Wire` is what stands behind all handles of one client: by
default it runs the tasks of `Wire.tasks` at once in the thread that submits; with `manual = True`
it holds calls until the test answers, cancels or rejects them.
"""

from __future__ import annotations

import itertools
import sys
import threading
import time
import types
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import pytest

OUTCOME_NAMES = (
    "VALUE EXCEPTION REJECTED UNAVAILABLE UNKNOWN_TASK DEADLINE TIME_LIMIT LOST POISON CANCELLED"
    " CODEC TOO_LARGE NOT_ALLOWED MISMATCH NESTING_TOO_DEEP"
).split()
REASON_NAMES = (
    "NONE FULL BUSY DRAINING NO_WORKER NO_SERVICE OVER_SHARE EXPIRED TOO_LARGE NOT_ALLOWED DEADLOCK"
    " WINDOW_FULL VERSION MALFORMED STANDBY CRASH OUT_OF_MEMORY SHUTDOWN SILENT RESTARTED"
).split()
NESTING_MAX = 8
OUTCOMES = {name: number for number, name in enumerate(OUTCOME_NAMES)}
REASONS = {name: number for number, name in enumerate(REASON_NAMES)}


@dataclass
class Reply:
    """As the extension's; every attribute can be given."""

    token: Any = None
    id: int = 0
    outcome: int = 0
    reason: int = 0
    text: str = ""
    codec: int = 1
    frames: list[memoryview] = field(default_factory=list)
    worker: str = "w1"
    host: str = "h1"
    signal: int = 0
    exit_code: int = -1
    oom: bool = False
    started: bool = True
    attempts: int = 1
    run_us: int = 10
    wait_us: int = 1


@dataclass
class Call:
    """One call that was submitted and has not ended."""

    id: int
    task: str
    frames: list[bytes]
    codec: int
    token: Any
    options: tuple[Any, ...]
    handle: Any
    sent: bool = True  # False: still held by the client
    cancelled: str = ""
    progress: Any = None

    @property
    def args(self) -> Any:
        """Its arguments, decoded: (args, kwargs)."""
        from denim import payload

        return payload.decode_call(self.frames, self.codec, allow_pickle=True)


class Wire:
    """Everything behind the handles of one fake client."""

    def __init__(self, window: int) -> None:
        self.tasks: dict[str, Any] = {}
        self.manual = False
        self.window = window
        self.open: dict[int, Call] = {}
        self.submitted: list[Call] = []  # all that ever were, oldest first
        self.state = "connected"
        self.status_text = "{}"
        self.changed = threading.Condition()
        self._ids = itertools.count(1)

    def submit(self, handle: Any, token: Any, task: str, frames: Any, codec: int, options: Any):
        copied = [bytes(frame) for frame in frames]
        call = Call(next(self._ids), task, copied, codec, token, options, handle)
        self.open[call.id] = call
        self.submitted.append(call)
        self.changed.notify_all()
        return call

    def run(self, call: Call) -> None:
        """Do as a slot does."""
        from denim import payload

        try:
            args, kwargs = call.args
            function = self.tasks[call.task]
            if type(args) is payload.Chunk:
                value: Any = [function(*item, **kwargs) for item in args]
            else:
                value = function(*args, **kwargs)
            self.answer(call, payload.encode_value(value, call.codec), codec=call.codec)
        except BaseException as error:
            self.answer(call, payload.encode_exception(error), "EXCEPTION")

    def answer(self, call: Call, frames: Any = (), outcome: str = "VALUE", **facts: Any) -> None:
        """End a call."""
        with self.changed:
            if self.open.pop(call.id, None) is None:
                return
            views = [memoryview(bytearray(frame)) for frame in frames]
            number = OUTCOMES[outcome]
            reply = Reply(call.token, call.id, number, frames=views, **facts)
            call.handle.ended.append(reply)
            self.changed.notify_all()

    def wait_for(self, condition: Any, seconds: float = 5.0) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, seconds), "it did not happen in time"


class Client:
    """As the extension's."""

    made: list[Client] = []

    def __init__(self, address, /, *, window=1000, connect_timeout=10.0, name=None, wire=None):
        if address is not None and not address.startswith(("tcp://", "ipc://")):
            raise ValueError(f"{address!r} is no address: write tcp://HOST[:PORT] or ipc://PATH")
        self.address = address
        self.name = name
        self.connect_timeout = connect_timeout
        self.wire = wire or Wire(window)
        self.ended: deque[Reply] = deque()
        self.closed = False
        self.made.append(self)

    def dup(self):
        return Client(self.address, wire=self.wire)

    def _check(self):
        if self.closed:
            raise RuntimeError("the client is closed")

    def submit(self, task, frames, codec, token=None, timeout=None, *options):
        self._check()
        wire = self.wire
        with wire.changed:
            if not wire.changed.wait_for(
                lambda: self.closed or len(wire.open) < wire.window, timeout
            ):
                return 0
            self._check()
            call = wire.submit(self, token, task, frames, codec, options)
        if len(options) > 6 and options[6] > NESTING_MAX:
            wire.answer(call, outcome="NESTING_TOO_DEEP", started=False)
        elif not wire.manual:
            wire.run(call)
        return call.id

    def call(self, task, frames, codec, *options):
        self._check()
        handle = self.dup()
        handle.submit(task, frames, codec, None, None, *options)
        replies = handle.recv(1, 10.0)
        handle.close()
        return replies[0]

    def recv(self, max, timeout, /):
        with self.wire.changed:
            self.wire.changed.wait_for(lambda: self.ended or self.closed, timeout)
            count = min(max, len(self.ended))
            return [self.ended.popleft() for _ in range(count)]

    def cancel(self, id, kill=False, /):
        self._check()
        call = self.wire.open.get(id)
        if call is None:
            return False
        call.cancelled = "kill" if kill else "soft"
        if call.sent:
            return False
        self.wire.answer(call, outcome="CANCELLED", started=False)
        return True

    def running(self, id, /):
        self._check()
        return id in self.wire.open and self.wire.open[id].sent

    def progress(self, id, /):
        call = self.wire.open.get(id)
        return call and call.progress

    def status(self, timeout, /):
        self._check()
        if self.wire.state != "connected":
            raise ConnectionError("no manager was reached")
        return self.wire.status_text

    def info(self):
        self._check()
        waiting = sum(not call.sent for call in self.wire.open.values())
        return {
            "address": self.address,
            "state": self.wire.state,
            "window": self.wire.window,
            "in_flight": len(self.wire.open),
            "waiting": waiting,
            "epoch": 1,
        }

    def close(self):
        with self.wire.changed:
            self.closed = True
            for call in [call for call in self.wire.open.values() if call.handle is self]:
                self.wire.answer(call, outcome="CANCELLED", text="the client was closed")
            self.wire.changed.notify_all()


def module() -> types.ModuleType:
    """A fresh module with the names of the extension."""
    made = types.ModuleType("denim._denim")
    Client.made = []
    for name, value in {
        "OUTCOMES": OUTCOMES,
        "REASONS": REASONS,
        "CODECS": {"json": 1, "pickle": 2},
        "PRIORITIES": {"high": 0, "normal": 1, "low": 2},
        "VERSION": "0.1.0",
        "Reply": Reply,
        "Client": Client,
    }.items():
        setattr(made, name, value)
    return made


@pytest.fixture
def fake(monkeypatch):
    """The fake in the place of the extension; its default client is forgotten afterwards."""
    import denim
    from denim import client, errors

    made = module()
    monkeypatch.setitem(sys.modules, "denim._denim", made)
    monkeypatch.setattr(denim, "_denim", made, raising=False)
    errors._names.cache_clear()
    before = client._set_default(None)
    yield made
    left = client._set_default(before)
    if left is not None:
        left.close()
    errors._names.cache_clear()


def until(condition: Any, seconds: float = 5.0) -> None:
    """Wait for what another thread does and cannot tell of."""
    end_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end_at, "it did not happen in time"
        threading.Event().wait(0.002)
