# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""A slot and a zygote, driven over their socketpair by a test that is their supervisor."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import random
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from interpreters import interpreters
from wire_probe import (
    PATIENCE,
    ROOT,
    WORKER,
    Message,
    Process,
    Slot,
    Tasks,
    Zygote,
    library_of,
    packet,
)

from denim import payload

VALUE, EXCEPTION, UNKNOWN_TASK, CANCELLED, CODEC, TOO_LARGE, NOT_ALLOWED = 0, 1, 4, 9, 10, 11, 12
STARTED = 1

MYAPP = '''
import functools, math, os, re, select, sys, threading
from math import sqrt
from json import dumps

def add(x, y):
    return x + y

def echo(*args, **kwargs):
    return [list(args), kwargs] if kwargs else args[0]

def fail(text):
    raise ValueError(text, 7)

def leave(code):
    sys.exit(code)

def interrupt():
    raise KeyboardInterrupt

def deep(n):
    return deep(n + 1)

def unfit():
    return {"a": [1, object()]}

def big(n):
    return "x" * n

def blob(n):
    return bytes(n)

def change(data):
    data[0] = 7
    return [bytes(data[:2]).hex(), len(data)]

def say(text, end="\\n"):
    print(text, end=end)

def wait(path):
    with open(path) as fifo:
        return fifo.read()

def spin(n, value=None):
    for _ in range(n):
        pass
    return value

def endless():
    while True:
        pass

def nap(path):
    try:
        select.select([], [], [])
    except Exception:
        return "swallowed"

def stubborn(path):
    try:
        print("inside")
        with open(path) as fifo:
            fifo.read()
    except BaseException as error:
        return type(error).__name__

def hold(n):
    return sum(range(n))        # keeps Python's lock, looks at no signal

def run(code):
    names = dict(globals())
    exec(code, names)
    return names.get("value")

@functools.lru_cache
def cached(x):
    return x

async def later(x):
    import asyncio
    await asyncio.sleep(0)
    return x

async def forever():
    import asyncio
    await asyncio.Event().wait()

async def busy():
    while True:
        pass

def _hidden():
    return 1

class Thing:
    def __call__(self):
        return 1

thing = Thing()
'''


@pytest.fixture
def app(tmp_path: Path) -> Path:
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "myapp.py").write_text(MYAPP)
    return folder


@pytest.fixture
def slot(app: Path) -> Iterator[Slot]:
    with Slot("myapp", app) as made:
        yield made


def run(slot: Tasks, code: str) -> Any:
    """Run code in the slot; the value that it gave."""
    result = slot.ask("myapp:run", [[code]])
    assert result.outcome == VALUE, result
    return payload.decode(result.frames)


def raised(result: Message) -> payload.Raised:
    assert result.outcome == EXCEPTION, result
    return payload.decode_exception(result.frames)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        os.sched_yield()


def until_ended(pid: int) -> None:
    """Wait for the end of a process that need not be a child."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    assert select.select([fd], [], [], PATIENCE)[0], f"process {pid} goes on"
    os.close(fd)


def fifo(folder: Path, name: str = "fifo") -> Path:
    path = folder / name
    os.mkfifo(path)
    return path


# --- tasks ---------------------------------------------------------------------------------------


def test_a_slot_says_who_it_is_and_runs_a_task(slot: Slot) -> None:
    ready = slot.ready
    assert (ready.pid, ready.threads) == (slot.pid, 1)
    assert ready.python == ".".join(map(str, sys.version_info[:3]))
    assert ready.executable == sys.executable
    named = os.path.basename(ready.library).startswith("libpython")
    assert named or not library_of(sys.executable)[0]
    assert ready.services == [{"name": "myapp"}]
    result = slot.ask("myapp:add", [[2, 3]])
    assert (result.outcome, result.value, result.flags) == (VALUE, 5, STARTED)
    assert (result.attempt, result.codec, result.worker, result.text) == (1, 1, "", "")


def test_arguments_by_name_and_tagged_values_arrive(slot: Slot) -> None:
    assert slot.ask("myapp:echo", [[1], {"a": 2}]).value == [[1], {"a": 2}]
    value = {1: (2.5, None), "b": {b"x"}}
    (document,) = payload.encode([value])
    result = slot.ask("myapp:echo", bytes(document))
    assert payload.decode(result.frames) == value


def test_no_payload_at_all_is_a_call_without_arguments(slot: Slot) -> None:
    assert raised(slot.ask("myapp:add", b"")).type_name == "TypeError"


def test_a_chunk_is_many_calls_and_the_first_exception_ends_it(slot: Slot) -> None:
    assert slot.ask("myapp:add", [[], {}, [[1, 2], [3, 4]]]).value == [3, 7]
    assert raised(slot.ask("myapp:add", [[], {}, [[1, 2], [3]]])).type_name == "TypeError"


def test_cached_and_coroutine_functions_are_functions(slot: Slot) -> None:
    assert slot.ask("myapp:cached", [[4]]).value == 4
    assert slot.ask("myapp:later", [[5]]).value == 5


@pytest.mark.parametrize("size", [1, 128])
def test_a_small_payload_comes_in_the_header(slot: Slot, size: int) -> None:
    digits = b"1" * (size - 4 if size > 4 else 1)
    result = slot.ask_small("myapp:echo", b"[[" + digits + b"]]")
    assert (result.outcome, result.small) == (VALUE, digits)


@pytest.mark.parametrize(("size", "small"), [(128, True), (129, False)])
def test_a_small_value_goes_in_the_header(slot: Slot, size: int, small: bool) -> None:
    result = slot.ask("myapp:echo", [["x" * (size - 2)]])
    assert (len(result.frames[0]), bool(result.small)) == (size, small)


def test_large_frames_come_and_go_whole_and_can_be_written(slot: Slot) -> None:
    data = random.Random(1).randbytes(3_000_000)
    frames = payload.encode([bytearray(data), data[:9000]])
    assert len(frames) == 3
    result = slot.ask("myapp:echo", *map(bytes, frames))
    assert payload.decode(result.frames) == data
    document, *rest = payload.encode([memoryview(data)])
    result = slot.ask("myapp:change", bytes(document), *map(bytes, rest))
    assert result.value == [bytes([7, data[1]]).hex(), len(data)]
    assert slot.ask("myapp:big", [[5_000_000]]).value == "x" * 5_000_000


def test_many_tasks_of_every_size_keep_their_order(slot: Slot) -> None:
    rng = random.Random(2)
    sizes = [rng.choice([0, 10, 1000, 20_000, 70_000, 300_000]) for _ in range(300)]
    packets = [slot.make("myapp:echo", [["x" * size]]) for size in sizes]
    sent = 0
    for number, size in enumerate(sizes, 1):
        while sent < len(packets) and sent < number + 8:
            slot.link.send(packets[sent])
            sent += 1
        assert len(slot.result(number).value) == size


# --- what cannot be called -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("myapp:ad", "has no function 'ad'; did you mean myapp:add?"),
        ("myapp:_hidden", "is private"),
        ("myapp:sqrt", "is an object of type builtin_function_or_method"),
        ("myapp:dumps", "was imported into myapp; it is json:dumps"),
        ("myapp:math", "is an object of type module"),
        ("myapp:Thing", "is a class"),
        ("myapp:thing", "is an object of type Thing"),
        ("myapp:Thing.__call__", "only functions at the top of a module"),
        ("other:add", "'other' is not served here, only myapp; did you mean myapp:add?"),
        ("add", "write module:function"),
        ("denim:apply", "'denim' is not served here"),
    ],
)
def test_what_cannot_be_called_says_why(slot: Slot, task: str, words: str) -> None:
    result = slot.ask(task)
    assert (result.outcome, result.flags, result.frames) == (UNKNOWN_TASK, 0, [])
    assert words in result.text
    assert slot.ask("myapp:add", [[2, 3]]).value == 5


def test_a_module_may_list_what_can_be_called(app: Path) -> None:
    (app / "listed.py").write_text(
        "from myapp import add\n__all__ = ['add', '_own']\n"
        "def _own(): return 1\ndef other(): return 2\n"
    )
    with Slot("listed", app) as slot:
        assert slot.ask("listed:add", [[1, 2]]).value == 3
        assert slot.ask("listed:_own").value == 1
        assert "not in __all__ of listed" in slot.ask("listed:other").text


def test_only_decorated_functions_when_the_worker_says_so(app: Path) -> None:
    (app / "marked.py").write_text(
        "import denim\n@denim.task\ndef one(): return 1\ndef two(): return 2\n"
        "@denim.task(idempotent=True)\nasync def three(): return 3\n"
    )
    with Slot("marked", app, flags="only_decorated") as slot:
        assert slot.ask("marked:one").value == 1
        assert slot.ask("marked:three").value == 3
        assert "not decorated with @denim.task" in slot.ask("marked:two").text


def test_modules_below_that_are_imported_are_services_too(app: Path) -> None:
    package = app / "pack"
    package.mkdir()
    (package / "__init__.py").write_text("from .near import f\n")
    (package / "near.py").write_text("def f(): return 'near'\n")
    (package / "bare.py").write_text("X = 1\n")
    (package / "far.py").write_text("def f(): return 'far'\n")
    with Slot("pack", app) as slot:
        assert [row["name"] for row in slot.ready.services] == ["pack", "pack.near"]
        assert slot.ask("pack.near:f").value == "near"
        assert "it is pack.near:f" in slot.ask("pack:f").text
        assert slot.ask("pack.far:f").outcome == UNKNOWN_TASK


def test_one_service_name_for_all_modules(app: Path) -> None:
    with Slot("myapp", app, flags="service=gpu") as slot:
        assert slot.ready.services == [{"name": "gpu"}]
        assert slot.ask("myapp:add", [[1, 2]], service="gpu").value == 3
        assert slot.ask("gpu:add", [[1, 2]], service="gpu").value == 3
        assert "gpu has no function 'ad'" in slot.ask("gpu:ad", service="gpu").text


# --- codecs --------------------------------------------------------------------------------------


def test_pickle_is_refused_unless_allowed(app: Path, slot: Slot) -> None:
    result = slot.ask("myapp:add", pickle.dumps([[2, 3]]), codec=2)
    assert (result.outcome, result.flags) == (NOT_ALLOWED, 0)
    assert "--allow-pickle" in result.text
    with Slot("myapp", app, flags="allow_pickle") as willing:
        assert willing.ready.services == [{"name": "myapp"}, {"name": "denim"}]
        result = willing.ask("myapp:add", pickle.dumps([[2, 3]], 5), codec=2)
        assert (result.codec, pickle.loads(result.frames[0])) == (2, 5)
        document = pickle.dumps([[os.path.join, "a", "b"]], 5)
        assert pickle.loads(willing.ask("denim:apply", document, codec=2).frames[0]) == "a/b"


@pytest.mark.parametrize(
    "document", [b"[[2,3]", b"\xff", b"{}", b"[1]", b'[[],{"~x":1}]', b"[[]]]"]
)
def test_what_does_not_decode_is_a_codec_error_and_nothing_ran(slot: Slot, document: bytes) -> None:
    result = slot.ask("myapp:add", document)
    assert (result.outcome, result.flags) == (CODEC, 0)
    assert "cannot decode it" in result.text


def test_a_value_that_cannot_be_carried_is_a_codec_error_with_its_path(slot: Slot) -> None:
    result = slot.ask("myapp:unfit")
    assert (result.outcome, result.flags) == (CODEC, STARTED)
    assert "value" in result.text and "'a'" in result.text and "object" in result.text
    assert slot.ask("myapp:add", [[2, 3]]).value == 5


def test_a_value_beyond_payload_max_is_too_large(app: Path) -> None:
    with Slot("myapp", app, payload_max=100_000) as slot:
        assert slot.ask("myapp:big", [[99_000]]).outcome == VALUE
        for task in ("myapp:big", "myapp:blob"):
            result = slot.ask(task, [[200_000]])
            assert (result.outcome, result.flags, result.frames) == (TOO_LARGE, STARTED, [])
            assert "payload_max is 100000" in result.text


# --- where it ran --------------------------------------------------------------------------------


def test_every_answer_but_a_value_names_worker_and_host(app: Path) -> None:
    asked = {
        EXCEPTION: ("myapp:fail", [["no"]]),
        UNKNOWN_TASK: ("myapp:ad", [[2, 3]]),
        CODEC: ("myapp:unfit", None),
        TOO_LARGE: ("myapp:big", [[200_000]]),
    }
    with Zygote("myapp", app, payload_max=100_000) as zygote:
        child = zygote.fork(0)
        child.link.expect("READY")
        for outcome, (task, args) in asked.items():
            result = child.ask(task, args) if args else child.ask(task)
            assert (result.outcome, result.worker) == (outcome, WORKER)
            assert result.host == os.uname().nodename[:63]
        result = child.ask("myapp:add", [[2, 3]])
        assert (result.outcome, result.worker, result.host) == (VALUE, "", "")


@pytest.mark.parametrize(("name", "told"), [("", ""), ("ü" * 40, "ü" * 31), ("a\udcffb", "a?b")])
def test_a_name_that_the_wire_does_not_take_harms_nothing(app: Path, name: str, told: str) -> None:
    with Slot("myapp", app, name=name) as slot:
        result = slot.ask("myapp:fail", [["no"]])
        assert raised(result).message and result.worker == told


# --- exceptions ----------------------------------------------------------------------------------


def test_an_exception_travels_with_its_type_and_its_own_lines_only(slot: Slot) -> None:
    told = raised(slot.ask("myapp:fail", [["no"]]))
    assert (told.type_name, told.args) == ("ValueError", ("no", 7))
    assert 'myapp.py", line' in told.traceback_text
    assert "_slot.py" not in told.traceback_text


def test_nothing_that_a_task_raises_ends_the_slot(slot: Slot) -> None:
    assert raised(slot.ask("myapp:leave", [[3]])).type_name == "SystemExit"
    assert raised(slot.ask("myapp:interrupt")).type_name == "KeyboardInterrupt"
    assert raised(slot.ask("myapp:deep", [[0]])).type_name == "RecursionError"
    code = "class E(Exception):\n    def __str__(self): raise OSError\nraise E"
    assert raised(slot.ask("myapp:run", [[code]])).type_name == "E"
    assert raised(slot.ask("myapp:run", [["[0] * (1 << 62)"]])).type_name == "MemoryError"
    assert slot.ask("myapp:add", [[2, 3]]).value == 5


def test_what_a_left_over_handler_raises_between_tasks_ends_nothing(slot: Slot) -> None:
    run(
        slot,
        "import signal\ndef alarm(*_): raise OSError('late')\n"
        "signal.signal(signal.SIGALRM, alarm)",
    )
    for _ in range(50):
        os.kill(slot.pid, signal.SIGALRM)
        os.kill(slot.pid, signal.SIGINT)

    def says_late() -> bool:
        """One that comes alone: of many, each may interrupt what says so of the one before."""
        os.kill(slot.pid, signal.SIGALRM)
        with contextlib.suppress(TimeoutError):
            return "late" in slot.output(until="late", timeout=1)
        return False

    until(says_late)
    until(lambda: bool(slot.ask("myapp:add", [[2, 3]]).outcome == VALUE))


def test_an_exit_a_crash_and_a_kill_end_the_slot_as_they_do(app: Path) -> None:
    for code, status in (
        ("import os; os._exit(7)", 7),
        ("import os; os.abort()", -signal.SIGABRT),
        ("import ctypes; ctypes.string_at(0)", -signal.SIGSEGV),
        ("import os; os.kill(os.getpid(), 9)", -signal.SIGKILL),
    ):
        with Slot("myapp", app) as slot:
            slot.run("myapp:run", [[code]])
            assert slot.wait() == status


# --- nothing waits behind a long task ------------------------------------------------------------


def test_a_short_task_does_not_wait_for_a_long_one_behind_it(slot: Slot, tmp_path: Path) -> None:
    path = fifo(tmp_path)
    both = slot.make("myapp:add", [[2, 3]]) + slot.make("myapp:wait", [[str(path)]])
    slot.link.send(both)
    assert slot.result(1).value == 5
    path.write_text("now")
    assert slot.result(2).value == "now"


def test_nor_when_its_function_used_to_be_short_and_keeps_the_lock(slot: Slot) -> None:
    for _ in range(20):
        slot.ask("myapp:hold", [[10]])
    slot.link.send(slot.make("myapp:hold", [[10]]) + slot.make("myapp:hold", [[10**12]]))
    assert slot.result(slot.sent - 1).value == 45
    until(lambda: slot.ends.started() == slot.sent)
    assert slot.link.is_quiet()


def test_nor_for_arguments_that_are_under_way(slot: Slot) -> None:
    for _ in range(20):
        slot.ask("myapp:echo", [[1]])
    large = slot.make("myapp:echo", [["x" * 1_000_000]])
    second = slot.make("myapp:echo", [[2]])
    slot.link.send(second + large[:500])
    assert slot.result().value == 2
    slot.link.send(large[500:])
    assert len(slot.result(slot.sent - 1).value) == 1_000_000


def test_tasks_that_are_taken_back_never_start(slot: Slot, tmp_path: Path) -> None:
    path = fifo(tmp_path)
    sent = [slot.make("myapp:wait", [[str(path)]])]
    sent += [slot.make("myapp:echo", [["x" * size]]) for size in (1, 100_000, 1)]
    slot.link.send(b"".join(sent[:2]))
    until(lambda: slot.ends.started() == 1)
    assert slot.ends.take_back(slot.sent) == 1
    path.write_text("now")
    assert slot.result(1).value == "now"
    slot.link.send(b"".join(sent[2:]))
    assert slot.ask("myapp:add", [[2, 3]]).value == 5
    assert slot.ends.started() == slot.sent


def test_threads_of_the_app_run_while_the_slot_waits(slot: Slot, tmp_path: Path) -> None:
    path = fifo(tmp_path)
    run(
        slot,
        "import threading\n"
        f"threading.Thread(target=lambda: open({str(path)!r}, 'w').write('hi')).start()",
    )
    assert path.read_text() == "hi"


# --- soft limits and cancels ---------------------------------------------------------------------


def start(slot: Tasks, task: str, *args: Any) -> int:
    number = slot.run(task, [list(args)])
    until(lambda: slot.ends.started() == number)
    return number


def test_a_soft_limit_is_raised_in_the_task(slot: Slot, tmp_path: Path) -> None:
    path = str(fifo(tmp_path))
    for task, args in (
        ("myapp:endless", ()),
        ("myapp:wait", (path,)),
        ("myapp:nap", (path,)),
        ("myapp:forever", ()),
        ("myapp:busy", ()),
    ):
        slot.interrupt(start(slot, task, *args))
        told = raised(slot.result())
        assert (told.type_name, told.module) == ("SoftTimeLimit", "denim.errors")
    number = slot.run("myapp:stubborn", [[path]])
    slot.output(until="inside")
    slot.interrupt(number)
    assert slot.result().value == "SoftTimeLimit"


def test_a_cancel_that_worked_ends_as_cancelled(slot: Slot, tmp_path: Path) -> None:
    path = str(fifo(tmp_path))
    for task in ("myapp:endless", "myapp:forever", "myapp:busy"):
        slot.interrupt(start(slot, task), cancel=True)
        assert slot.result().outcome == CANCELLED
    number = slot.run("myapp:stubborn", [[path]])
    slot.output(until="inside")
    slot.interrupt(number, cancel=True)
    assert slot.result().value == "SoftCancel"


def test_who_raises_these_without_a_signal_has_raised_them(slot: Slot) -> None:
    code = "from denim._slot import SoftCancel\nraise SoftCancel"
    assert raised(slot.ask("myapp:run", [[code]])).type_name == "SoftCancel"


def test_a_signal_for_another_task_or_without_a_value_does_nothing(
    slot: Slot, tmp_path: Path
) -> None:
    path = fifo(tmp_path)
    slot.ask("myapp:add", [[2, 3]])
    number = start(slot, "myapp:wait", str(path))
    for other in (number - 1, number + 1, 0):
        slot.interrupt(other)
        slot.interrupt(other, cancel=True)
    slot.kill(signal.SIGUSR1)
    path.write_text("on")
    assert slot.result().value == "on"
    for other in (number, number + 1, 0):
        slot.interrupt(other)
    assert slot.ask("myapp:spin", [[1000, 1]]).value == 1


def test_numbers_that_use_all_bits_can_be_meant(slot: Slot) -> None:
    for number in (2**31, 2**31 + 5):
        slot.sent = number - 1
        start(slot, "myapp:endless")
        slot.interrupt(number)
        assert raised(slot.result()).type_name == "SoftTimeLimit"


def test_tasks_that_wait_are_interrupted_at_any_moment(slot: Slot) -> None:
    """Also just before the system call in which they would wait, and while a loop is being made."""
    tasks = ("myapp:forever", "myapp:busy", "myapp:nap", "myapp:nap")
    for i in range(200):
        slot.interrupt(start(slot, tasks[i % 4], *["x"] * (i % 4 > 1)), cancel=i % 3 == 0)
        if i % 3 == 0:
            assert slot.result().outcome == CANCELLED
        else:
            assert raised(slot.result()).type_name == "SoftTimeLimit"
    slot.link.say("STOP")
    assert (slot.wait(), slot.output()) == (0, "")


def test_a_signal_that_another_thread_gets_is_passed_on(slot: Slot, tmp_path: Path) -> None:
    path = fifo(tmp_path)
    code = (
        "import signal, threading\n"
        "threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})\n"
        f"print('blocked')\nopen({str(path)!r}).read()\n"
        "signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})\n"
        "while True: pass"
    )
    number = slot.run("myapp:run", [[code]])
    slot.output(until="blocked")
    slot.interrupt(number)
    path.write_text("")
    assert raised(slot.result()).type_name == "SoftTimeLimit"


def test_a_signal_that_comes_before_the_function_is_called_waits_for_it(slot: Slot) -> None:
    large = slot.make("myapp:spin", [[10**9, "x" * 1_000_000]])
    slot.link.send(large[:100_000])
    until(lambda: slot.ends.started() == 1)
    slot.interrupt(1)
    slot.link.send(large[100_000:])
    assert raised(slot.result()).type_name == "SoftTimeLimit"


def test_a_result_says_how_long_the_task_waited_and_ran(slot: Slot) -> None:
    for waited_us in (0, 250_000, 10**13):
        slot.arrived_us = time.monotonic_ns() // 1000 - waited_us
        begun_us = time.monotonic_ns() // 1000
        result = slot.ask("myapp:spin", [[300_000, 1]])
        length_us = time.monotonic_ns() // 1000 - begun_us
        assert 0 < result.run_us < length_us
        least_us = min(waited_us, 2**32 - 1)
        assert least_us <= result.wait_us <= least_us + length_us - result.run_us
    assert slot.ask("myapp:missing").wait_us == 0


def test_a_thousand_signals_at_any_moment_hit_their_own_task_only(slot: Slot) -> None:
    """Tasks stream, signals are sent all the while: at this one, at the one before, at the next."""
    rng = random.Random(3)
    signalled: dict[int, set[bool]] = {}
    counts = {VALUE: 0, EXCEPTION: 0, CANCELLED: 0}
    answered = signals = 0
    deadline = time.monotonic() + PATIENCE
    while signals < 2000 or min(counts.values()) < 50:
        assert time.monotonic() < deadline, (signals, counts)
        while slot.sent < answered + 4:
            slot.run("myapp:spin", [[rng.choice([10, 3000, 300_000]), slot.sent + 1]])
        target = slot.ends.started() + rng.choice([-1, 0, 0, 0, 1])
        if target % 2 == 0:  # the others are spared
            cancel = rng.random() < 0.5
            signalled.setdefault(target, set()).add(cancel)
            slot.interrupt(target, cancel)
            signals += 1
        if not slot.link.is_quiet():
            answered += 1
            result = slot.result(answered)
            counts[result.outcome] += 1
            if result.outcome == VALUE:
                assert result.value == answered
            elif result.outcome == CANCELLED:
                assert True in signalled[answered]
            else:
                assert raised(result).type_name == "SoftTimeLimit"
                assert False in signalled[answered]
    while answered < slot.sent:
        answered += 1
        slot.result(answered)
    assert slot.ask("myapp:add", [[2, 3]]).value == 5
    slot.link.say("STOP")
    assert (slot.wait(), slot.output()) == (0, "")


# --- progress, output ----------------------------------------------------------------------------


def test_progress_is_told_at_once_and_the_latest_counts(slot: Slot) -> None:
    code = (
        "import denim\nfor i in range(100_000): denim.progress(i, 100_000, 'page')\n"
        "denim.progress(1 << 70, 5, '\\ud800\\0' + 'ä' * 400)\nvalue = 1"
    )
    slot.run("myapp:run", [[code]])
    seen = []
    while (message := slot.link.receive()).name == "PROGRESS":
        assert (message.seq, message.session) == (1001, slot.session)
        seen.append((message.done, message.total, message.text))
    assert message.value == 1
    assert seen[0] == (0, 100_000, "page")
    assert seen[-1][:2] == (2**64 - 1, 5) and seen[-1][2].endswith("ä")
    assert len(seen) < 1000


def test_progress_comes_while_the_task_computes(slot: Slot) -> None:
    code = "import denim\nfor i in range(5): denim.progress(i)\nsum(range(10**12))"
    slot.run("myapp:run", [[code]])
    assert slot.link.expect("PROGRESS").done == 0
    assert slot.link.expect("PROGRESS").done == 4


def test_progress_outside_of_a_task_says_nothing(slot: Slot, tmp_path: Path) -> None:
    path = fifo(tmp_path)
    code = (
        f"import denim, threading\ndef f():\n    with open({str(path)!r}) as fifo: fifo.read()\n"
        "    denim.progress(1)\n    print('told')\nthreading.Thread(target=f).start()"
    )
    run(slot, code)
    path.write_text("go")
    assert slot.output(until="told")
    assert slot.link.is_quiet()


def test_what_a_task_prints_is_there_before_its_result(slot: Slot) -> None:
    slot.ask("myapp:say", [["one"]])
    slot.ask("myapp:say", [["two", ""]])
    run(slot, "import sys; print('three', file=sys.stderr)")
    assert slot.output(until="three") == "one\ntwothree\n"


# --- the process ---------------------------------------------------------------------------------


def test_a_task_sees_the_environment_of_the_user_and_nothing_of_ours(
    app: Path, tmp_path: Path
) -> None:
    cwd = tmp_path / "cwd"
    cwd.mkdir()
    with Slot("myapp", app, cwd=cwd, environ={"MINE": "1"}) as slot:
        names = run(
            slot,
            "import os; value = [n for n in os.environ"
            " if 'DENIM_SLOT' in n or n == 'DENIM_APP_PATH']",
        )
        assert names == []
        assert run(slot, "import os; value = os.environ['MINE']") == "1"
        path = run(slot, "import sys; value = sys.path")
        assert path[:2] == [str(cwd), str(app)]
        assert path[-1] == os.path.realpath(os.path.join(os.environ["DENIM_BIN"], "../python"))
        there = subprocess.run(
            [sys.executable, "-c", "import sys; print(sys.prefix, sys.executable, sys.flags)"],
            capture_output=True,
            text=True,
            check=True,
        )
        code = "import sys; value = f'{sys.prefix} {sys.executable} {sys.flags}'"
        assert run(slot, code) == there.stdout.strip()
        child = (
            "import subprocess, sys\n"
            "code = \"import os; print([n for n in os.environ if 'DENIM_SLOT' in n],"
            " os.listdir('/proc/self/fd'))\"\n"
            "value = subprocess.run([sys.executable, '-c', code],"
            " capture_output=True, text=True).stdout"
        )
        assert run(slot, child).replace("'", "") == "[] [0, 1, 2, 3]\n"  # 3 is the listing's own


def test_a_slot_leads_its_group_and_is_the_first_that_the_kernel_kills(slot: Slot) -> None:
    assert os.getpgid(slot.pid) == slot.pid
    assert int(Path(f"/proc/{slot.pid}/oom_score_adj").read_text()) >= 500
    assert Path(f"/proc/{slot.pid}/comm").read_text() == "denim-slot\n"


def test_stop_runs_exit_hooks(slot: Slot) -> None:
    run(slot, "import atexit; atexit.register(print, 'bye')")
    slot.link.say("STOP")
    assert (slot.wait(), slot.output()) == (0, "bye\n")


def test_the_end_of_the_channel_ends_the_slot_at_once(slot: Slot, tmp_path: Path) -> None:
    path = fifo(tmp_path)
    run(
        slot,
        "import atexit, threading\natexit.register(print, 'bye')\n"
        f"threading.Thread(target=lambda: open({str(path)!r}).read()).start()",
    )
    slot.ask("myapp:say", [["last", ""]])
    slot.link.socket.close()
    assert (slot.wait(), slot.output()) == (0, "last")


def test_a_slot_dies_with_its_supervisor_whatever_it_does(app: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'tests/python')!r})\n"
        "from wire_probe import Slot\n"
        f"slot = Slot('myapp', {str(app)!r})\nslot.run('myapp:hold', [[10**12]])\n"
        "while slot.ends.started() == 0: pass\n"
        "print(slot.pid, flush=True); input()"
    )
    supervisor = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert supervisor.stdout and supervisor.stdin
    pid = int(supervisor.stdout.readline())
    supervisor.kill()
    until_ended(pid)
    supervisor.wait()
    supervisor.stdin.close()
    supervisor.stdout.close()


def test_a_slot_whose_supervisor_is_gone_already_does_not_start(app: Path) -> None:
    with Process("slot", "myapp", app, parent=1) as orphan:
        assert orphan.wait() == 0
        with pytest.raises(EOFError):
            orphan.link.receive()


@pytest.mark.parametrize("garbage", [b"\xff" * 64, packet(b"\x50\x00"), packet(b"\x3c\x00")])
def test_what_is_no_packet_ends_the_slot_with_a_sentence(slot: Slot, garbage: bytes) -> None:
    slot.link.send(garbage)
    assert slot.wait() == 70
    assert "came from the supervisor" in slot.output()


def test_messages_that_a_slot_need_not_know_are_skipped(slot: Slot) -> None:
    slot.link.say("CANCEL", seq=1)
    slot.link.say("MORE", b"x" * 100_000, seq=1)
    assert slot.ask("myapp:add", [[2, 3]]).value == 5


def test_by_hand_it_says_what_starts_it() -> None:
    environ = dict(os.environ, PYTHONPATH=os.path.join(os.environ["DENIM_BIN"], "../python"))
    code = "from denim import _slot; _slot.main()"
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True)
    assert done.returncode == 64
    assert done.stderr == "denim._slot is started by denim-worker, not by hand\n"
    program = os.path.join(os.environ["DENIM_BIN"], "denim-slot")
    done = subprocess.run([program], capture_output=True, text=True)
    assert done.returncode == 64 and done.stderr.startswith("denim-slot: started by denim-worker")


# --- a task that forks ---------------------------------------------------------------------------


def test_a_child_that_a_task_forks_has_no_part_in_the_channel(slot: Slot, tmp_path: Path) -> None:
    path = fifo(tmp_path)
    code = (
        "import os, denim\npid = os.fork()\n"
        f"if pid == 0:\n    denim.progress(1)\n    open({str(path)!r}).read()\n"
        "    os._exit(0)\nvalue = pid"
    )
    child = run(slot, code)
    assert slot.ask("myapp:add", [[2, 3]]).value == 5
    slot.kill()
    slot.wait()
    with pytest.raises(EOFError):
        slot.link.receive()
    path.write_text("")
    until_ended(child)


@pytest.mark.parametrize(
    ("way", "status", "words"),
    [
        ("pass", 70, "a child that a task had forked"),
        ("sys.exit(3)", 3, ""),
        ("raise ValueError('oh')", 1, "ValueError: oh"),
    ],
)
def test_a_child_that_comes_out_of_its_task_is_ended(
    slot: Slot, way: str, status: int, words: str
) -> None:
    code = (
        "import os, sys\npid = os.fork()\n"
        f"if pid == 0: {way}\n"
        "else: value = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])"
    )
    assert run(slot, code) == status
    assert words in slot.output(until=words)
    assert slot.ask("myapp:add", [[2, 3]]).value == 5


def test_multiprocessing_works_in_a_task(slot: Slot) -> None:
    for way in ("fork", "spawn"):
        code = (
            "import multiprocessing, operator\n"
            f"with multiprocessing.get_context({way!r}).Pool(2) as pool:"
            " value = pool.map(operator.neg, [1, 2, 3])"
        )
        assert run(slot, code) == [-1, -2, -3]
    assert slot.ask("myapp:add", [[2, 3]]).value == 5


# --- an app that cannot be run -------------------------------------------------------------------


@pytest.mark.parametrize("role", ["slot", "zygote"])
@pytest.mark.parametrize(
    ("source", "text", "trace"),
    [
        ("import nothing_such", "ModuleNotFoundError: No module named 'nothing_such'", "bad.py"),
        ("x = (", "SyntaxError", "bad.py"),
        ("raise SystemExit(5)", "SystemExit: 5", "bad.py"),
        ("raise ValueError('\\ud800\\0')", "ValueError", "bad.py"),
        (
            "import denim._slot\n@denim._slot.on_slot_start\ndef f(): 1 / 0",
            "ZeroDivisionError",
            "in f",
        ),
    ],
)
def test_an_app_that_fails_is_told_of(
    app: Path, role: str, source: str, text: str, trace: str
) -> None:
    (app / "bad.py").write_text(source)
    if role == "zygote" and "on_slot_start" in source:
        return
    with Process(role, "myapp bad", app) as process:
        failed = process.link.expect("FAILED")
        assert failed.module == "bad" and text in failed.text
        assert trace in failed.frames[0].decode() and "_slot.py" not in failed.frames[0].decode()
        assert process.wait() == 78


def test_an_app_that_is_not_there_says_where_it_was_looked_for(app: Path) -> None:
    with Process("slot", "nowhere", app, cwd=app) as process:
        failed = process.link.expect("FAILED")
        missing = "ModuleNotFoundError: No module named 'nowhere'"
        assert failed.text == f"{missing}; looked first in {app}"
        assert process.wait() == 78


# --- the zygote ----------------------------------------------------------------------------------


def ready(child: Tasks) -> Message:
    message = child.link.expect("READY")
    assert (message.pid, message.threads) == (child.pid, 1)
    return message


def test_a_zygote_forks_slots_that_run_tasks(app: Path) -> None:
    with Zygote("myapp", app) as zygote:
        assert (zygote.ready.pid, zygote.ready.threads) == (zygote.pid, 1)
        children = [zygote.fork(number) for number in range(3)]
        for child in children:
            assert ready(child).services == zygote.ready.services
            assert child.ask("myapp:add", [[2, 3]]).value == 5
            assert os.getpgid(child.pid) == child.pid
            child.interrupt(start(child, "myapp:endless"))
            assert raised(child.result()).type_name == "SoftTimeLimit"
        children[0].ask("myapp:say", [["hello"]])
        assert os.read(children[0].ends.output_fd, 100) == b"hello\n"
        drawn = {run(child, "import random; value = random.random()") for child in children}
        assert len(drawn) == 3


def test_a_zygote_tells_how_each_of_its_children_ended(app: Path) -> None:
    with Zygote("myapp", app) as zygote:
        children = [zygote.fork(number) for number in range(6)]
        for child in children:
            ready(child)
        children[0].link.say("STOP")
        children[1].link.socket.close()
        children[2].run("myapp:run", [["import os; os._exit(9)"]])
        children[3].run("myapp:run", [["import os; os.abort()"]])
        os.kill(children[4].pid, signal.SIGKILL)
        ends = [0, 0, 9, -signal.SIGABRT, -signal.SIGKILL]
        expected = {children[i].pid: status for i, status in enumerate(ends)}
        for _ in range(5):
            exited = zygote.link.expect("EXITED")
            assert os.waitstatus_to_exitcode(exited.status) == expected.pop(exited.pid)
            assert exited.rss_bytes > 1_000_000 and exited.cpu_us > 0
            until_ended(exited.pid)
        assert children[5].ask("myapp:add", [[2, 3]]).value == 5
        assert zygote.link.is_quiet()


def test_no_end_of_a_child_is_missed(app: Path) -> None:
    """Even when the app ignores SIGCHLD, and many end at once while others are made."""
    (app / "deaf.py").write_text("import signal\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\n")
    with Zygote("deaf", app) as zygote:
        waiting = {number: zygote.send_fork(number) for number in range(40)}
        running: set[int] = set()
        for number in range(40, 80):
            waiting[number] = zygote.send_fork(number)
        while waiting or running:
            message = zygote.link.receive()
            if message.name == "FORKED":
                assert message.error == 0
                running.add(message.pid)
                os.kill(message.pid, signal.SIGKILL)
                waiting.pop(message.slot).close()
            else:
                assert message.name == "EXITED"
                running.remove(message.pid)


def test_children_die_with_their_zygote_and_it_with_the_channel(app: Path) -> None:
    ends: list[Callable[[Zygote], None]] = [
        lambda zygote: zygote.kill(),
        lambda zygote: zygote.link.socket.close(),
        lambda zygote: zygote.link.say("STOP"),
    ]
    for end in ends:
        with Zygote("myapp", app) as zygote:
            child = zygote.fork(0)
            ready(child)
            child.run("myapp:hold", [[10**12]])
            end(zygote)
            zygote.wait()
            until_ended(child.pid)


def test_a_zygote_counts_the_threads_that_the_app_has_started(app: Path) -> None:
    source = (
        "import threading\n"
        "threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
    )
    (app / "threaded.py").write_text(source)
    with Zygote("threaded", app) as zygote:
        assert zygote.ready.threads == 2


def test_a_fork_without_descriptors_is_refused(app: Path) -> None:
    with Zygote("myapp", app) as zygote:
        zygote.link.say("FORK", slot=5)
        forked = zygote.link.expect("FORKED")
        assert (forked.slot, forked.pid) == (5, 0) and forked.error != 0
        ready(zygote.fork(6))


def test_what_the_app_opened_is_open_in_a_fork_and_nothing_else(app: Path) -> None:
    source = (
        f"log = open({str(app / 'log')!r}, 'w')\n"
        "def write(text): print(text, file=log, flush=True)\n"
    )
    (app / "logging_app.py").write_text(source)
    with Zygote("logging_app myapp", app) as zygote:
        first, second = zygote.fork(0), zygote.fork(1)
        ready(first), ready(second)
        second.ask("logging_app:write", [["hello"]])
        assert (app / "log").read_text() == "hello\n"
        code = (
            "import os\nhere = '/proc/self/fd/'\n"
            "value = {fd: os.readlink(here + fd) for fd in os.listdir(here)"
            " if os.path.exists(here + fd)}"
        )
        opened = run(second, code)
        assert str(app / "log") in opened.values()
        others = [name for name in opened.values() if not name.endswith("/log")]
        names = sorted(name.partition(":")[0] for name in others)
        assert names == ["/dev/null", "/memfd", "pipe", "pipe", "socket"]


def test_start_hooks_run_in_each_slot(app: Path) -> None:
    (app / "hooked.py").write_text(
        "import os\nfrom denim._slot import on_slot_start\nseen = []\n"
        "@on_slot_start\ndef note(): seen.append(os.getpid())\ndef look(): return seen\n"
    )
    with Zygote("hooked", app) as zygote:
        for child in [zygote.fork(number) for number in range(2)]:
            ready(child)
            assert child.ask("hooked:look").value == [child.pid]
    with Slot("hooked", app) as slot:
        assert slot.ask("hooked:look").value == [slot.pid]


def test_numpy_is_seeded_anew_in_each_slot(app: Path) -> None:
    pytest.importorskip("numpy")
    (app / "science.py").write_text("import numpy\ndef draw(): return numpy.random.random()\n")
    with Zygote("science", app, environ={"OPENBLAS_NUM_THREADS": "1"}) as zygote:
        children = [zygote.fork(number) for number in range(3)]
        for child in children:
            child.link.expect("READY")
        assert len({child.ask("science:draw").value for child in children}) == 3


def test_a_new_slot_is_there_soon_after_a_kill(app: Path) -> None:
    with Zygote("myapp", app) as zygote:
        child = zygote.fork(0)
        ready(child)
        os.kill(child.pid, signal.SIGKILL)
        assert zygote.link.expect("EXITED").pid == child.pid
        child = zygote.fork(1)
        ready(child)
        assert child.ask("myapp:add", [[2, 3]]).value == 5


# --- interpreters --------------------------------------------------------------------------------


@pytest.mark.parametrize("embedded", [True, False], ids=["embedded", "as_it_is"])
@pytest.mark.parametrize("python", interpreters())
def test_every_interpreter_runs_tasks(app: Path, python: str, embedded: bool) -> None:
    library, executable = library_of(python)
    if embedded and not library:
        pytest.skip("it has no shared library")
    with Slot("myapp", app, python=python, embedded=embedded) as slot:
        assert slot.ready.executable == executable
        assert slot.ask("myapp:add", [[2, 3]]).value == 5
        assert run(slot, "import ssl, sqlite3; value = 1") == 1
        slot.interrupt(start(slot, "myapp:endless"))
        assert raised(slot.result()).type_name == "SoftTimeLimit"
        slot.interrupt(start(slot, "myapp:forever"), cancel=True)
        assert slot.result().outcome == CANCELLED
        slot.link.say("STOP")
        assert (slot.wait(), slot.output()) == (0, "")
    with Zygote("myapp", app, python=python, embedded=embedded) as zygote:
        child = zygote.fork(0)
        ready(child)
        assert child.ask("myapp:add", [[2, 3]]).value == 5


@pytest.mark.parametrize("python", interpreters())
def test_a_virtual_environment_is_that_environment(app: Path, tmp_path: Path, python: str) -> None:
    environment = tmp_path / "venv"
    subprocess.run([python, "-m", "venv", "--without-pip", environment], check=True)
    (site,) = environment.glob("lib/python3*/site-packages")
    (site / "only_here.py").write_text("X = 5\n")
    with Slot("myapp", app, python=str(environment / "bin/python")) as slot:
        code = "import only_here, ssl, sys; value = [sys.prefix, sys.executable, only_here.X]"
        assert run(slot, code) == [str(environment), str(environment / "bin/python"), 5]


def test_a_library_that_is_none_is_said_in_a_sentence(tmp_path: Path) -> None:
    program = os.path.join(os.environ["DENIM_BIN"], "denim-slot")
    ours, its = socket.socketpair()
    with contextlib.closing(ours), contextlib.closing(its):
        actions = [(os.POSIX_SPAWN_DUP2, its.fileno(), 3)]
        for library, words in (
            ("/nowhere.so", "cannot load Python"),
            ("libm.so.6", "no library of CPython"),
        ):
            log = tmp_path / f"log of {words}"
            stderr = (os.POSIX_SPAWN_OPEN, 2, str(log), os.O_WRONLY | os.O_CREAT, 0o600)
            pid = os.posix_spawn(
                program, [program, library, "x"], os.environ, file_actions=[*actions, stderr]
            )
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 78
            assert words in log.read_text() and log.read_text().count("\n") == 1


def test_json_of_the_table_is_sane() -> None:
    """The probe itself: what it writes it reads."""
    from wire_probe import TABLE, decode, encode

    for row in TABLE.values():
        if row.number:
            assert json.dumps(sorted(decode(encode(row.name), []).fields)) == json.dumps(
                sorted(name for name, _, _ in row.fields)
            )
