# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""Nested calls: a task that is itself a client.

Owns what a call made in a task says of that task, and telling the supervisor while the task waits
for such calls, so that its place is lent to others. Must never know clients and their connections.

Everywhere else than in a slot `channel` is None, and whoever calls looks at that first: then nested
calls cost nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from ._channel import Channel
    from .options import Plan

__all__ = ["Waiters", "plan", "wait", "wait_if_needed"]

R = TypeVar("R")

DEPTH_MAX = 255  # that can be told; the bound of levels is the library's

channel: Channel | None = None  # of this process; a slot sets it


def plan(plan: Plan) -> Plan:
    """The plan for a call that is made now: in a task, with the task as its parent.

    A call whose options say nothing of its priority has that of the task.
    """
    task = channel.task() if channel is not None else None
    if task is None:
        return plan
    parent, depth, priority = task
    *first, own, idempotent = plan.tail[:6]
    if plan.inherits:
        own = priority
    return plan._replace(tail=(*first, own, idempotent, min(depth + 1, DEPTH_MAX), parent))


def wait(function: Callable[..., R], /, *args: Any, **kwargs: Any) -> R:
    """Call a function that waits for nested calls.

    Which thread it is does not matter: the task waits while any of its threads does. The counting
    is in C, where the exception of a soft limit cannot come in between.
    """
    if channel is None:
        return function(*args, **kwargs)
    return channel.wait(function, *args, **kwargs)


def wait_if_needed(
    function: Callable[..., R], before: tuple[Any, ...], timeout: float | None, *after: Any
) -> R:
    """function(*before, timeout, *after), where only what gives nothing at once is a wait."""
    got = function(*before, 0.0, *after)
    return got if got or timeout == 0 else wait(function, *before, timeout, *after)


class Waiters(list[Any]):
    """The waiters of a future in a slot.

    `concurrent.futures.wait` and `as_completed` put one into each future, before anybody can see
    it, and then wait for its event. That becomes one that says so; between two futures of
    `as_completed` the task does not wait.
    """

    def append(self, waiter: Any) -> None:
        if type(getattr(waiter, "event", None)) is threading.Event:
            waiter.event = _Event()
        super().append(waiter)


class _Event(threading.Event):
    def wait(self, timeout: float | None = None) -> bool:
        if self.is_set() or (timeout is not None and timeout <= 0):
            return super().wait(timeout)
        return wait(super().wait, timeout)
