# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""The exceptions of denim: one tree, and the table that makes them from ended calls.

Owns the classes, and `from_reply`, the one place where an outcome becomes an exception. Must never
know sockets, futures, or how a payload is encoded.

Every class is also the built-in one that a caller would try anyway:

    DenimError          Exception           root of all
    ManagerUnavailable  ConnectionError     no manager was reached; nothing ran
    Rejected                                refused until the deadline; nothing ran
    UnknownTask         LookupError         no worker has it; nothing ran
    DeadlineExceeded    TimeoutError        .started says whether it ran
    TimeLimit           TimeoutError        hit its hard limit and was killed
    WorkerLost                              the slot or its host died; it may have run
    PoisonTask          WorkerLost          gave up after several lost slots
    TaskCancelled       CancelledError      cancelled by the caller
    RemoteError                             the task raised
    CodecError          TypeError           a value cannot be encoded or decoded
    PayloadTooLarge     ValueError          larger than the manager takes
    NotAllowed          PermissionError     key, service or codec refused
    ProtocolMismatch                        the two sides speak different protocols
    NestingTooDeep      RecursionError      nested calls beyond the bound; nothing ran

`SoftTimeLimit` stands apart: it is raised *inside* a task and is no `Exception`, so that a task's
own `except Exception` does not swallow it.
"""

from __future__ import annotations

import builtins
import concurrent.futures
import functools
import signal as signals
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._denim import Reply

__all__ = [
    "CodecError",
    "DeadlineExceeded",
    "DenimError",
    "ManagerUnavailable",
    "NestingTooDeep",
    "NotAllowed",
    "PayloadTooLarge",
    "PoisonTask",
    "ProtocolMismatch",
    "Rejected",
    "RemoteError",
    "SoftTimeLimit",
    "TaskCancelled",
    "TimeLimit",
    "UnknownTask",
    "WorkerLost",
    "from_reply",
]


class DenimError(Exception):
    """Root of all that denim raises.

    reason: name of the outcome in the public table, such as "LOST" (of a `Rejected`: why).
    why: name of the reason behind it in the table of reasons, such as "CRASH"; "" if there is none.
    task: the task's name, "" if there is none.
    worker: the worker's name, "" if none was involved.
    attempts: how often it was tried; 0 when nothing was submitted.

    >>> try:
    ...     raise WorkerLost("the slot died", task="myapp:add", attempts=1)
    ... except DenimError as error:
    ...     print(error.reason, error.task, error)
    LOST myapp:add the slot died
    """

    reason: str = ""
    why: str = ""
    task: str = ""
    worker: str = ""
    attempts: int = 0

    def __init__(self, sentence: str = "", /, **facts: Any) -> None:
        super().__init__(sentence)
        for name, value in facts.items():
            if name.startswith("_") or not hasattr(type(self), name):
                raise TypeError(f"{type(self).__name__} has no attribute {name!r}")
            setattr(self, name, value)


class ManagerUnavailable(DenimError, ConnectionError):
    """No manager was reached in time. Nothing ran."""

    reason = "UNAVAILABLE"


class Rejected(DenimError):
    """Refused until the deadline (or for ever, by reason). Nothing ran.

    reason: name in the table of reasons, such as "BUSY" or "WINDOW_FULL".
    """

    reason = "REJECTED"


class UnknownTask(DenimError, LookupError):
    """No worker has a task of that name; the sentence names the nearest ones. Nothing ran."""

    reason = "UNKNOWN_TASK"


class DeadlineExceeded(DenimError, TimeoutError):
    """The deadline passed.

    started: whether the task has run, or may have.
    """

    reason = "DEADLINE"
    started: bool = False


class TimeLimit(DenimError, TimeoutError):
    """The run hit its hard limit and was killed."""

    reason = "TIME_LIMIT"


class WorkerLost(DenimError):
    """The slot that ran the task died, or its host did. The task may have run.

    signal: number of the signal that ended the slot, None if none did.
    exit_code: of the slot, None if it did not exit by itself.
    oom: it was killed for the memory it used.
    host: name of the host, "" if not known.
    """

    reason = "LOST"
    signal: int | None = None
    exit_code: int | None = None
    oom: bool = False
    host: str = ""


class PoisonTask(WorkerLost):
    """Given up after `attempts` slots were lost with it."""

    reason = "POISON"


class TaskCancelled(DenimError, concurrent.futures.CancelledError):
    """The call was cancelled by its caller, or its client was closed."""

    reason = "CANCELLED"


class RemoteError(DenimError):
    """The task raised. The cause of the exception of the task's own type, where that one is raised.

    type_name: name of the exception's class, such as "ValueError".
    module: where that class is defined, such as "builtins".
    message: str() of the exception.
    traceback_text: the traceback on the worker, with causes and notes.
    """

    reason = "EXCEPTION"
    type_name: str = ""
    module: str = ""
    message: str = ""
    traceback_text: str = ""


class CodecError(DenimError, TypeError):
    """A value cannot be encoded or decoded.

    path: where it is inside the value, such as "args[1]['x'][3]"; "" if not known.
    """

    reason = "CODEC"
    path: str = ""


class PayloadTooLarge(DenimError, ValueError):
    """Arguments or value are larger than the manager takes. Arguments: nothing ran."""

    reason = "TOO_LARGE"


class NotAllowed(DenimError, PermissionError):
    """Key, service or codec refused."""

    reason = "NOT_ALLOWED"


class ProtocolMismatch(DenimError):
    """The two sides speak different versions of the protocol; the sentence names both."""

    reason = "MISMATCH"


class NestingTooDeep(DenimError, RecursionError):
    """Nested calls beyond the bound. Nothing ran."""

    reason = "NESTING_TOO_DEEP"


class SoftTimeLimit(BaseException):
    """Raised inside a task when it has run for its soft limit; catch it to clean up and return.

    It is no `Exception`: a task's `except Exception` lets it through. Some time after it the hard
    limit ends the slot.
    """


# --- from an ended call to an exception ----------------------------------------------------------


@functools.cache
def _names() -> tuple[dict[int, str], dict[int, str]]:
    """Names of outcomes and of reasons, by number."""
    from . import _denim

    return (
        {number: name for name, number in _denim.OUTCOMES.items()},
        {number: name for name, number in _denim.REASONS.items()},
    )


def from_reply(reply: Reply, task: str = "") -> BaseException:
    """Make the exception that says how a call ended; `reply` must be none with a value.

    The result is new each time, so it may be raised, and is an `Exception` always. Never raises.

    error = from_reply(reply, "myapp:add")
    """
    outcomes, reasons = _names()
    outcome = outcomes.get(reply.outcome, "")
    facts = {
        "task": task,
        "worker": reply.worker,
        "attempts": reply.attempts,
        "why": reasons.get(reply.reason, "") if reply.reason else "",
    }
    if outcome == "EXCEPTION":
        return _raised(reply, task, facts)
    row = _TABLE.get(outcome)
    if row is None:
        sentence = f"ended with outcome {reply.outcome}, which this version does not know"
        return DenimError(_about(task, reply.text or sentence), **facts)
    error_class, explain = row
    if error_class is Rejected:
        facts["reason"] = facts["why"] or Rejected.reason
    elif error_class is DeadlineExceeded:
        facts["started"] = reply.started
    elif issubclass(error_class, WorkerLost):
        facts["signal"] = _signal(reply.signal)
        facts["exit_code"] = None if reply.signal or reply.exit_code < 0 else reply.exit_code
        facts["oom"] = reply.oom
        facts["host"] = reply.host
    return error_class(_about(task, reply.text or explain(reply, facts)), **facts)


def _about(task: str, sentence: str) -> str:
    return sentence if not task or task in sentence else f"{task}: {sentence}"


def _signal(number: int) -> int | None:
    """A signal as the enum's member, which prints its name; None for 0."""
    try:
        return signals.Signals(number) if number else None
    except ValueError:  # a real-time signal
        return number


def _explain_unavailable(reply: Reply, facts: dict[str, Any]) -> str:
    return (
        "no manager was reached in time and nothing ran; start one with `denimd`, or name its"
        " address in denim.Client(...) or $DENIM_MANAGER"
    )


def _explain_rejected(reply: Reply, facts: dict[str, Any]) -> str:
    return f"refused until the deadline ({facts['reason']}); nothing ran"


def _explain_unknown(reply: Reply, facts: dict[str, Any]) -> str:
    return "no worker has a task of that name; nothing ran"


def _explain_deadline(reply: Reply, facts: dict[str, Any]) -> str:
    return "the deadline passed " + ("after it had started" if reply.started else "before it ran")


def _explain_time_limit(reply: Reply, facts: dict[str, Any]) -> str:
    return "hit its hard limit and was killed"


def _explain_lost(reply: Reply, facts: dict[str, Any]) -> str:
    if reply.oom:
        how = "its slot used more memory than allowed and was killed"
    elif facts["signal"] is not None:
        how = f"its slot was ended by {getattr(facts['signal'], 'name', facts['signal'])}"
    elif facts["exit_code"] is not None:
        how = f"its slot exited with code {facts['exit_code']}"
    else:
        how = "its worker is not heard of any more"
    where = f" on worker {reply.worker}" if reply.worker else ""
    return f"{how}{where}; it may have run"


def _explain_poison(reply: Reply, facts: dict[str, Any]) -> str:
    return f"given up after {reply.attempts} lost slots: {_explain_lost(reply, facts)}"


def _explain_cancelled(reply: Reply, facts: dict[str, Any]) -> str:
    return "cancelled by its caller"


def _explain_codec(reply: Reply, facts: dict[str, Any]) -> str:
    return "its arguments or its value cannot be encoded or decoded"


def _explain_too_large(reply: Reply, facts: dict[str, Any]) -> str:
    return "its arguments or its value are larger than the manager takes (payload_max)"


def _explain_not_allowed(reply: Reply, facts: dict[str, Any]) -> str:
    return "key, service or codec refused"


def _explain_mismatch(reply: Reply, facts: dict[str, Any]) -> str:
    return "manager and client speak different versions of the protocol"


def _explain_nesting(reply: Reply, facts: dict[str, Any]) -> str:
    return "nested calls beyond the bound; nothing ran"


# Outcome: the class, and the sentence for a reply that brings none.
_TABLE: dict[str, tuple[type[DenimError], Callable[[Reply, dict[str, Any]], str]]] = {
    "UNAVAILABLE": (ManagerUnavailable, _explain_unavailable),
    "REJECTED": (Rejected, _explain_rejected),
    "UNKNOWN_TASK": (UnknownTask, _explain_unknown),
    "DEADLINE": (DeadlineExceeded, _explain_deadline),
    "TIME_LIMIT": (TimeLimit, _explain_time_limit),
    "LOST": (WorkerLost, _explain_lost),
    "POISON": (PoisonTask, _explain_poison),
    "CANCELLED": (TaskCancelled, _explain_cancelled),
    "CODEC": (CodecError, _explain_codec),
    "TOO_LARGE": (PayloadTooLarge, _explain_too_large),
    "NOT_ALLOWED": (NotAllowed, _explain_not_allowed),
    "MISMATCH": (ProtocolMismatch, _explain_mismatch),
    "NESTING_TOO_DEEP": (NestingTooDeep, _explain_nesting),
}


# --- what the task raised ------------------------------------------------------------------------


def _raised(reply: Reply, task: str, facts: dict[str, Any]) -> Exception:
    """The task's own exception where that can be made, caused by a RemoteError; else the latter."""
    from . import payload

    try:
        told = payload.decode_exception(reply.frames)
    except CodecError as error:
        sentence = reply.text or f"raised, but the report cannot be read: {error}"
        return RemoteError(_about(task, sentence), **facts)
    remote = RemoteError(
        f"{told.type_name}: {told.message}" if told.message else told.type_name,
        type_name=told.type_name,
        module=told.module,
        message=told.message,
        traceback_text=told.traceback_text,
        **facts,
    )
    if told.traceback_text:
        remote.add_note(f"On worker {reply.worker or '?'}:\n{told.traceback_text.rstrip()}")
    own = _revive(told.module, told.qualname, told.args, told.make_args)
    if own is None:
        return remote
    own.__cause__ = remote
    return own


def _revive(
    module: str, qualname: str, args: tuple[Any, ...] | None, make_args: tuple[Any, ...] | None
) -> Exception | None:
    """An exception of that class with those args; None unless it comes out exactly so."""
    error_class = _find_class(module, qualname)
    if error_class is None or args is None:
        return None
    try:
        error = error_class(*(args if make_args is None else make_args))
        return error if type(error) is error_class and error.args == args else None
    except Exception:  # the class's own __init__ does not take its args, or they do not compare
        return None


def _find_class(module: str, qualname: str) -> type[Exception] | None:
    """An Exception class that this process has already imported; nothing is imported or run.

    Attributes are looked up in dictionaries only: a module's `__getattr__`, or a module that loads
    itself when it is first touched, would import what a message names.
    """
    found: Any = builtins if module == "builtins" else sys.modules.get(module)
    for name in qualname.split("."):
        if issubclass(type(found), ModuleType):  # isinstance would ask the object itself
            names = object.__getattribute__(found, "__dict__")
        elif issubclass(type(found), type):
            names = type.__getattribute__(found, "__dict__")
        else:
            return None
        found = names.get(name)
    if not issubclass(type(found), type) or not issubclass(found, Exception):
        return None
    return None if issubclass(found, _NEVER_REVIVED) or found in _OWN else found


# Raised from a call or a future these would be taken for something that happened here.
_NEVER_REVIVED = (StopIteration, StopAsyncIteration, concurrent.futures.CancelledError)
_OWN = frozenset(
    value
    for value in list(globals().values())
    if isinstance(value, type) and issubclass(value, BaseException)
)
