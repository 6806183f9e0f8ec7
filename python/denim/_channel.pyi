# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""The C half of a slot (sources: src/slot). Only `denim._slot` uses it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from .critical import Place

R = TypeVar("R")

# Outcomes, as in denim.h.
VALUE: int
EXCEPTION: int
REJECTED: int
UNAVAILABLE: int
UNKNOWN_TASK: int
DEADLINE: int
TIME_LIMIT: int
LOST: int
POISON: int
CANCELLED: int
CODEC: int
TOO_LARGE: int
NOT_ALLOWED: int
MISMATCH: int
NESTING_TOO_DEEP: int

# What a signal wishes of the running task.
WISH_LIMIT: int
WISH_CANCEL: int

def settle(parent: int, is_zygote: bool, /) -> bool:
    """Tie this process to its parent and prepare it. False: the parent has died already."""

class Channel:
    """A slot's end of the socketpair to its supervisor; one for a process.

    payload_max: bytes of all payload frames of one message, 0 for no bound. has_page: descriptor 4
    is the page that slot and supervisor share; without it every task may start. worker, host: named
    in every answer that is no value.
    """

    def __new__(
        cls, payload_max: int = 0, has_page: bool = True, worker: str = "", host: str = ""
    ) -> Channel: ...
    def ready(
        self, threads: int, python: str, executable: str, library: str, services: list[str], /
    ) -> None:
        """The app is imported."""
    def failed(self, module: str, text: str, traceback: str, /) -> None:
        """The app cannot be imported."""
    def serve(
        self,
        run: Callable[[str, int, list[Any]], tuple[int, int, list[Any], str]],
        interrupt: Callable[[int], BaseException | None],
        critical: tuple[Place, ...],
        /,
    ) -> None:
        """Run tasks until the supervisor says STOP; its end ends the process.

        run(name, codec, frames) -> (outcome, codec, frames, text) is called for each task, frames
        being bytes and then bytearrays. interrupt(wish) is called when a signal meant for the
        running task has come; it gives the exception to raise in it, or None. While the task is in
        one of the `critical` places, or a finalizer, that is put off, for a second at most.
        """
    def call(
        self, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any] | None, /
    ) -> Any:
        """Call the function of the task in hand, measured, and open to its signals. Once for a
        task.
        """
    def wish(self) -> int:
        """What was wished of the task in hand and told to it: 0, WISH_LIMIT or WISH_CANCEL."""
    def task(self) -> tuple[bytes, int, int] | None:
        """Of the task in hand: what a nested call names as its parent, its depth, its priority."""
    def progress(self, done: int, total: int, text: str, /) -> None:
        """Say how far the task in hand is; the latest counts."""
    def wait(self, function: Callable[..., R], /, *args: Any, **kwargs: Any) -> R:
        """Call a function in which the task in hand waits for calls of its own.

        The supervisor is told when the first thread begins to wait and when none waits any more;
        the end of the task ends all waiting. Without a task the function is called, and that is
        all.
        """
    def zygote(self) -> int | None:
        """Be forked into slots: the slot's number in each child, None in the zygote at its end."""
