# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""The thread that ends the futures of a client, and what it does besides.

Owns calling again what may be called again, and the warning about a manager that went away. Must
never refer to a Client: one that is forgotten is closed, and that ends this thread.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from . import payload
from .errors import DenimError, RemoteError, TaskCancelled, from_reply

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._denim import Client as Handle
    from ._denim import Reply
    from .future import Future
    from .options import Plan

__all__ = ["EXCEPTION", "RECV_MAX", "VALUE", "Again", "Answers", "Schedule", "value_of"]

VALUE = 0  # outcomes, as in denim.h
EXCEPTION = 1
RECV_MAX = 256  # replies taken in one go
LOOK_EVERY = 1.0  # seconds between two looks at the state of a silent connection
LOST_WARNING = 3.0  # seconds after which a manager that went away is worth a warning
FULL_PAUSE = 0.05  # seconds until a retry that met a full window is submitted again
CLOSING_PAUSE = 0.01  # and between two looks at a handle that is being closed

logger = logging.getLogger("denim")
logger.addHandler(logging.NullHandler())


def value_of(reply: Reply, plan: Plan) -> Any:
    """The value that a reply with outcome VALUE brings. Raises CodecError."""
    return payload.decode(reply.frames, reply.codec, allow_pickle=plan.codec == payload.PICKLE)


class Again:
    """One call that may be made again: what is needed for that.

    attempts: made so far. frames: its arguments, encoded.
    """

    def __init__(self, plan: Plan, frames: Sequence[Any]) -> None:
        self.plan = plan
        self.frames = frames
        self.attempts = 1
        self._started = time.monotonic()

    def pause(self, reply: Reply, failure: BaseException) -> float | None:
        """Seconds until the next attempt, None if there is none; counts the one that has failed."""
        remote = failure.__cause__ if isinstance(failure.__cause__, RemoteError) else failure
        if isinstance(remote, DenimError):
            remote.attempts = max(remote.attempts, self.attempts)
        if reply.outcome != EXCEPTION or self.plan.retry is None:
            return None
        return self.plan.retry.delay(failure, self.attempts, time.monotonic() - self._started)

    def tail(self) -> tuple[Any, ...]:
        """The options for the next attempt."""
        return self.plan.tail_after(time.monotonic() - self._started)


class Schedule:
    """Calls that wait for their next attempt, by time. For one thread."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Any]] = []
        self._order = itertools.count()

    def __bool__(self) -> bool:
        return bool(self._heap)

    def put(self, pause: float, token: Any) -> None:
        """Have `token` come due in `pause` seconds."""
        heapq.heappush(self._heap, (time.monotonic() + pause, next(self._order), token))

    def take(self) -> Any:
        """A token that is due, None if there is none."""
        if self._heap and self._heap[0][0] <= time.monotonic():
            return heapq.heappop(self._heap)[2]
        return None

    def wait(self, longest: float | None) -> float | None:
        """Seconds until the next comes due, `longest` at most."""
        if not self._heap:
            return longest
        pause = max(self._heap[0][0] - time.monotonic(), 0.0)
        return pause if longest is None else min(pause, longest)

    def clear(self) -> list[Any]:
        """Take all, due or not."""
        tokens = [token for _, _, token in self._heap]
        self._heap.clear()
        return tokens


class Answers:
    """Receives the answers of one handle and ends the futures that are their tokens."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._schedule = Schedule()
        self._watch = _Watch(handle)
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="denim-answers", daemon=True)

    def start(self) -> None:
        if self._thread.ident is None:  # else an exception of a signal left the last start
            self._thread.start()

    def end(self) -> None:
        """The handle has been closed: all answers that will come are there."""
        self._ending = True

    def join(self, timeout: float) -> None:
        """Wait for the end, at most `timeout` seconds; from a callback of a future: not at all."""
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            ending = self._ending
            try:
                replies = self._handle.recv(RECV_MAX, self._schedule.wait(LOOK_EVERY))
            except RuntimeError:
                break
            for reply in replies:
                self._take(reply)
            if self._schedule:
                self._submit_due()
            if not replies:
                if ending:
                    break
                if not self._watch.look():
                    time.sleep(CLOSING_PAUSE)
        for future in self._schedule.clear():
            sentence = f"{future.task}: its client was closed before it was tried again"
            future._end(None, TaskCancelled(sentence, task=future.task))

    def _take(self, reply: Reply) -> None:
        future: Future[Any] = reply.token
        try:
            future.attempts += reply.attempts
            if reply.outcome == VALUE:
                future._end(value_of(reply, future._plan), None)
            else:
                self._fail(future, reply)
        except DenimError as error:
            error.task = error.task or future.task
            future._end(None, error)
        except BaseException:  # of a callback; this thread has more futures to end
            logger.exception("a callback of %r raised", future)

    def _fail(self, future: Future[Any], reply: Reply) -> None:
        failure = from_reply(reply, future.task)
        again = future._again
        if again is not None:
            pause = again.pause(reply, failure)
            if pause is not None and not future._wished:
                future._id = 0
                self._schedule.put(pause, future)
                return
        future._end(None, failure)

    def _submit_due(self) -> None:
        while (future := self._schedule.take()) is not None:
            if future.done():
                continue
            again = future._again
            try:
                number = self._handle.submit(
                    future.task, again.frames, again.plan.codec, future, 0.0, *again.tail()
                )
            except RuntimeError:  # closed
                number = 0
            if not number:
                self._schedule.put(FULL_PAUSE, future)
                return
            again.attempts += 1
            future._id = number
            if future._wished:
                future.cancel()


class _Watch:
    """Says when the manager went away, once, and when it is back."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._lost_at: float | None = None
        self._warned = False

    def look(self) -> bool:
        """False: the handle is closed."""
        try:
            info = self._handle.info()
        except RuntimeError:
            return False
        now = time.monotonic()
        if info["state"] != "lost":
            if self._warned:
                logger.warning("manager at %s answers again", info["address"])
            self._lost_at, self._warned = None, False
        elif self._lost_at is None:
            self._lost_at = now
        elif not self._warned and now - self._lost_at >= LOST_WARNING - LOOK_EVERY:
            self._warned = True
            logger.warning(
                "manager at %s does not answer; %d calls wait for it",
                info["address"],
                info["in_flight"],
            )
        return True
