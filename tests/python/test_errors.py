# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""The tree of exceptions, and how an ended call becomes one."""

from __future__ import annotations

import asyncio
import concurrent.futures
import copy
import doctest
import importlib.util
import pickle
import signal
import sys
import traceback
import types

import fake_denim
import pytest
from fake_denim import Reply, fake  # noqa: F401  a fixture

import denim
from denim import errors, payload

pytestmark = pytest.mark.usefixtures("fake")

TREE = {
    "ManagerUnavailable": ConnectionError,
    "Rejected": denim.DenimError,
    "UnknownTask": LookupError,
    "DeadlineExceeded": TimeoutError,
    "TimeLimit": TimeoutError,
    "WorkerLost": denim.DenimError,
    "PoisonTask": denim.WorkerLost,
    "TaskCancelled": concurrent.futures.CancelledError,
    "RemoteError": denim.DenimError,
    "CodecError": TypeError,
    "PayloadTooLarge": ValueError,
    "NotAllowed": PermissionError,
    "ProtocolMismatch": denim.DenimError,
    "NestingTooDeep": RecursionError,
}
BY_OUTCOME = {
    "REJECTED": denim.Rejected,
    "UNAVAILABLE": denim.ManagerUnavailable,
    "UNKNOWN_TASK": denim.UnknownTask,
    "DEADLINE": denim.DeadlineExceeded,
    "TIME_LIMIT": denim.TimeLimit,
    "LOST": denim.WorkerLost,
    "POISON": denim.PoisonTask,
    "CANCELLED": denim.TaskCancelled,
    "CODEC": denim.CodecError,
    "TOO_LARGE": denim.PayloadTooLarge,
    "NOT_ALLOWED": denim.NotAllowed,
    "MISMATCH": denim.ProtocolMismatch,
    "NESTING_TOO_DEEP": denim.NestingTooDeep,
}


def ended(outcome, reason="NONE", **facts):
    numbers = {"outcome": fake_denim.OUTCOMES[outcome], "reason": fake_denim.REASONS[reason]}
    return Reply(**numbers, **facts)


def raised(error):
    """What a caller gets of what a task raised."""
    if error.__traceback__ is None:
        try:
            raise error
        except BaseException:
            pass
    frames = [memoryview(bytearray(frame)) for frame in payload.encode_exception(error)]
    return errors.from_reply(ended("EXCEPTION", frames=frames), "app:f")


# --- the tree ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TREE)
def test_each_class_is_a_denim_error_and_its_builtin(name):
    error_class = getattr(denim, name)
    assert issubclass(error_class, denim.DenimError)
    assert issubclass(error_class, TREE[name])
    assert issubclass(error_class, Exception)


def test_the_soft_limit_is_not_caught_by_except_exception():
    assert issubclass(denim.SoftTimeLimit, BaseException)
    assert not issubclass(denim.SoftTimeLimit, Exception)


@pytest.mark.parametrize("name", ["DenimError", *TREE])
def test_errors_survive_pickle_and_copy(name):
    error_class = getattr(denim, name)
    error = error_class("a sentence", task="m:f", worker="w1", attempts=2, why="CRASH")
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(again) is error_class
        assert str(again) == "a sentence"
        assert (again.task, again.worker, again.attempts, again.why) == ("m:f", "w1", 2, "CRASH")
        assert again.reason == error_class.reason


def test_an_attribute_that_does_not_exist_is_refused():
    with pytest.raises(TypeError, match="tsak"):
        denim.DenimError("x", tsak="m:f")


def test_what_a_nested_call_has_raised_is_told_as_what_it_was_at_every_level():
    class Own(Exception):
        pass

    error = raised(Own("it rained"))
    for _ in range(3):
        assert type(error) is denim.RemoteError
        assert (error.type_name, error.message) == ("Own", "it rained")
        assert str(error).startswith("Own: it rained")
        error = raised(error)
    assert error.traceback_text.count("Own: it rained") > 3  # with the way that it took


# --- the table -----------------------------------------------------------------------------------


def test_every_outcome_but_the_value_has_its_class():
    assert {"VALUE", "EXCEPTION", *BY_OUTCOME} == set(fake_denim.OUTCOMES)


@pytest.mark.parametrize("outcome", BY_OUTCOME)
def test_an_outcome_becomes_its_exception(outcome):
    error = errors.from_reply(ended(outcome, worker="w7", attempts=3), "app:f")
    assert type(error) is BY_OUTCOME[outcome]
    assert error.reason == outcome
    assert (error.task, error.worker, error.attempts) == ("app:f", "w7", 3)
    assert str(error).startswith("app:f: ") and len(str(error)) > 20


@pytest.mark.parametrize("outcome", BY_OUTCOME)
def test_the_sentence_of_the_reply_is_kept(outcome):
    assert str(errors.from_reply(ended(outcome, text="it rained"), "app:f")) == "app:f: it rained"
    said = ended(outcome, text="app:f is wet")
    assert str(errors.from_reply(said, "app:f")) == "app:f is wet"
    assert str(errors.from_reply(ended(outcome, text="it rained"))) == "it rained"


def test_a_rejection_tells_why():
    error = errors.from_reply(ended("REJECTED", "BUSY"), "app:f")
    assert error.reason == error.why == "BUSY"
    assert "BUSY" in str(error)


def test_a_deadline_tells_whether_the_task_started():
    assert errors.from_reply(ended("DEADLINE", started=True)).started is True
    assert errors.from_reply(ended("DEADLINE", started=False)).started is False


def test_a_lost_worker_tells_what_ended_it():
    segv = errors.from_reply(ended("LOST", "CRASH", signal=11, host="h9"), "app:f")
    assert segv.signal == signal.SIGSEGV and segv.exit_code is None and not segv.oom
    assert (segv.host, segv.why) == ("h9", "CRASH")
    assert "SIGSEGV" in str(segv)
    left = errors.from_reply(ended("LOST", "CRASH", exit_code=7))
    assert left.exit_code == 7 and left.signal is None
    assert "code 7" in str(left)
    oom = errors.from_reply(ended("LOST", "OUT_OF_MEMORY", signal=9, oom=True))
    assert oom.oom and oom.signal == signal.SIGKILL and "memory" in str(oom)
    silent = errors.from_reply(ended("LOST", "SILENT"))
    assert silent.signal is None and silent.exit_code is None and "not heard" in str(silent)
    assert errors.from_reply(ended("LOST", signal=40)).signal == 40
    poison = errors.from_reply(ended("POISON", signal=11, attempts=3))
    assert poison.signal == 11 and "3 lost slots" in str(poison)


def test_an_outcome_from_the_future_is_a_denim_error():
    error = errors.from_reply(Reply(outcome=99, text=""), "app:f")
    assert type(error) is denim.DenimError and "99" in str(error)


def test_the_unreachable_manager_says_what_to_start():
    assert "denimd" in str(errors.from_reply(ended("UNAVAILABLE")))


# --- what the task raised ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no"),
        ValueError(),
        KeyError("k"),
        IndexError(1, (2, 3), b"x"),
        ZeroDivisionError("division by zero"),
        FileNotFoundError(2, "No such file or directory", "/x"),
        OSError("plain"),
        OSError(5, "io"),
        ConnectionResetError(104, "reset"),
        TimeoutError("late"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        RecursionError("deep"),
        MemoryError(),
        NotImplementedError("later"),
        RuntimeWarning("careful"),
        Exception("bare", {"a": {1, 2}}),
    ],
    ids=repr,
)
def test_a_builtin_exception_is_raised_as_itself(error):
    arrived = raised(error)
    assert type(arrived) is type(error)
    assert arrived.args == error.args
    assert str(arrived) == str(error)
    remote = arrived.__cause__
    assert type(remote) is denim.RemoteError
    assert remote.type_name == type(error).__name__
    assert remote.module == "builtins"
    assert remote.message == str(error)
    assert "test_errors.py" in remote.traceback_text
    assert (remote.task, remote.worker, remote.reason) == ("app:f", "w1", "EXCEPTION")


def test_file_names_of_os_errors_arrive():
    assert raised(FileNotFoundError(2, "No such file", "/x")).filename == "/x"
    assert raised(OSError(18, "cross-device", "/a", None, "/b")).filename2 == "/b"


@pytest.mark.parametrize(
    "error",
    [
        SystemExit(3),
        KeyboardInterrupt(),
        GeneratorExit(),
        StopIteration(5),
        StopAsyncIteration(),
        asyncio.CancelledError(),
        concurrent.futures.CancelledError(),
        denim.SoftTimeLimit("soft"),
        denim.WorkerLost("of a nested call"),
        denim.CodecError("of a nested call"),
        ExceptionGroup("two", [ValueError(1), KeyError(2)]),
        ValueError(object()),
    ],
    ids=lambda error: type(error).__name__,
)
def test_all_else_is_a_remote_error(error):
    arrived = raised(error)
    assert type(arrived) is denim.RemoteError
    assert arrived.type_name == type(error).__name__
    assert arrived.message == str(error)
    assert arrived.traceback_text


class AppError(Exception):
    class Nested(ValueError):
        pass


class Demanding(Exception):
    def __init__(self, code, sentence):
        super().__init__(f"{code}: {sentence}")


class Changing(Exception):
    def __init__(self, *args):
        super().__init__("changed", *args)


def test_an_apps_exception_is_raised_as_itself_where_its_module_is_imported():
    arrived = raised(AppError("mine", 5))
    assert type(arrived) is AppError and arrived.args == ("mine", 5)
    assert type(arrived.__cause__) is denim.RemoteError
    assert type(raised(AppError.Nested("in"))) is AppError.Nested


def test_an_exception_that_cannot_be_made_from_its_args_is_a_remote_error():
    for error in (Demanding(1, "x"), Changing("y")):
        arrived = raised(error)
        assert type(arrived) is denim.RemoteError
        assert arrived.type_name == type(error).__name__
        assert arrived.message == str(error)


def document(module, qualname, args="[]"):
    frame = payload.encode_value(
        {"type": "X", "module": module, "qualname": qualname, "message": "m", "args": args}
    )
    return errors.from_reply(ended("EXCEPTION", frames=frame))


def test_nothing_is_imported_or_run_because_of_a_message(monkeypatch):
    class Lazy(types.ModuleType):
        def __getattribute__(self, name):
            raise AssertionError("the module was touched")

    def lazily(name):
        raise AssertionError("the module was asked")

    polite = types.ModuleType("denim_test_polite")
    polite.__getattr__ = lazily
    monkeypatch.setitem(sys.modules, "denim_test_lazy", Lazy("denim_test_lazy"))
    monkeypatch.setitem(sys.modules, "denim_test_polite", polite)
    before = set(sys.modules)
    for module, qualname in [
        ("antigravity", "X"),
        ("denim_test_lazy", "X"),
        ("denim_test_polite", "X.Y"),
        ("os", "system"),
        ("os", "path.join"),
        ("builtins", "print"),
        ("builtins", "SystemExit"),
        ("builtins", "StopIteration"),
        ("builtins", "ValueError.__init__"),
        ("builtins", "ValueError.mro"),
        ("", ""),
        ("denim.errors", "WorkerLost"),
        ("denim", "WorkerLost"),
        (__name__, "AppError.missing"),
    ]:
        assert type(document(module, qualname)) is denim.RemoteError, (module, qualname)
    assert set(sys.modules) == before
    assert importlib.util.find_spec("antigravity") is not None


def test_a_report_that_cannot_be_read_is_a_remote_error_too():
    for frames in ([], [b"junk"], [b"5"], [b'{"type":""}']):
        error = errors.from_reply(ended("EXCEPTION", frames=frames), "app:f")
        assert type(error) is denim.RemoteError and "cannot be read" in str(error)
    assert type(document("builtins", "ValueError", args="?")) is denim.RemoteError
    assert type(document("builtins", "ValueError", args='{"a":1}')) is denim.RemoteError


def test_the_remote_traceback_is_printed_with_the_exception():
    text = "".join(traceback.format_exception(raised(ValueError("no"))))
    assert "On worker w1:" in text
    assert "test_errors.py" in text
    assert text.rstrip().endswith("ValueError: no")


def test_each_call_has_an_exception_of_its_own():
    reply = ended("LOST")
    assert errors.from_reply(reply) is not errors.from_reply(reply)


def test_examples_in_docstrings_hold():
    assert doctest.testmod(errors).failed == 0
