# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""The client without servers: what it makes of what the extension says."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import io
import itertools
import logging
import os
import pickle
import sys
import threading
import time
import warnings

import pytest
from fake_denim import Reply, fake, until  # noqa: F401  a fixture

import denim
from denim import answers, local, mapping, payload
from denim import client as client_module
from denim.link import Link
from denim.options import Options
from denim.progress import Bar


def add(x, y=1):
    return x + y


def fail(error):
    raise error


@pytest.fixture
def client(fake):
    with denim.Client("tcp://host", window=10) as made:
        made.wire = fake.Client.made[0].wire
        made.wire.tasks = {"app:add": add, "app:fail": fail, f"{__name__}:add": add}
        yield made


@pytest.fixture
def manual(client):
    """A client whose calls wait for the test to answer."""
    client.wire.manual = True
    return client


def value(number):
    return payload.encode_value(number)


def answer_all(wire):
    for call in list(wire.open.values()):
        wire.run(call)


# --- making one ----------------------------------------------------------------------------------


def test_the_address_comes_from_the_argument_the_environment_or_is_loopback(fake, monkeypatch):
    monkeypatch.setenv("DENIM_MANAGER", "tcp://there")
    with denim.Client("ipc:///x") as one, denim.Client() as two:
        assert (one.address, two.address) == ("ipc:///x", "tcp://there")
    monkeypatch.setenv("DENIM_MANAGER", "")
    with denim.Client() as three:
        assert three.address == "tcp://127.0.0.1"


def test_a_wrong_address_or_codec_is_refused_at_once(fake):
    with pytest.raises(ValueError, match="nonsense"):
        denim.Client("nonsense")
    with pytest.raises(ValueError, match="codec"):
        denim.Client(codec="yaml")
    gc.collect()  # a half-made one is no trouble when it goes


def test_making_a_client_starts_no_thread(fake):
    before = threading.active_count()
    with denim.Client():
        assert threading.active_count() == before


def test_repr_tells_address_state_in_flight_and_waiting(manual):
    first = manual.submit("app:add", 1)
    manual.submit("app:add", 2)
    manual.wire.open[first._id].sent = False
    assert repr(manual) == "<denim.Client tcp://host connected, 2 in flight, 1 waiting>"
    view = manual.options(deadline=2.0)
    assert repr(view) == f"<Options(deadline=2.0) of {manual!r}>"
    manual.close()
    assert repr(manual) == "<denim.Client tcp://host closed>"


# --- call ----------------------------------------------------------------------------------------


def test_call_returns_the_value(client):
    assert client.call("app:add", 2, 3) == 5
    assert client.call("app:add", 2, y=5) == 7
    assert client.call(add, (1,), y=(2,)) == (1, 2)


def test_call_raises_what_the_task_raised(client):
    with pytest.raises(KeyError, match="missing") as caught:
        client.call("app:missing")
    assert isinstance(caught.value.__cause__, denim.RemoteError)


def test_a_runtime_error_of_the_task_is_its_own(fake):
    with denim.Client() as client:
        fake.Client.made[0].wire.tasks = {"app:f": lambda: fail(RuntimeError("mine"))}
        for ask in (client.call, lambda task: client.submit(task).result(5)):
            with pytest.raises(RuntimeError, match="^mine$") as caught:
                ask("app:f")
            assert isinstance(caught.value.__cause__, denim.RemoteError)


def test_an_argument_that_cannot_be_carried_is_refused_before_anything_runs(client):
    for ask in (client.call, client.submit):
        with pytest.raises(denim.CodecError, match=r"^args\[1\]\['x'\]"):
            ask("app:add", 1, {"x": object()})
    assert not client.wire.submitted


def test_the_names_of_keyword_arguments_are_free(fake):
    with denim.Client() as client:
        fake.Client.made[0].wire.tasks = {"app:kw": lambda **kw: sorted(kw)}
        assert client.call("app:kw", self=1, task=2, timeout=3) == ["self", "task", "timeout"]
        assert client.submit("app:kw", self=1, task=2).result(5) == ["self", "task"]


def test_options_travel(client):
    view = client.options(service="gpu", deadline=2, soft_limit=1.5, hard_limit=2, priority="high")
    view.options(idempotent=True).call("app:add", 1)
    assert client.wire.submitted[-1].options == ("gpu", 2.0, 1.5, 2.0, 0, True)
    client.call("app:add", 1)
    assert client.wire.submitted[-1].options == (None, None, None, None, 1, False)
    with pytest.raises(TypeError):
        client.options(dedline=1)


def test_pickle_is_used_and_accepted_only_when_asked_for(fake):
    with denim.Client() as client:
        wire = fake.Client.made[0].wire
        wire.tasks = {"app:same": lambda x: x}
        wire.manual = True
        future = client.submit("app:same", 1)
        wire.answer(wire.open[future._id], payload.encode_value(1, payload.PICKLE), codec=2)
        with pytest.raises(denim.NotAllowed):
            future.result(5)
        wire.manual = False
        assert client.options(codec="pickle").call("app:same", 1 + 2j) == 1 + 2j
        assert wire.submitted[-1].codec == 2
    with denim.Client(codec="pickle") as client:
        wire = fake.Client.made[-1].wire
        wire.tasks = {"app:same": lambda x: x}
        assert client.call("app:same", denim.progress.__class__) is denim.progress.__class__
        client.options(codec="json").call("app:same", 1)
        assert wire.submitted[-1].codec == 1


# --- futures -------------------------------------------------------------------------------------


def test_submit_gives_a_real_future(client):
    future = client.submit("app:add", 2, 3)
    assert isinstance(future, concurrent.futures.Future) and isinstance(future, denim.Future)
    assert future.result(timeout=5) == 5
    assert future.exception(timeout=5) is None
    assert future.done() and not future.cancelled() and not future.running()
    assert (future.task, future.attempts) == ("app:add", 1)
    failed = client.submit("app:fail", 5)
    assert isinstance(failed.exception(5), TypeError)


def test_futures_work_with_the_tools_for_futures(manual):
    futures = [manual.submit("app:add", n) for n in range(5)]
    assert list(denim.wait(futures, timeout=0).done) == []
    for call in reversed(list(manual.wire.open.values())):
        manual.wire.run(call)
    assert sorted(f.result() for f in denim.as_completed(futures, timeout=5)) == [1, 2, 3, 4, 5]
    assert manual.gather(*futures) == [1, 2, 3, 4, 5]
    called = []
    futures[0].add_done_callback(called.append)
    assert called == [futures[0]]


def test_a_future_can_be_awaited(manual):
    async def main():
        future = manual.submit("app:add", 1, 2)
        threading.Timer(0, answer_all, [manual.wire]).start()
        assert await asyncio.wrap_future(future) == 3
        cancelled = manual.submit("app:add", 1)
        manual.wire.open[cancelled._id].sent = False
        outer = asyncio.wrap_future(cancelled)
        outer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await outer
        await asyncio.sleep(0)  # the wish is handed on by the loop
        assert cancelled.cancelled()

    asyncio.run(main())


def test_a_callback_that_raises_does_not_stop_the_others(manual):
    future, other = manual.submit("app:add", 1), manual.submit("app:add", 2)
    future.add_done_callback(lambda future: fail(SystemExit(1)))
    answer_all(manual.wire)
    assert other.result(5) == 3
    assert manual.submit("app:add", 0) and future.result(5) == 2


def test_a_callback_may_submit_and_close(manual):
    done = threading.Event()

    def more(future):
        manual.wire.manual = False
        assert manual.call("app:add", future.result()) == 3
        manual.close()
        done.set()

    manual.submit("app:add", 1).add_done_callback(more)
    answer_all(manual.wire)
    assert done.wait(5)


def test_a_full_window_makes_submit_wait_and_then_refuse(fake):
    with denim.Client(window=2, submit_timeout=0.02) as client:
        wire = fake.Client.made[0].wire
        wire.manual, wire.tasks = True, {"app:add": add}
        futures = [client.submit("app:add", n) for n in range(2)]
        with pytest.raises(denim.Rejected, match="window") as caught:
            client.submit("app:add", 9)
        assert caught.value.reason == "WINDOW_FULL"
        answer_all(wire)
        futures.append(client.submit("app:add", 3))
        answer_all(wire)
        assert client.gather(*futures, timeout=5) == [1, 2, 4]


def test_a_call_that_was_not_handed_out_is_cancelled_at_once(manual):
    future = manual.submit("app:add", 1)
    manual.wire.open[future._id].sent = False
    watcher = threading.Thread(target=concurrent.futures.wait, args=([future], 5))
    watcher.start()
    assert future.cancel() is True
    assert future.cancelled() and future.done()
    watcher.join(5)
    assert not watcher.is_alive()
    for ask in (future.result, future.exception):
        with pytest.raises(denim.TaskCancelled, match="app:add"):
            ask(5)
    assert future.cancel() is True
    assert list(denim.as_completed([future], timeout=5)) == [future]


def test_a_running_call_is_asked_to_stop(manual):
    future = manual.submit("app:add", 1)
    call = manual.wire.open[future._id]
    assert future.running()
    assert future.cancel() is False
    assert call.cancelled == "soft" and not future.done()
    manual.wire.answer(call, outcome="CANCELLED", worker="w3")
    with pytest.raises(denim.TaskCancelled) as caught:
        future.result(5)
    assert caught.value.worker == "w3"
    assert isinstance(caught.value, concurrent.futures.CancelledError)
    assert future.cancelled() and not future.running()
    assert isinstance(future.exception(5), denim.TaskCancelled)


def test_a_call_that_is_done_before_the_wish_keeps_its_value(manual):
    future = manual.submit("app:add", 1)
    assert future.cancel() is False
    answer_all(manual.wire)
    assert future.result(5) == 2
    assert future.cancel() is False and not future.cancelled()


def test_kill_asks_for_the_slots_end(manual):
    future = manual.submit("app:add", 1)
    assert future.kill() is False
    assert manual.wire.open[future._id].cancelled == "kill"
    held = manual.submit("app:add", 1)
    manual.wire.open[held._id].sent = False
    assert held.kill() is True and held.cancelled()


def test_progress_is_what_was_said_last(manual):
    future = manual.submit("app:add", 1)
    assert future.progress is None
    manual.wire.open[future._id].progress = (3, 10, "pages")
    assert future.progress == (3, 10, "pages")
    answer_all(manual.wire)
    future.result(5)
    assert future.progress == (3, 10, "pages")


def test_gather_raises_the_first_error_and_can_return_them(manual):
    good, bad = manual.submit("app:add", 1), manual.submit("app:fail", 1)
    manual.wire.run(manual.wire.open[bad._id])
    with pytest.raises(TypeError):
        manual.gather(good, bad, timeout=5)
    with pytest.raises(TimeoutError, match="1 of 2"):
        manual.gather(good, bad, timeout=0.01, return_exceptions=True)
    answer_all(manual.wire)
    first, second = manual.gather(good, bad, timeout=5, return_exceptions=True)
    assert first == 2 and isinstance(second, TypeError)
    assert manual.gather() == []


def test_a_future_or_client_in_a_pickle_is_refused_with_advice(manual):
    for thing in (manual, manual.options(deadline=1), manual.submit("app:add", 1)):
        with pytest.raises(TypeError, match="cannot be pickled: "):
            pickle.dumps(thing)


# --- retries -------------------------------------------------------------------------------------


class Flaky:
    """Raises some errors, then returns how often it was called."""

    def __init__(self, *errors):
        self.errors = list(errors)
        self.calls = 0

    def __call__(self):
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return self.calls


def ask_by_call(client):
    return client.call("app:flaky")


def ask_by_submit(client):
    return client.submit("app:flaky").result(10)


def ask_by_map(client):
    return next(client.starmap("app:flaky", [()]))


@pytest.mark.parametrize("ask", [ask_by_call, ask_by_submit, ask_by_map])
def test_the_client_calls_again_what_it_was_told_to(client, ask):
    flaky = client.wire.tasks["app:flaky"] = Flaky(ConnectionError("1"), ConnectionResetError("2"))
    view = client.options(retries=3, retry_on=(ConnectionError,), retry_backoff=0.001)
    assert ask(view) == 3

    flaky = client.wire.tasks["app:flaky"] = Flaky(*[ConnectionError("no")] * 9)
    with pytest.raises(ConnectionError) as caught:
        ask(view)
    assert flaky.calls == 4 and caught.value.__cause__.attempts == 4

    flaky = client.wire.tasks["app:flaky"] = Flaky(KeyError("other"))
    with pytest.raises(KeyError):
        ask(view)
    assert flaky.calls == 1

    flaky = client.wire.tasks["app:flaky"] = Flaky(ConnectionError("not asked for"))
    with pytest.raises(ConnectionError):
        ask(client)
    assert flaky.calls == 1


def test_attempts_are_counted_in_the_future(client):
    client.wire.tasks["app:flaky"] = Flaky(OSError("1"), OSError("2"))
    future = client.options(retries=5, retry_backoff=0).submit("app:flaky")
    assert future.result(5) == 3 and future.attempts == 3


def test_a_deadline_is_for_all_attempts_together(client):
    client.wire.tasks["app:flaky"] = Flaky(*[OSError()] * 100)
    view = client.options(retries=100, retry_backoff=0.01, deadline=0.2)
    started = time.monotonic()
    for ask in (ask_by_call, ask_by_submit, ask_by_map):
        with pytest.raises(OSError):
            ask(view)
    assert time.monotonic() - started < 5
    deadlines = [call.options[1] for call in client.wire.submitted]
    assert deadlines[0] == 0.2 and all(0 < each <= 0.2 for each in deadlines)
    assert deadlines[1] < 0.2


def test_only_what_the_task_raised_is_called_again(manual):
    future = manual.options(retries=5, retry_backoff=0).submit("app:add", 1)
    manual.wire.answer(manual.wire.open[future._id], outcome="LOST", signal=11)
    assert isinstance(future.exception(5), denim.WorkerLost)
    assert len(manual.wire.submitted) == 1


def test_a_cancelled_call_is_not_called_again(client):
    client.wire.tasks["app:flaky"] = flaky = Flaky(*[OSError()] * 3)
    future = client.options(retries=5, retry_backoff=30).submit("app:flaky")
    until(lambda: future._id == 0)
    assert future.cancel() is True
    assert flaky.calls == 1 and future.cancelled()


def test_closing_ends_what_waits_for_its_next_attempt(client):
    client.wire.tasks["app:flaky"] = Flaky(OSError())
    future = client.options(retries=5, retry_backoff=30).submit("app:flaky")
    until(lambda: future._id == 0)
    client.close()
    assert isinstance(future.exception(5), denim.TaskCancelled)


# --- map -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("chunksize", [1, 3])
def test_map_gives_every_value(client, ordered, chunksize):
    items = range(50)
    values = client.map("app:add", items, items, ordered=ordered, chunksize=chunksize)
    assert list(values) == [2 * n for n in items]
    assert list(client.map(add, [], chunksize=chunksize)) == []
    assert list(client.starmap(add, [(1,), (2, 3)], chunksize=chunksize)) == [2, 5]
    assert list(client.map("app:add", [1, 2, 3], [1])) == [2]


def test_map_takes_no_more_items_than_it_may(manual):
    taken = []

    def endless():
        for n in itertools.count():
            taken.append(n)
            yield n

    values = manual.map("app:add", endless(), buffersize=4)
    assert len(taken) == 4 == len(manual.wire.open)
    for n in range(20):
        answer_all(manual.wire)
        assert next(values) == n + 1
        assert len(taken) <= n + 1 + 4
    values.close()
    assert not manual.wire.open


def test_map_keeps_to_the_window_and_lets_others_in(manual):
    other = manual.submit("app:add", 100)
    values = manual.map("app:add", range(30), buffersize=20)
    assert len(manual.wire.open) == 10
    manual.wire.manual = False
    answer_all(manual.wire)
    assert list(values) == [n + 1 for n in range(30)]
    assert other.result(5) == 101


def test_map_waits_while_the_window_is_full_of_other_calls(manual):
    futures = [manual.submit("app:add", n) for n in range(10)]
    values = manual.map("app:add", range(3))
    assert len(manual.wire.submitted) == 10
    threading.Timer(0.05, answer_all, [manual.wire]).start()
    manual.wire.manual = False
    assert list(values) == [1, 2, 3]
    assert manual.gather(*futures, timeout=5)


def test_an_ordered_map_waits_for_the_first(manual):
    values = manual.map("app:add", range(4))
    calls = list(manual.wire.open.values())
    for call in reversed(calls):
        manual.wire.run(call)
    assert list(values) == [1, 2, 3, 4]


def test_an_unordered_map_gives_what_comes(manual):
    values = manual.map("app:add", range(4), ordered=False)
    for call in reversed(list(manual.wire.open.values())):
        manual.wire.run(call)
    assert list(values) == [4, 3, 2, 1]


@pytest.mark.parametrize("ordered", [True, False])
def test_map_raises_where_the_error_belongs_and_ends(client, ordered):
    client.wire.tasks["app:half"] = lambda n: 6 // (n - 3)
    values = client.map("app:half", range(10), ordered=ordered)
    assert [next(values) for _ in range(3)] == [-2, -3, -6]
    with pytest.raises(ZeroDivisionError) as caught:
        next(values)
    assert isinstance(caught.value.__cause__, denim.RemoteError)
    with pytest.raises(StopIteration):
        next(values)


def test_map_can_return_exceptions(client):
    client.wire.tasks["app:half"] = lambda n: 6 // (n - 1)
    values = list(client.map("app:half", range(4), return_exceptions=True))
    assert values[0::2] == [-6, 6] and values[3] == 3
    assert isinstance(values[1], ZeroDivisionError)
    chunks = list(client.map("app:half", range(4), chunksize=2, return_exceptions=True))
    assert [type(each) for each in chunks] == [ZeroDivisionError] * 2 + [int] * 2


def test_an_item_that_cannot_be_carried_fails_in_its_place(client):
    items = [1, object(), 3]
    values = client.map("app:add", items)
    assert next(values) == 2
    with pytest.raises(denim.CodecError, match=r"^args\[0\]"):
        next(values)
    values = list(client.map("app:add", items, return_exceptions=True, ordered=False))
    assert sorted(each for each in values if isinstance(each, int)) == [2, 4]


def test_an_error_of_the_items_themselves_comes_after_what_was_before(client):
    def items():
        yield 1
        yield 2
        raise LookupError("the file ends")

    for options in ({}, {"ordered": False}, {"return_exceptions": True}):
        values = client.map("app:add", items(), **options)
        assert [next(values), next(values)] == [2, 3]
        with pytest.raises(LookupError, match="the file ends"):
            next(values)


def test_map_times_out(manual):
    values = manual.map("app:add", range(3), timeout=0.02)
    manual.wire.run(next(iter(manual.wire.open.values())))
    assert next(values) == 1
    with pytest.raises(TimeoutError):
        next(values)
    assert not manual.wire.open


def test_a_map_with_retries_calls_failed_items_again(client):
    fails = {3: 2, 5: 1}

    def sometimes(n):
        if fails.get(n):
            fails[n] -= 1
            raise OSError(n)
        return n

    client.wire.tasks["app:sometimes"] = sometimes
    view = client.options(retries=2, retry_backoff=0.001)
    assert list(view.map("app:sometimes", range(20), buffersize=4)) == list(range(20))
    assert len(client.wire.submitted) == 23


def test_a_chunk_that_brings_something_else_is_an_error(manual):
    values = manual.map("app:add", range(4), chunksize=2)
    for call in list(manual.wire.open.values()):
        manual.wire.answer(call, value([1]))
    with pytest.raises(denim.CodecError, match="chunk of 2"):
        next(values)


def test_wrong_map_arguments_are_refused_at_once(client):
    for wrong in ({"chunksize": 0}, {"buffersize": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            client.map("app:add", [1], **wrong)
    with pytest.raises(ValueError, match="lambda"):
        client.map(lambda x: x, [1])


def test_a_forgotten_map_cancels_its_calls(manual):
    values = manual.map("app:add", range(3))
    assert len(manual.wire.open) == 3
    del values
    gc.collect()
    assert not manual.wire.open


def test_closing_the_client_ends_its_maps(manual):
    values = manual.map("app:add", range(3))
    manual.close()
    with pytest.raises((denim.TaskCancelled, denim.DenimError)):
        next(values)


class QuickHandle:
    """Answers at once, and keeps nothing."""

    def __init__(self):
        self.replies = []

    def submit(self, task, frames, codec, token, timeout, *options):
        self.replies.append(Reply(token, frames=[b"1"]))
        return 1

    def recv(self, count, timeout):
        replies, self.replies = self.replies, []
        return replies

    def close(self):
        pass


@pytest.mark.parametrize("ordered", [True, False])
def test_a_map_of_many_items_keeps_few_of_them(ordered):
    running = mapping.Mapping(
        QuickHandle(),
        "app:f",
        Options().plan(),
        zip(range(20_000)),
        chunksize=1,
        buffersize=100,
        ordered=ordered,
        end_at=None,
        return_exceptions=False,
    )
    values = running.values(None, None, False)
    next(values)
    most = 0
    for count, each in enumerate(values, 1):
        assert each == 1
        kept = len(running._ended or running._arrived) + len(running._handle.replies)
        most = max(most, kept, running._sent - count)
    assert count == 20_000
    assert most <= 101


# --- the bar -------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_bar_shows_done_total_rate_and_time_left():
    now = [0.0]
    screen = Terminal()
    bar = Bar(10, screen, clock=lambda: now[0])
    for _ in range(5):
        now[0] += 1.0
        bar.advance()
    last = screen.getvalue().split("\r")[-1]
    assert "5/10 (50 %)" in last and "1.00/s" in last and "0:05 left" in last
    assert "[###############...............]" in last
    bar.close()
    assert screen.getvalue().endswith("\n")


def test_a_bar_is_not_drawn_for_every_item():
    now = [0.0]
    screen = Terminal()
    bar = Bar(None, screen, clock=lambda: now[0])
    for _ in range(1000):
        now[0] += 0.001
        bar.advance()
    bar.close()
    assert screen.getvalue().count("\r") <= 12
    assert "1000 " in screen.getvalue().split("\r")[-1]


def test_without_a_terminal_each_tenth_is_a_line():
    out = io.StringIO()
    bar = Bar(1000, out)
    for _ in range(1000):
        bar.advance()
    bar.close()
    lines = out.getvalue().splitlines()
    assert lines[0] == "denim: 100/1000 (10 %)" and lines[-1] == "denim: 1000/1000 (100 %)"
    assert len(lines) == 10


def test_map_shows_its_progress_on_stderr(client, capsys):
    assert list(client.map("app:add", range(10), progress=True, chunksize=3))
    assert "denim: 10/10 (100 %)" in capsys.readouterr().err
    assert list(client.map("app:add", (n for n in range(7)), progress=True))
    assert "denim: 7\n" in capsys.readouterr().err
    assert list(client.map("app:add", range(3)))
    assert capsys.readouterr().err == ""


def test_progress_outside_a_task_does_nothing_and_inside_is_sent(monkeypatch):
    assert denim.progress(1, 2, "x") is None
    said = []
    monkeypatch.setattr(denim.progress, "_send", lambda *args: said.append(args))
    denim.progress(1, 2, "x")
    denim.progress(3)
    denim.progress(2.7, -1, "é" * 300)
    assert said[:2] == [(1, 2, "x"), (3, 0, "")]
    assert said[2][:2] == (2, 0) and said[2][2] == "é" * 127


# --- status, closing -----------------------------------------------------------------------------


def test_status_is_the_managers_answer(client):
    client.wire.status_text = '{"slots": 4}'
    assert client.status() == {"slots": 4}
    client.wire.state = "connecting"
    with pytest.raises(denim.ManagerUnavailable, match="tcp://host"):
        client.status(timeout=0.1)


def test_close_twice_is_fine_and_later_use_is_an_error(client):
    client.call("app:add", 1)
    client.close()
    client.close()
    assert client.closed
    view = client.options(deadline=1)
    for use in (
        lambda: client.call("app:add", 1),
        lambda: client.submit("app:add", 1),
        lambda: view.call("app:add", 1),
        lambda: client.map("app:add", [1]),
        client.status,
    ):
        with pytest.raises(denim.DenimError, match="closed"):
            use()


def test_closing_cancels_what_is_outstanding(manual):
    future = manual.submit("app:add", 1)
    manual.close()
    with pytest.raises(denim.TaskCancelled):
        future.result(5)
    assert not any(t.name == "denim-answers" and t.is_alive() for t in threading.enumerate())
    assert future.cancel() is True and future.progress is None


def test_a_close_that_is_interrupted_anywhere_can_be_made_again(fake):
    def interrupt_at(line):
        """The exception of a signal before that line of begin_close; the first is 1."""
        lines = itertools.count(1)

        def trace(frame, event, _):
            if frame.f_code is not Link.begin_close.__code__:
                return None
            if event == "line" and next(lines) == line:
                raise KeyboardInterrupt
            return trace

        return trace

    for line in itertools.count(1):
        client = denim.Client("tcp://host")
        handle = fake.Client.made[-1]
        handle.wire.manual = True
        future, values = client.submit("app:add", 1), client.map("app:add", [1])
        before = sys.gettrace()
        try:
            sys.settrace(interrupt_at(line))
            client.close()
            break
        except KeyboardInterrupt:
            assert not client.closed
        finally:
            sys.settrace(before)
        client.close()
        assert client.closed and handle.closed and future.cancelled()
        with pytest.raises(denim.DenimError, match="closed"):
            next(values)
    assert line > 5


def test_what_ends_while_the_handle_is_closed_is_still_received():
    """Whoever receives finds nothing first: the handle says closed, and the answers come after."""

    class ClosingHandle(QuickHandle):
        def recv(self, count, timeout):
            if not looked.is_set():
                looked.set()
                closed.wait(5)
                return []
            return super().recv(count, timeout)

        def info(self):
            raise RuntimeError("closed")

    looked, closed = threading.Event(), threading.Event()
    handle = ClosingHandle()
    receiver = answers.Answers(handle)
    receiver.start()
    assert looked.wait(5)
    closed.set()
    future = denim.Future("app:f", Options().plan(), handle, None)
    handle.submit("app:f", [], 1, future, None)
    receiver.end()
    assert future.result(5) == 1
    receiver.join(5)
    assert not receiver._thread.is_alive()


def test_a_client_can_be_closed_by_several_threads_at_once(fake):
    for _ in range(20):
        client = denim.Client("tcp://host")
        fake.Client.made[-1].wire.manual = True
        future = client.submit("app:add", 1)
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for closing in [pool.submit(client.close) for _ in range(4)]:
                closing.result(5)
        assert client.closed and future.cancelled()


def test_a_forgotten_client_warns_and_is_closed(fake):
    client = denim.Client()
    fake.Client.made[0].wire.tasks = {"app:add": add}
    client.call("app:add", 1)
    with pytest.warns(ResourceWarning, match="unclosed <denim.Client tcp://127.0.0.1"):
        del client
        gc.collect()
    until(lambda: fake.Client.made[0].closed)


def test_a_client_that_was_never_used_goes_silently(fake):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        client = denim.Client()
        del client
        gc.collect()
    assert fake.Client.made[0].closed


def test_a_client_that_is_only_held_by_a_future_is_not_closed(fake):
    client = denim.Client()
    wire = fake.Client.made[0].wire
    wire.manual, wire.tasks = True, {"app:add": add}
    future = client.submit("app:add", 1)
    del client
    gc.collect()
    with pytest.warns(ResourceWarning):
        answer_all(wire)
        assert future.result(5) == 2
        until(lambda: fake.Client.made[0].closed or gc.collect() < 0)


def test_at_exit_all_clients_are_closed(fake):
    clients = [denim.Client(), denim.Client()]
    fake.Client.made[0].wire.manual = True
    future = clients[0].submit("app:add", 1)
    client_module._close_all()
    assert all(client.closed for client in clients)
    assert future.cancelled()


# --- the default client and forks ----------------------------------------------------------------


def test_the_default_client_is_one_and_is_made_anew_after_closing(fake, monkeypatch):
    monkeypatch.setenv("DENIM_MANAGER", "tcp://there")
    first = denim.default_client()
    assert denim.default_client() is first and first.address == "tcp://there"
    first.close()
    assert denim.default_client() is not first


def in_child(check):
    """Run `check` in a forked child; what it says if it fails."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(read)
            said = check() or ""
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(write, said.encode()[:4000])
        os._exit(0)
    os.close(write)
    with open(read) as file:
        said = file.read()
    os.waitpid(pid, 0)
    return said


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_client_in_a_forked_child_is_an_error_and_the_default_one_is_new(manual):
    future = manual.submit("app:add", 1)
    default = denim.default_client()
    default.status()

    def check():
        for use in (
            lambda: manual.call("app:add", 1),
            lambda: manual.submit("app:add", 1),
            lambda: manual.options(deadline=1).call("app:add", 1),
            lambda: manual.map("app:add", [1]),
            manual.status,
            lambda: future.result(1),
            lambda: future.exception(1),
        ):
            with pytest.raises(denim.DenimError, match="fork|parent of this process"):
                use()
        assert "fork" in repr(manual) and manual.closed
        manual.close()
        assert denim.default_client() is not default
        assert not denim.default_client().closed

    assert in_child(check) == ""
    answer_all(manual.wire)
    assert future.result(5) == 2


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_client_that_was_not_used_before_a_fork_is_made_anew_in_the_child(fake):
    client = denim.Client("tcp://there", window=7)
    fast = client.options(priority="high")
    inherited = fake.Client.made[0]

    def check():
        for made in (fake.Client.made[-1], client._link.handle):
            assert made is not inherited and not inherited.closed
        assert (client.address, client.closed) == ("tcp://there", False)
        fake.Client.made[-1].wire.tasks = {"app:add": add}
        assert client.call("app:add", 1) == fast.call("app:add", 1) == 2
        client.close()

    assert in_child(lambda: in_child(check)) == ""  # as in a zygote and its slots
    inherited.wire.tasks = {"app:add": add}
    assert client.call("app:add", 1) == 2
    client.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_default_client_that_was_not_used_before_a_fork_is_the_child_s_too(fake):
    default = denim.default_client()

    def check():
        assert denim.default_client() is default
        assert default._link.handle is fake.Client.made[-1] is not fake.Client.made[0]
        default.close()
        assert denim.default_client() is not default

    assert in_child(lambda: in_child(check)) == ""


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_does_not_touch_the_connection_of_the_parent(fake):
    denim.default_client().status()
    inherited = fake.Client.made[0]

    def check():
        gc.collect()
        assert not inherited.closed
        assert denim.default_client()._link.handle is not inherited

    assert in_child(check) == ""


# --- a manager that goes away --------------------------------------------------------------------


def test_a_manager_that_went_away_is_worth_one_warning(fake, caplog, monkeypatch):
    monkeypatch.setattr(answers, "LOOK_EVERY", 0.01)
    monkeypatch.setattr(answers, "LOST_WARNING", 0.05)
    with caplog.at_level(logging.WARNING, "denim"), denim.Client("tcp://host") as client:
        wire = fake.Client.made[0].wire
        wire.manual, wire.tasks = True, {"app:add": add}
        future = client.submit("app:add", 1)
        wire.state = "lost"
        until(lambda: caplog.records)
        assert "tcp://host does not answer; 1 calls wait" in caplog.records[0].getMessage()
        wire.state = "connected"
        until(lambda: len(caplog.records) == 2)
        assert "answers again" in caplog.records[1].getMessage()
        answer_all(wire)
        assert future.result(5) == 2
    assert len(caplog.records) == 2


# --- what a local cluster does without its programs ----------------------------------------------


def test_programs_are_looked_for_where_denim_bin_says(tmp_path, monkeypatch):
    program = tmp_path / "denimd"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("DENIM_BIN", str(tmp_path))
    assert local.find_program("denimd") == str(program)
    monkeypatch.delenv("DENIM_BIN")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(local, "__file__", str(tmp_path / "x" / "denim" / "local.py"))
    assert local.find_program("denimd") == str(program)
    with pytest.raises(denim.DenimError, match="denim-worker is not there"):
        local.find_program("denim-worker")


def test_c_programs_get_an_environment_without_pythons_sanitizer(monkeypatch):
    monkeypatch.setenv("LD_PRELOAD", "libasan.so")
    monkeypatch.setenv("ASAN_OPTIONS", "detect_leaks=0")
    monkeypatch.delenv("DENIM_TEST_ASAN", raising=False)
    assert local.child_environment()["LD_PRELOAD"] == "libasan.so"
    monkeypatch.setenv("DENIM_TEST_ASAN", "1")
    cleaned = local.child_environment()
    assert "LD_PRELOAD" not in cleaned and "ASAN_OPTIONS" not in cleaned
    assert cleaned["DENIM_PARENT_PID"] == str(os.getpid())
    monkeypatch.setenv("DENIM_TEST_ASAN_C", "detect_leaks=1")
    assert local.child_environment()["ASAN_OPTIONS"] == "detect_leaks=1"


def script(folder, name, text):
    path = folder / name
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(0o755)


def test_a_program_that_ends_at_once_is_told_with_what_it_said(tmp_path, monkeypatch, fake):
    script(tmp_path, "denimd", "import time; time.sleep(60)")
    script(tmp_path, "denim-worker", "import sys; print('no such module: nope'); sys.exit(78)")
    monkeypatch.setenv("DENIM_BIN", str(tmp_path))
    with pytest.raises(denim.DenimError, match=r"(?s)w1 ended \(exit code 78\).*no such module"):
        denim.LocalCluster(app="nope")
    assert not any(cluster for cluster in local._clusters if not cluster._closed)


def test_a_cluster_that_is_never_ready_is_given_up(tmp_path, monkeypatch, fake):
    for name in ("denimd", "denim-worker"):
        script(tmp_path, name, "import time; print('here', flush=True); time.sleep(60)")
    monkeypatch.setenv("DENIM_BIN", str(tmp_path))
    with pytest.raises(denim.DenimError, match="not ready within 0.2 s"):
        denim.LocalCluster(app="myapp", ready_timeout=0.2)
    with pytest.raises(ValueError, match="app=..., or allow_pickle=True"):
        denim.LocalCluster()
    monkeypatch.setenv("DENIM_BIN", str(tmp_path / "nothing"))
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(local, "__file__", str(tmp_path / "x" / "denim" / "local.py"))
    with pytest.raises(denim.DenimError, match="DENIM_BIN"):
        denim.LocalCluster(app="myapp")


def test_apps_are_names_of_modules():
    assert local._module_names("myapp") == ["myapp"]
    assert local._module_names(payload) == ["denim.payload"]
    assert local._module_names(("a.b", payload)) == ["a.b", "denim.payload"]
    with pytest.raises(ValueError, match="__main__"):
        local._module_names("__main__")
    with pytest.raises(TypeError, match="names of modules"):
        local._module_names([5])
    with pytest.raises(ValueError, match="workers"):
        denim.LocalCluster(workers=-1)
