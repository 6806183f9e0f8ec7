# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""The engine of map: many calls of one task, in the caller's own thread.

Owns how far ahead items are taken, the order of values, chunks and retries of a map. Must never
know clients. It submits through a handle of its own and receives from it itself: no other thread,
no future, one turn of a short loop for each item.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from . import nesting, payload
from .answers import FULL_PAUSE, RECV_MAX, VALUE, Again, Schedule, value_of
from .errors import CodecError, DenimError, from_reply
from .progress import Bar

if TYPE_CHECKING:
    from ._denim import Client as Handle
    from ._denim import Reply
    from .options import Plan

__all__ = ["Mapping", "length"]


class _Failed(NamedTuple):
    """A call that has ended, or never was one, with this."""

    error: BaseException


class Mapping:
    """One map. Calls are numbered from 0; with chunks, a call is a chunk.

    sent: calls submitted. taken: of those, ended and handed on. Never are more than `limit` calls
    in between, so memory is bounded however many items there are.
    """

    def __init__(
        self,
        handle: Handle,
        task: str,
        plan: Plan,
        items: Iterator[tuple[Any, ...]],
        *,
        chunksize: int,
        buffersize: int,
        ordered: bool,
        end_at: float | None,
        return_exceptions: bool,
    ) -> None:
        self._handle = handle
        self._task = task
        self._plan = plan
        self._items: Iterator[tuple[Any, ...]] | None = items  # None: there are no more
        self._chunksize = chunksize
        self._limit = max(buffersize // chunksize, 1)
        self._end_at = end_at
        self._return_exceptions = return_exceptions
        self._sent = 0
        self._taken = 0
        self._held: Sequence[Any] | None = None  # frames that met a full window
        self._broken: Exception | None = None  # what the items themselves raised, at their end
        self._sizes: dict[int, int] = {}  # items of each chunk that is out
        self._ended: dict[int, Reply | _Failed] | None = {} if ordered else None
        self._arrived: deque[tuple[int, Reply | _Failed]] = deque()  # when not ordered
        self._again: dict[int, Again] = {}  # only of a plan with retries
        self._schedule = Schedule()
        self._abandoned = False

    def abandon(self) -> None:
        """Any thread: the client is closed, so the iterator is to raise."""
        self._abandoned = True
        self._handle.close()

    def values(
        self, keeper: object, total: int | None, progress: bool
    ) -> Generator[Any, None, None]:
        """The iterator. Its first item is None, and comes when the first calls are submitted."""
        bar = Bar(total) if progress else None
        try:
            self._feed()
            yield None
            while (ended := self._take()) is not None:
                self._feed()
                if self._chunksize == 1:
                    value = self._value(ended[1])
                    if bar is not None:
                        bar.advance()
                    yield value
                else:
                    for value in self._chunk(*ended):
                        if bar is not None:
                            bar.advance()
                        yield value
        finally:
            self._handle.close()
            if bar is not None:
                bar.close()
            del keeper

    # --- out ---

    def _feed(self, timeout: float | None = 0.0) -> None:
        """Submit until the limit, the window or the end of the items is met."""
        while self._sent - self._taken < self._limit:
            frames = self._held
            if frames is None:
                frames = self._next()
                if frames is None:
                    return
            number = self._submit(frames, self._sent, timeout, self._plan.tail)
            if not number:
                self._held = frames
                return
            self._held = None
            if self._plan.retry is not None:
                self._again[self._sent] = Again(self._plan, frames)
            self._sent += 1

    def _submit(
        self, frames: Sequence[Any], token: int, timeout: float | None, tail: tuple[Any, ...]
    ) -> int:
        call = (self._task, frames, self._plan.codec, token)
        try:
            if nesting.channel is None or timeout == 0:
                return self._handle.submit(*call, timeout, *tail)
            return nesting.wait_if_needed(self._handle.submit, call, timeout, *tail)
        except RuntimeError as error:
            raise self._gone(error) from None

    def _next(self) -> Sequence[Any] | None:
        """The next call's frames. None when there are no items, or limits are met, now."""
        while self._items is not None and self._sent - self._taken < self._limit:
            try:
                item = next(self._items, None)
                if item is None:
                    self._items = None
                    return None
                if self._chunksize == 1:
                    return payload.encode(item, None, self._plan.codec)
                return self._next_chunk(item)
            except CodecError as error:
                error.task = self._task
                self._put(self._sent, _Failed(error))
                self._sent += 1
            except Exception as error:  # of the caller's iterables: raised where it belongs
                self._items = None
                self._broken = error
        return None

    def _next_chunk(self, first: tuple[Any, ...]) -> Sequence[Any]:
        assert self._items is not None
        chunk = [first]
        while len(chunk) < self._chunksize and (item := next(self._items, None)) is not None:
            chunk.append(item)
        self._sizes[self._sent] = len(chunk)
        return payload.encode_chunk(chunk, self._plan.codec)

    # --- in ---

    def _take(self) -> tuple[int, Reply | _Failed] | None:
        """The call whose turn it is, when it has ended; None after the last."""
        while True:
            number = self._taken
            if self._ended is None:
                if self._arrived:
                    self._taken += 1
                    return self._arrived.popleft()
            else:
                ended = self._ended.pop(number, None)
                if ended is not None:
                    self._taken += 1
                    return number, ended
            if number == self._sent:
                if self._items is None and self._held is None:
                    if self._broken is not None:
                        raise self._broken
                    return None
                self._feed(self._patience(1.0))  # the window is full of other calls
            else:
                self._receive()

    def _receive(self) -> None:
        """Wait for answers; what is to be called again is not one."""
        if self._schedule:
            self._submit_due()
        timeout = self._schedule.wait(self._patience(None))
        if nesting.channel is None:
            replies = self._handle.recv(RECV_MAX, timeout)
        else:
            replies = nesting.wait_if_needed(self._handle.recv, (RECV_MAX,), timeout)
        if not replies and self._abandoned:
            raise self._gone(None)
        for reply in replies:
            if reply.outcome != VALUE and self._again:
                self._fail(reply)
            else:
                self._put(reply.token, reply)

    def _patience(self, longest: float | None) -> float | None:
        """Seconds to wait at most. Raises TimeoutError when there are none left."""
        if self._end_at is None:
            return longest
        left = self._end_at - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"{self._task}: the map did not end in time")
        return left if longest is None else min(left, longest)

    def _put(self, number: int, ended: Reply | _Failed) -> None:
        if self._ended is None:
            self._arrived.append((number, ended))
        else:
            self._ended[number] = ended
        if self._again:
            self._again.pop(number, None)

    def _fail(self, reply: Reply) -> None:
        """Call it again later, or let it have failed."""
        failure = from_reply(reply, self._task)
        pause = self._again[reply.token].pause(reply, failure)
        if pause is None:
            self._put(reply.token, _Failed(failure))
        else:
            self._schedule.put(pause, reply.token)

    def _submit_due(self) -> None:
        while (number := self._schedule.take()) is not None:
            again = self._again[number]
            if not self._submit(again.frames, number, 0.0, again.tail()):
                self._schedule.put(FULL_PAUSE, number)
                return
            again.attempts += 1

    # --- values ---

    def _value(self, ended: Reply | _Failed) -> Any:
        """The value, or raises; an exception is the value when the caller wants it so."""
        if not isinstance(ended, _Failed):
            if ended.outcome == VALUE:
                return value_of(ended, self._plan)
            ended = _Failed(from_reply(ended, self._task))
        if self._return_exceptions:
            return ended.error
        raise ended.error

    def _chunk(self, number: int, ended: Reply | _Failed) -> list[Any]:
        size = self._sizes.pop(number, 1)
        values = self._value(ended)
        if isinstance(values, BaseException):
            return [values] * size
        if type(values) is not list or len(values) != size:
            raise CodecError(f"{self._task}: a chunk of {size} calls brought something else")
        return values

    def _gone(self, error: RuntimeError | None) -> DenimError:
        sentence = "this denim.Client is closed" if self._abandoned or not error else str(error)
        return DenimError(sentence, task=self._task)


def length(iterables: Sequence[Any]) -> int | None:
    """How many items map will take; None when one of the iterables cannot tell.

    >>> length(([1, 2, 3], "ab")), length((iter([1]),))
    (2, None)
    """
    try:
        return min(map(len, iterables), default=0)
    except TypeError:
        return None
