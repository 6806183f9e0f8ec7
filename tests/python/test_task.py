# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""`@denim.task`, options and the names of tasks."""

from __future__ import annotations

import asyncio
import doctest
import functools
import importlib
import inspect
import json
import math
import pickle
import sys

import pytest
from fake_denim import fake  # noqa: F401  a fixture

import denim
from denim.options import Options, Retry, task_name


@denim.task
def add(x, y=1):
    """Adds."""
    return x + y


@denim.task(soft_limit=20, hard_limit=30, idempotent=True)
def thumbnail(path: str, size: int = 128) -> str:
    return f"{path}@{size}"


@denim.task
async def fetch(key):
    return key


class Holder:
    def method(self):
        pass

    @staticmethod
    def static():
        pass

    @classmethod
    def made(cls):
        pass


# --- the decorator -------------------------------------------------------------------------------


def test_a_task_is_still_its_function():
    assert add(2, 3) == 5
    assert thumbnail("a") == "a@128"
    assert inspect.isfunction(add) and inspect.iscoroutinefunction(fetch)
    assert asyncio.run(fetch("k")) == "k"
    assert str(inspect.signature(thumbnail)) == "(path: 'str', size: 'int' = 128) -> 'str'"
    assert (add.__name__, add.__doc__, add.__module__) == ("add", "Adds.", __name__)
    assert pickle.loads(pickle.dumps(add)) is add


def test_a_task_knows_its_name_and_options():
    assert thumbnail.__denim_task__.name == f"{__name__}:thumbnail"
    declared = thumbnail.__denim_task__.declared
    assert declared == Options(soft_limit=20, hard_limit=30, idempotent=True)
    assert add.__denim_task__.declared == Options()


def test_wrong_options_are_refused_where_they_are_written():
    with pytest.raises(TypeError, match="dedline"):
        denim.task(dedline=3)
    with pytest.raises(ValueError, match="above 0"):
        denim.task(hard_limit=0)
    with pytest.raises(TypeError, match="functions"):
        denim.task(5)
    with pytest.raises(TypeError, match="functions"):
        denim.task(len)


def test_a_wrapper_that_keeps_the_name_stays_a_task():
    @functools.wraps(add)
    def wrapper(*args):
        return add(*args)

    assert wrapper.__denim_task__.name == f"{__name__}:add"


def test_short_forms_go_through_the_default_client(fake):
    client = denim.default_client()
    wire = fake.Client.made[0].wire
    wire.tasks = {f"{__name__}:add": add, f"{__name__}:thumbnail": thumbnail}
    assert add.call(2, 3) == 5
    assert add.submit(2, y=5).result(5) == 7
    assert list(add.map([1, 2], [3, 4])) == [4, 6]
    assert list(add.starmap([(1, 2), (3,)], ordered=True)) == [3, 4]
    assert thumbnail.call("p", size=1) == "p@1"
    assert wire.submitted[-1].options == (None, None, 20.0, 30.0, 1, True)
    assert denim.default_client() is client


def test_options_of_the_call_go_before_those_of_the_task(fake):
    with denim.Client() as client:
        wire = fake.Client.made[0].wire
        wire.tasks = {f"{__name__}:thumbnail": thumbnail}
        client.options(hard_limit=5, priority="high").call(thumbnail, "p")
        assert wire.submitted[-1].options == (None, None, 20.0, 5.0, 0, True)
        client.call(f"{__name__}:thumbnail", "p")
        assert wire.submitted[-1].options == (None, None, None, None, 1, False)
    view = thumbnail.options(deadline=2, soft_limit=1)
    assert view.__denim_task__.declared == Options(
        deadline=2, soft_limit=1, hard_limit=30, idempotent=True
    )
    assert view("q") == "q@128"
    denim.default_client()
    wire = fake.Client.made[-1].wire
    wire.tasks = {f"{__name__}:thumbnail": thumbnail}
    assert view.call("q") == "q@128"
    assert wire.submitted[-1].options == (None, 2.0, 1.0, 30.0, 1, True)


def test_a_codec_that_a_task_declares_is_used(fake):
    @denim.task(codec="pickle")
    def point(x):
        return x

    point.__denim_task__.function.__qualname__ = "point"
    with denim.Client() as client:
        wire = fake.Client.made[0].wire
        wire.tasks = {f"{__name__}:point": lambda x: x}
        assert client.call(point, Options(deadline=1)) == Options(deadline=1)
        assert wire.submitted[-1].codec == 2


# --- names ---------------------------------------------------------------------------------------


def outer():
    def inner():
        pass

    return inner


def test_a_function_stands_for_module_and_qualname():
    assert task_name(json.dumps) == "json:dumps"
    assert task_name(add) == f"{__name__}:add"
    assert task_name(Holder.static) == f"{__name__}:Holder.static"
    assert task_name(math.sqrt) == "math:sqrt"
    assert task_name("myapp:add") == "myapp:add"
    assert task_name("denim:apply") == "denim:apply"


@pytest.mark.parametrize(
    ("task", "says"),
    [
        ("add", '"module:function"'),
        (":add", '"module:function"'),
        ("add:", '"module:function"'),
        ("", '"module:function"'),
        (5, "a function"),
        (None, "a function"),
        (lambda: 1, "lambda"),
        (outer(), "inside a function"),
        (Holder().method, "method"),
        (Holder.made, "method"),
        (functools.partial(add, 1), "no name"),
    ],
    ids=repr,
)
def test_what_the_workers_cannot_know_is_refused_with_a_sentence(task, says):
    with pytest.raises((TypeError, ValueError), match=says):
        task_name(task)


def test_a_function_of_the_program_itself_is_refused_with_advice():
    def f():
        pass

    f.__module__, f.__qualname__ = "__main__", "f"
    with pytest.raises(ValueError, match="put it in a module"):
        task_name(f)


# --- options -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"deadline": 0},
        {"deadline": -1},
        {"deadline": math.inf},
        {"deadline": math.nan},
        {"deadline": "2"},
        {"deadline": True},
        {"soft_limit": 0},
        {"hard_limit": []},
        {"priority": "urgent"},
        {"priority": 1},
        {"codec": "yaml"},
        {"idempotent": 1},
        {"service": ""},
        {"service": "é" * 64},
        {"service": 5},
        {"retries": -1},
        {"retries": 1.5},
        {"retry_on": "ValueError"},
        {"retry_on": (int,)},
        {"retry_backoff": -1},
    ],
    ids=repr,
)
def test_a_wrong_option_is_refused_by_name(wrong):
    (name,) = wrong
    with pytest.raises((TypeError, ValueError), match=name):
        Options(**wrong)


def test_options_combine():
    low = Options(deadline=5, idempotent=True, priority="low")
    assert Options(deadline=2).over(low) == Options(deadline=2, idempotent=True, priority="low")
    assert Options(idempotent=False).over(low).idempotent is False
    assert Options().plan().tail == (None, None, None, None, 1, False)
    plan = Options(deadline=5).plan()
    assert plan.tail_after(2.0)[1] == 3.0
    assert plan.tail_after(9.0)[1] > 0
    assert Options().plan().tail_after(3.0) == Options().plan().tail


def test_a_retry_waits_longer_each_time_and_keeps_the_deadline():
    retry = Options(retries=3, retry_on=OSError, retry_backoff=0.5, deadline=10).plan().retry
    assert isinstance(retry, Retry)
    for attempts, least in ((1, 0.5), (2, 1.0), (3, 2.0)):
        assert least <= retry.delay(ConnectionError(), attempts, 0.0) <= least * 1.25
    assert retry.delay(ConnectionError(), 4, 0.0) is None
    assert retry.delay(ValueError(), 1, 0.0) is None
    assert retry.delay(ConnectionError(), 1, 9.6) is None
    assert Options().plan().retry is None
    assert Options(retries=2).plan().retry.retry_on == (Exception,)
    assert Options(retries=100).plan().retry.delay(KeyError(), 90, 0.0) <= 75.0


def test_an_error_that_is_only_known_by_name_can_be_retried():
    class Refused(Exception):
        pass

    retry = Options(retries=1, retry_on=Refused, retry_backoff=0).plan().retry
    known = denim.RemoteError("x", type_name="Refused", module=__name__)
    assert retry.delay(known, 1, 0.0) == 0.0
    assert retry.delay(denim.RemoteError("x", type_name="Refused", module="o"), 1, 0.0) is None


@pytest.mark.parametrize("name", ["options", "progress", "unfit", "mapping"])
def test_examples_in_docstrings_hold(name):
    importlib.import_module(f"denim.{name}")
    assert doctest.testmod(sys.modules[f"denim.{name}"]).failed == 0
