# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""Options of a call, and the name that a function goes by.

Owns what options there are, their checks and how they combine, when a failed task is called again,
and `task_name`. Must never know clients or connections.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from . import payload
from .errors import RemoteError

__all__ = ["Options", "Plan", "Retry", "task_name"]

PRIORITIES = ("high", "normal", "low")  # in the order of their numbers
BACKOFF_MAX = 60.0  # seconds between two attempts, at most


@dataclass(frozen=True)
class Options:
    """Options of calls; None is "not said". Raises TypeError or ValueError for one that is wrong.

    service: where it is to run; by default the part of the task's name before ":".
    deadline: seconds from now until the call must have ended.
    soft_limit, hard_limit: seconds of run time until `SoftTimeLimit` is raised in the task, and
        until its slot is killed.
    priority: "high", "normal" or "low".
    idempotent: it may run twice: after a lost worker it is submitted again.
    codec: "json" or "pickle".
    retries: how often it is called again when the task raised one of `retry_on` (an exception class
        or a tuple of them; by default any Exception), the first time after `retry_backoff` seconds
        (by default 0.5), and twice as long each further time.

    >>> Options(deadline=2).over(Options(deadline=5, idempotent=True))
    Options(deadline=2.0, idempotent=True)
    """

    service: str | None = None
    deadline: float | None = None
    soft_limit: float | None = None
    hard_limit: float | None = None
    priority: str | None = None
    idempotent: bool | None = None
    codec: str | None = None
    retries: int | None = None
    retry_on: type[BaseException] | tuple[type[BaseException], ...] | None = None
    retry_backoff: float | None = None

    def __post_init__(self) -> None:
        for name, check in _CHECKS.items():
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, check(name, value))

    def over(self, base: Options) -> Options:
        """These options, and those of `base` where these say nothing."""
        return Options(**{**base.said(), **self.said()})

    def said(self) -> dict[str, Any]:
        """The options that are not None, by name."""
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {name: value for name, value in values if value is not None}

    def plan(self) -> Plan:
        """What a call needs of them, worked out once."""
        priority = PRIORITIES.index(self.priority or "normal")
        limits = (self.deadline, self.soft_limit, self.hard_limit)
        return Plan(
            payload.CODECS[self.codec or "json"],
            (self.service, *limits, priority, bool(self.idempotent)),
            self._retry(),
            self.priority is None,
        )

    def _retry(self) -> Retry | None:
        if not self.retries:
            return None
        kinds = (Exception,) if self.retry_on is None else self.retry_on
        backoff = 0.5 if self.retry_backoff is None else self.retry_backoff
        return Retry(self.retries, kinds, backoff, self.deadline)  # type: ignore[arg-type]

    def __repr__(self) -> str:
        said = ", ".join(f"{name}={value!r}" for name, value in self.said().items())
        return f"Options({said})"


def _check_service(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {value!r}")
    if not 1 <= len(value.encode()) <= 127:
        raise ValueError(f"{name} must have 1 to 127 bytes, not {value!r}")
    return value


def _check_seconds(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds, not {value!r}")
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be a number of seconds above 0, not {value!r}")
    return float(value)


def _check_backoff(name: str, value: Any) -> float:
    return 0.0 if value == 0 else _check_seconds(name, value)


def _check_priority(name: str, value: Any) -> str:
    if value not in PRIORITIES:
        raise ValueError(f'{name} must be "high", "normal" or "low", not {value!r}')
    return str(value)


def _check_codec(name: str, value: Any) -> str:
    if value not in payload.CODECS:
        raise ValueError(f'{name} must be "json" or "pickle", not {value!r}')
    return str(value)


def _check_flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, not {value!r}")
    return value


def _check_retries(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, not {value!r}")
    if value < 0:
        raise ValueError(f"{name} must be 0 or more, not {value!r}")
    return value


def _check_retry_on(name: str, value: Any) -> tuple[type[BaseException], ...]:
    kinds = value if isinstance(value, tuple) else (value,)
    for kind in kinds:
        if not isinstance(kind, type) or not issubclass(kind, BaseException):
            raise TypeError(f"{name} must be exception classes, not {kind!r}")
    return kinds


_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "service": _check_service,
    "deadline": _check_seconds,
    "soft_limit": _check_seconds,
    "hard_limit": _check_seconds,
    "priority": _check_priority,
    "idempotent": _check_flag,
    "codec": _check_codec,
    "retries": _check_retries,
    "retry_on": _check_retry_on,
    "retry_backoff": _check_backoff,
}


class Retry(NamedTuple):
    """When a task that raised is called again.

    retries: attempts after the first. deadline: seconds for all attempts together, or None.
    """

    retries: int
    retry_on: tuple[type[BaseException], ...]
    backoff: float
    deadline: float | None

    def delay(self, error: BaseException, attempts: int, spent: float) -> float | None:
        """Seconds until the next attempt after `attempts` of them and `spent` seconds; None: none.

        >>> Retry(1, (OSError,), 0.0, None).delay(OSError(), 1, 0.0)
        0.0
        """
        if attempts > self.retries or not self._concerns(error):
            return None
        pause = min(self.backoff * 2.0 ** (attempts - 1), BACKOFF_MAX) * random.uniform(1.0, 1.25)
        if self.deadline is not None and spent + pause >= self.deadline:
            return None
        return pause

    def _concerns(self, error: BaseException) -> bool:
        """By class, or by the class's name where it could not be made here."""
        if isinstance(error, self.retry_on):
            return True
        return isinstance(error, RemoteError) and any(
            (kind.__module__, kind.__name__) == (error.module, error.type_name)
            for kind in self.retry_on
        )


class Plan(NamedTuple):
    """Options as a call needs them.

    codec: number. tail: service, deadline, soft_limit, hard_limit, priority, idempotent, and of a
    nested call depth and parent, in the order of the extension's submit and call. retry: None when
    it is not called again. inherits: nothing was said of its priority.
    """

    codec: int
    tail: tuple[Any, ...]
    retry: Retry | None
    inherits: bool

    def tail_after(self, spent: float) -> tuple[Any, ...]:
        """`tail` with what is left of the deadline after `spent` seconds."""
        service, deadline, *rest = self.tail
        return (service, deadline and max(deadline - spent, 0.001), *rest)


def task_name(task: Any) -> str:
    """The name by which workers know a task: a str as it is, of a function "module:qualname".

    Raises ValueError or TypeError with a sentence when the workers cannot know it by any name.

    >>> import json
    >>> task_name(json.dumps)
    'json:dumps'
    """
    if isinstance(task, str):
        if not all(task.partition(":")):
            raise ValueError(f'a task is named "module:function", and {task!r} is not')
        return task
    if not callable(task):
        raise TypeError(f'a task is "module:function" or a function, not {task!r}')
    module, name = (getattr(task, what, None) for what in ("__module__", "__qualname__"))
    if hasattr(task, "__self__") and not isinstance(task.__self__, type(math)):
        raise ValueError(f"{task!r} is a method and carries its object along: pass a function")
    if not isinstance(module, str) or not isinstance(name, str):
        raise TypeError(f"{task!r} has no name that the workers could know: pass a function")
    if name == "<lambda>":
        raise ValueError("a lambda has no name that the workers could know: define a function")
    if "<locals>" in name:
        raise ValueError(
            f"{name!r} is defined inside a function, where the workers cannot find it: move it to"
            " the top of its module"
        )
    if module == "__main__":
        raise ValueError(
            f"{name!r} is defined in __main__, the program itself: put it in a module that the"
            " workers can import, and import it from there"
        )
    return f"{module}:{name}"
