# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""The future of a submitted call: a concurrent.futures.Future that can reach the running task.

Owns how a call's end becomes the future's, and cancelling. Must never know payloads or threads.
"""

from __future__ import annotations

import concurrent.futures
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from . import nesting
from .errors import DenimError, TaskCancelled

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._denim import Client as Handle
    from .answers import Again
    from .options import Plan

__all__ = ["Future"]

R = TypeVar("R")
T = TypeVar("T")


class Future(concurrent.futures.Future[T]):
    """How a submitted call will end. Made by `Client.submit`; works wherever a Future does.

    task: name of the task.
    attempts: how often it was tried so far.

        future = client.submit("myapp:add", 2, 3)
        future.result(timeout=5)        # 5, or what the task raised
    """

    def __init__(
        self,
        task: str = "",
        plan: Plan | None = None,
        handle: Handle | None = None,
        keeper: Any = None,
    ) -> None:
        super().__init__()
        if nesting.channel is not None:
            self._waiters = nesting.Waiters()
        self.task = task
        self.attempts = 0
        self._plan: Any = plan
        self._again: Again | None = None  # when it may be called again
        self._handle = handle  # None when there is no call behind it (any more)
        self._id = 0  # of the call in hand; 0 between two attempts
        self._keeper = keeper  # the client, which is not to be forgotten while this one waits
        self._progress: tuple[int, int, str] | None = None
        self._wished = False  # its end was wished for, so there are no more attempts

    def result(self, timeout: float | None = None) -> T:
        """The value, or raises what the task raised; TimeoutError after `timeout` seconds."""
        self._check_fork()
        try:
            return self._get(super().result, timeout)
        except concurrent.futures.CancelledError as error:
            self._say_cancelled(error)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What the task raised, None if it returned. Raises TimeoutError, or TaskCancelled."""
        self._check_fork()
        try:
            return self._get(super().exception, timeout)
        except concurrent.futures.CancelledError as error:
            self._say_cancelled(error)

    def _get(self, get: Callable[[float | None], R], timeout: float | None) -> R:
        """What a method of the base class gives; in a task, waiting for it is a wait."""
        if nesting.channel is None or self.done() or (timeout is not None and timeout <= 0):
            return get(timeout)
        return nesting.wait(get, timeout)

    def _check_fork(self) -> None:
        """In a child of a fork nobody would ever end it."""
        keeper = self._keeper
        if keeper is not None and keeper._link.forked and not self.done():
            sentence = "this denim.Future waits in the parent of this process"
            raise DenimError(sentence, task=self.task)

    def _say_cancelled(self, error: BaseException) -> NoReturn:
        if isinstance(error, DenimError):
            raise error
        raise TaskCancelled(f"{self.task}: cancelled before it ran", task=self.task) from None

    def cancel(self) -> bool:
        """Wish that the call ends.

        True: it had not been handed out, or was cancelled before; it is done now. False, as for any
        Future that runs or is done: a running task has an exception raised in it (no `Exception`,
        so that it is not caught by chance), and if that ends it, the future ends as
        `TaskCancelled`.
        """
        return self._wish(kill=False)

    def kill(self) -> bool:
        """Like cancel, but a running task's slot is killed."""
        return self._wish(kill=True)

    def _wish(self, kill: bool) -> bool:
        self._wished = True
        handle, number = self._handle, self._id
        if self.done():
            return self.cancelled()
        if handle is not None and number:
            try:
                if not handle.cancel(number, kill):
                    return False
            except RuntimeError:  # the client is being closed, which cancels it
                return False
        if super().cancel():
            with self._condition:  # type: ignore[attr-defined]
                if self._state == "CANCELLED":  # type: ignore[attr-defined]
                    self.set_running_or_notify_cancel()  # for wait() and as_completed()
        return self.cancelled()

    def cancelled(self) -> bool:
        """Whether it ended by being cancelled, before it ran or while."""
        if super().cancelled():
            return True
        error = self._exception  # type: ignore[attr-defined]
        return isinstance(error, TaskCancelled)

    def running(self) -> bool:
        """Whether a worker is known to have the task now."""
        handle, number = self._handle, self._id
        if handle is None or not number or self.done():
            return False
        try:
            return handle.running(number)
        except RuntimeError:  # the client is being closed
            return False

    @property
    def progress(self) -> tuple[int, int, str] | None:
        """What `denim.progress(done, total, text)` in the task last said; None before that.

        After the end it is what this property last gave.
        """
        handle, number = self._handle, self._id
        if handle is not None and number and not self.done():
            try:
                self._progress = handle.progress(number) or self._progress
            except RuntimeError:  # the client is being closed
                pass
        return self._progress

    def _end(self, value: Any, error: BaseException | None) -> None:
        """End it, unless it was cancelled meanwhile; lets go of all that it needed."""
        self._handle = self._keeper = self._again = None
        try:
            if error is None:
                self.set_result(value)
            else:
                self.set_exception(error)
        except concurrent.futures.InvalidStateError:
            pass

    def __reduce__(self) -> NoReturn:
        raise TypeError("a denim.Future cannot be pickled: pass its result() instead")
