# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""Where a soft limit is put off, because raising it there would do harm that outlives the task."""

from __future__ import annotations

import pytest
from interpreters import interpreters
from wire_probe import Slot

from denim import critical, payload

APP = """
import concurrent.futures, ctypes, multiprocessing.synchronize, os, signal, sys
import threading, weakref
from concurrent.futures._base import _AcquireFutures
import denim, denim._slot

libc = ctypes.CDLL(None)

class Value(ctypes.Union):
    _fields_ = [("number", ctypes.c_int)]

def limit_at(function, event, number):
    "The soft limit of the task comes when Python is there: an event of sys.setprofile."
    event, _, called = event.partition(" ")
    def look(frame, what, of):
        there = frame.f_code is function.__code__ and what == event
        if there and called in ("", of and of.__name__):
            sys.setprofile(None)
            assert libc.sigqueue(os.getpid(), signal.SIGUSR1, Value(number)) == 0
    sys.setprofile(look)

def is_free(lock):
    "For another thread."
    got = []
    thread = threading.Thread(target=lambda: got.append(lock.acquire(True, 0)))
    thread.start()
    thread.join()
    return got == [True]

def lock(owner, name, event, number):
    "Whether all locks are free after the limit has come there, and what came then."
    condition, future = threading.Condition(), concurrent.futures.Future()
    function = getattr({"Condition": threading.Condition, "Futures": _AcquireFutures}[owner], name)
    try:
        limit_at(function, event, number)
        with condition:
            condition.wait(0.0)
        with condition:
            pass
        concurrent.futures.wait([future], 0.0)
        while True:
            pass
    except BaseException as error:
        sys.setprofile(None)
        return [is_free(condition) and is_free(future._condition), type(error).__name__]

def shared(event, number):
    "The same of a lock that processes share."
    made = multiprocessing.Lock()
    try:
        limit_at(type(made).__mro__[1].__enter__ if event == "c_return" else
                 type(made).__mro__[1].__exit__, event, number)
        with made:
            pass
        while True:
            pass
    except BaseException as error:
        sys.setprofile(None)
        return [is_free(made), type(error).__name__]

def event(name, event, number):
    "The same of an Event, whose lock and conditions are others."
    made = threading.Event()
    try:
        limit_at(getattr(threading.Condition, name), event, number)
        made.wait(0.0)
        while True:
            pass
    except BaseException as error:
        sys.setprofile(None)
        return [is_free(made._cond), type(error).__name__]

class Finalized:
    ended = False
    def __del__(self):
        Finalized.ended = True

def finalizer(number):
    limit_at(Finalized.__del__, "call", number)
    made = Finalized()
    del made
    if not Finalized.ended:
        return "it was interrupted"
    while True:
        pass

def weak(number):
    known = weakref.WeakSet()
    limit_at(known._remove, "call", number)
    known.add(Finalized())
    if known.data:
        return "it was interrupted"
    while True:
        pass

def long(number):
    limit_at(threading.Condition.__enter__, "call", number)
    with threading.Condition(Held()):
        pass

class Held:
    "A lock that is never free."
    acquire = release = None
    def __enter__(self):
        while True:
            pass
    def __exit__(self, *_):
        pass

def storm(number):
    "Limits come faster than what is to be raised for one of them is made."
    def made(text):
        ask()
        return denim.SoftTimeLimit(text)
    ask = lambda: libc.sigqueue(os.getpid(), signal.SIGUSR1, Value(number))
    denim._slot.SoftTimeLimit = made
    try:
        ask()
        while True:
            pass
    finally:
        denim._slot.SoftTimeLimit = denim.SoftTimeLimit

def waits(number):
    condition = threading.Condition()
    limit_at(threading.Condition.wait, "c_call acquire", number)
    with condition:
        condition.wait()
"""


@pytest.fixture(scope="module", params=interpreters())
def slot(request, tmp_path_factory):
    """Of each Python: what it may do between two instructions is its own."""
    folder = tmp_path_factory.mktemp("app")
    (folder / "crit.py").write_text(APP)
    with Slot("crit", folder, python=request.param) as made:
        yield made


def ask(slot, name, *args):
    """Of a task whose limit comes where it says itself."""
    return slot.ask(f"crit:{name}", [[*args, slot.sent + 1]])


@pytest.mark.parametrize(
    "place",
    [
        ("Condition", "__enter__", "c_return"),
        ("Condition", "__exit__", "call"),
        ("Condition", "wait", "c_return _release_save"),
        ("Condition", "wait", "c_call _acquire_restore"),
        ("Futures", "__enter__", "c_return"),
        ("Futures", "__exit__", "call"),
        ("Futures", "__exit__", "c_call"),
    ],
    ids="-".join,
)
def test_a_limit_that_comes_while_a_lock_is_taken_or_given_back_leaves_none_held(slot, place):
    for _ in range(3):
        assert ask(slot, "lock", *place).value == [True, "SoftTimeLimit"]


@pytest.mark.parametrize(
    "place",
    [
        ("_release_save", "c_return"),
        ("_acquire_restore", "call"),
        ("_acquire_restore", "c_call"),
    ],
    ids="-".join,
)
def test_a_limit_that_comes_in_an_event_s_wait_leaves_its_lock_free(slot, place):
    assert ask(slot, "event", *place).value == [True, "SoftTimeLimit"]


@pytest.mark.parametrize("event", ["c_return", "call"])
def test_a_limit_that_comes_while_a_lock_of_processes_is_taken_or_given_back(slot, event):
    assert ask(slot, "shared", event).value == [True, "SoftTimeLimit"]


@pytest.mark.parametrize("name", ["finalizer", "weak"])
def test_a_limit_that_comes_where_exceptions_are_dropped_comes_after_it(slot, name):
    result = ask(slot, name)
    assert result.outcome == 1, result.value
    assert payload.decode_exception(result.frames).type_name == "SoftTimeLimit"


@pytest.mark.parametrize("name", ["waits", "long"])
def test_who_waits_in_such_a_place_is_interrupted_all_the_same(slot, name):
    assert payload.decode_exception(ask(slot, name).frames).type_name == "SoftTimeLimit"


def test_a_limit_that_comes_while_one_is_being_raised_does_not_nest(slot):
    raised = payload.decode_exception(ask(slot, "storm").frames)
    assert raised.type_name == "SoftTimeLimit", raised
    assert ask(slot, "waits").outcome == 1


def test_all_places_are_found():
    names = {code.co_name for code, _, _ in critical.places()}
    assert {"__enter__", "__exit__", "_remove", "wait", "acquire", "__call__"} <= names
    ((begin, end),) = [place[1:] for place in critical.places() if place[0].co_name == "wait"]
    assert 0 < begin < end
