# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""Tasks that are clients themselves: what their calls say, and when their places are lent."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest
from fake_denim import fake, until  # noqa: F401  a fixture
from wire_probe import PATIENCE, Slot

import denim
from denim import nesting, payload
from denim.options import Options

PARENT = bytes(range(24))
LOW = 2
OUTSIDE = (None, None, None, None, 1, False)
INSIDE = (None, None, None, None, LOW, False, 4, PARENT)


class Channel:
    """A slot's channel as far as nesting needs it."""

    def __init__(self):
        self.in_hand = (PARENT, 3, LOW)
        self.waits = 0
        self.log = []  # "lend" and "back", as the supervisor would be told

    def task(self):
        return self.in_hand

    def wait(self, function, /, *args, **kwargs):
        self._count(1)
        try:
            return function(*args, **kwargs)
        finally:
            self._count(-1)

    def _count(self, step):
        before, self.waits = self.waits, self.waits + step
        if not before or not self.waits:
            self.log.append("back" if before else "lend")


@pytest.fixture
def client(fake):
    with denim.Client("tcp://host", window=10) as made:
        made.wire = fake.Client.made[0].wire
        made.wire.tasks = {"app:add": lambda x, y=1: x + y, "app:fail": fail}
        yield made


@pytest.fixture
def channel(client, monkeypatch):
    """As if a task were in hand here."""
    made = Channel()
    monkeypatch.setattr(nesting, "channel", made)
    return made


@pytest.fixture
def manual(client, channel):
    """A client, in a task, whose calls wait for the test to answer."""
    client.wire.manual = True
    return client


def fail(*_):
    raise ValueError("no")


def told(client):
    return [call.options for call in client.wire.submitted]


def answer(client, number=0):
    """Answer the call with that place among those that have not ended."""
    client.wire.run(list(client.wire.open.values())[number])


def beside(function, *args):
    """Run it in a thread; the thread and the list that its value comes into."""
    got = []
    thread = threading.Thread(target=lambda: got.append(function(*args)))
    thread.start()
    return thread, got


# --- what a nested call says ---------------------------------------------------------------------


def test_outside_of_a_task_a_call_says_nothing_of_one(client):
    client.call("app:add", 1)
    client.submit("app:add", 1).result(5)
    list(client.map("app:add", [1]))
    assert told(client) == [OUTSIDE] * 3


def test_each_verb_names_the_task_one_level_deeper_and_with_its_priority(client, channel):
    client.call("app:add", 1)
    client.submit("app:add", 1).result(5)
    list(client.map("app:add", [1, 2, 3, 4], chunksize=2))
    assert told(client) == [INSIDE] * 4


def test_a_priority_that_was_said_is_kept(client, channel):
    client.options(priority="normal").call("app:add", 1)
    client.options(priority="high").call("app:add", 1)
    assert [options[4] for options in told(client)] == [1, 0]

    @denim.task(priority="high")
    def declared():
        pass

    declared.__qualname__ = "declared"
    client.wire.manual = True
    client.submit(declared)
    client.options(deadline=5).submit(declared)
    assert [options[4] for options in told(client)[2:]] == [0, 0]


def test_plans_are_worked_out_once_and_each_task_has_its_own_parent(client, channel):
    for parent, depth in ((PARENT, 0), (PARENT[::-1], 7)):
        channel.in_hand = (parent, depth, 0)
        client.call("app:add", 1)
        assert told(client)[-1][4:] == (0, False, depth + 1, parent)
    channel.in_hand = None
    client.call("app:add", 1)
    assert told(client)[-1] == OUTSIDE


def test_every_thread_of_the_task_calls_for_it(client, channel):
    thread, got = beside(client.call, "app:add", 1)
    thread.join(PATIENCE)
    assert (got, told(client)) == ([2], [INSIDE])


@pytest.mark.parametrize("verb", ["call", "submit", "map"])
def test_a_further_attempt_says_the_same(client, channel, verb):
    view = client.options(retries=1, retry_backoff=0, deadline=60)
    with pytest.raises(ValueError, match="no"):
        if verb == "call":
            view.call("app:fail", 1)
        elif verb == "submit":
            view.submit("app:fail", 1).result(5)
        else:
            list(view.map("app:fail", [1]))
    assert [options[4:] for options in told(client)] == [INSIDE[4:]] * 2
    assert all(0 < options[1] <= 60 for options in told(client))


def test_the_depth_stays_what_the_wire_can_tell(channel):
    channel.in_hand = (PARENT, 255, 1)
    assert nesting.plan(Options().plan()).tail[6] == 255


def test_a_call_too_deep_is_a_recursion_error_and_nothing_ran(client, channel):
    channel.in_hand = (PARENT, 8, 1)
    for ask in (client.call, lambda task, *args: client.submit(task, *args).result(5)):
        with pytest.raises(RecursionError) as caught:
            ask("app:add", 1)
        assert type(caught.value) is denim.NestingTooDeep
        assert "bound" in str(caught.value)


def test_the_extension_takes_depth_and_parent_and_no_nonsense():
    extension = pytest.importorskip("denim._denim")
    client = extension.Client("ipc://@denim-nobody-there")
    for depth, parent, error in (
        (-1, None, ValueError),
        (256, None, ValueError),
        ("1", None, TypeError),
        (1, "x" * 24, TypeError),
        (1, b"x" * 23, ValueError),
    ):
        with pytest.raises(error, match=r"depth|parent|int"):
            client.call("m:f", [b"[[]]"], 1, *OUTSIDE, depth, parent)
    number = client.submit("m:f", [b"[[]]"], 1, "token", 0, *OUTSIDE, 9, PARENT)
    (reply,) = client.recv(1, PATIENCE)  # nobody is asked
    assert (reply.id, reply.token, reply.started) == (number, "token", False)
    assert reply.outcome == extension.OUTCOMES["NESTING_TOO_DEEP"]
    assert '"m:f" would be nested 9 levels deep' in reply.text
    client.close()


# --- when its place is lent ----------------------------------------------------------------------


def test_a_call_is_a_wait_also_when_it_raises(client, channel):
    client.call("app:add", 1)
    assert channel.log == ["lend", "back"]
    with pytest.raises(ValueError, match="no"):
        client.call("app:fail", 1)
    assert channel.log == ["lend", "back"] * 2


def test_between_two_attempts_the_task_does_not_wait(client, channel, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda _: channel.log.append("sleep"))
    with pytest.raises(ValueError, match="no"):
        client.options(retries=1).call("app:fail", 1)
    assert channel.log == ["lend", "back", "sleep", "lend", "back"]


@pytest.mark.parametrize("get", ["result", "exception"])
def test_a_future_is_a_wait_only_while_it_is_not_done(manual, channel, get):
    future = manual.submit("app:add", 1)
    thread, got = beside(getattr(future, get))
    until(lambda: channel.log == ["lend"])
    answer(manual)
    thread.join(PATIENCE)
    assert (got, channel.log) == ([2 if get == "result" else None], ["lend", "back"])
    getattr(future, get)()
    assert channel.log == ["lend", "back"]


def test_a_future_that_is_only_looked_at_is_no_wait(manual, channel):
    future = manual.submit("app:add", 1)
    with pytest.raises(TimeoutError):
        future.result(0)
    assert denim.wait([future], 0).not_done == {future}
    assert channel.log == []
    with pytest.raises(TimeoutError):
        future.result(0.001)
    assert channel.log == ["lend", "back"]


def test_submitting_is_a_wait_only_while_the_window_is_full(manual, channel):
    futures = [manual.submit("app:add", i) for i in range(10)]
    assert channel.log == []
    thread, got = beside(manual.submit, "app:add", 10)
    until(lambda: channel.log == ["lend"])
    answer(manual)
    thread.join(PATIENCE)
    assert channel.log == ["lend", "back"]
    assert futures[0].result(5) == 1
    assert told(manual)[-1] == INSIDE


def test_a_full_window_that_is_not_waited_for_is_no_wait(fake, monkeypatch):
    with denim.Client(window=1, submit_timeout=0) as client:
        fake.Client.made[0].wire.manual = True
        monkeypatch.setattr(nesting, "channel", made := Channel())
        client.submit("app:add", 1)
        with pytest.raises(denim.Rejected):
            client.submit("app:add", 2)
        assert made.log == []


@pytest.mark.parametrize("ordered", [True, False])
def test_a_map_is_a_wait_only_when_nothing_has_come(manual, channel, ordered):
    values = manual.map("app:add", range(3), ordered=ordered)
    assert channel.log == []
    thread, got = beside(next, values)
    until(lambda: channel.log == ["lend"])
    answer(manual)
    thread.join(PATIENCE)
    answer(manual)
    answer(manual)
    assert got + list(values) == [1, 2, 3]
    assert channel.log == ["lend", "back"]


def test_gather_is_one_wait(manual, channel):
    futures = [manual.submit("app:add", i) for i in range(3)]
    thread, got = beside(manual.gather, *futures)
    for _ in range(3):
        until(lambda: channel.log == ["lend"])
        answer(manual)
    thread.join(PATIENCE)
    assert (got, channel.log) == ([[1, 2, 3]], ["lend", "back"])


@pytest.mark.parametrize("when", [denim.FIRST_COMPLETED, denim.ALL_COMPLETED])
def test_wait_is_a_wait_and_leaves_no_waiter(manual, channel, when):
    futures = [manual.submit("app:add", i) for i in range(2)]
    thread, got = beside(denim.wait, futures, PATIENCE, when)
    until(lambda: channel.log == ["lend"])
    answer(manual)
    if when == denim.ALL_COMPLETED:
        answer(manual)
    thread.join(PATIENCE)
    assert channel.log == ["lend", "back"]
    assert futures[0] in got[0].done
    assert not any(future._waiters for future in futures)
    denim.wait(futures, 0.001, denim.FIRST_COMPLETED)  # one is done
    assert channel.log == ["lend", "back"]


def test_what_is_done_between_two_completed_futures_is_no_wait(manual, channel):
    futures = [manual.submit("app:add", i) for i in range(3)]
    completed = denim.as_completed(futures)
    answer(manual)
    until(futures[0].done)
    assert next(completed) is futures[0]
    assert channel.log == []
    thread, got = beside(next, completed)
    until(lambda: channel.log == ["lend"])
    answer(manual)
    thread.join(PATIENCE)
    assert (got, channel.log) == ([futures[1]], ["lend", "back"])
    completed.close()  # leave it early
    assert (channel.waits, channel.log) == (0, ["lend", "back"])
    assert not any(future._waiters for future in futures)


def test_the_task_waits_while_any_of_its_threads_does(manual, channel):
    futures = [manual.submit("app:add", i) for i in range(2)]
    threads = [beside(future.result)[0] for future in futures]
    until(lambda: channel.waits == 2)
    assert channel.log == ["lend"]
    answer(manual)
    threads[0].join(PATIENCE)
    assert (channel.waits, channel.log) == (1, ["lend"])
    answer(manual)
    threads[1].join(PATIENCE)
    assert channel.log == ["lend", "back"]


def test_the_thread_that_ends_futures_does_not_wait(manual, channel):
    future = manual.submit("app:add", 1)
    answer(manual)
    until(future.done)
    assert channel.log == []


# --- everywhere else -----------------------------------------------------------------------------


def test_a_process_that_is_no_slot_pays_nothing(fake):
    code = (
        "import sys, denim\nfrom denim import nesting\n"
        "assert nesting.channel is None\n"
        "assert not {'denim._denim', 'denim._channel', 'denim._slot'} & set(sys.modules)\n"
        "assert type(denim.Future()._waiters) is list"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    plan = Options().plan()
    assert nesting.plan(plan) is plan
    assert nesting.wait(max, [3, 1], key=lambda x: -x) == 1
    assert nesting.wait_if_needed(lambda *args: args, (1,), None, 2) == (1, 0.0, 2)


# --- in a slot -----------------------------------------------------------------------------------

APP = """
import threading
import denim
from denim import nesting

client = None

def run(code):
    names = dict(globals())
    exec(code, names)
    return names.get("value")

def later(path):
    with open(path) as fifo:
        return fifo.read()

def made():
    "A client that waits for a manager that is not there."
    global client
    client = client or denim.Client("ipc://@denim-nobody-there", connect_timeout=None)
    return client

def lost():
    return made().call("x:f")

def lost_future():
    return made().submit("x:f").result()

def lost_wait():
    return denim.wait([made().submit("x:f")])

def lost_completed():
    return list(denim.as_completed([made().submit("x:f")]))

def lost_map():
    return list(made().map("x:f", [1]))

async def lost_in_a_loop():
    return lost()

def caught():
    try:
        lost()
    except BaseException as error:
        return type(error).__name__

def in_flight():
    return client._link.handle.info()["in_flight"]
"""


@pytest.fixture
def slot(tmp_path):
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "nest.py").write_text(APP)
    with Slot("nest", folder) as made:
        yield made


def run(slot, code, **submit):
    result = slot.ask("nest:run", [[code]], **submit)
    assert result.outcome == 0, result
    return payload.decode(result.frames)


def fifo(folder, name="fifo"):
    path = folder / name
    os.mkfifo(path)
    return path


def expect(slot, *names, number=None):
    """The next messages, of these names, all of the task with that number."""
    for name in names:
        message = slot.link.expect(name)
        assert message.seq == 1000 + (slot.sent if number is None else number)
    return message


def test_a_slot_knows_the_task_in_hand(slot):
    code = "parent, *rest = nesting.channel.task()\nvalue = [parent.hex(), *rest]"
    parent = (slot.session + (1001).to_bytes(8, "big")).hex()
    assert run(slot, code, depth=3, priority=2) == [parent, 3, 2]


def test_a_wait_is_told_and_its_end_too_also_when_it_raises(slot):
    slot.run("nest:run", [["value = nesting.wait(max, [2, 3], key=lambda x: -x)"]])
    expect(slot, "LEND", "BACK")
    assert slot.result().value == 2
    slot.run("nest:run", [["nesting.wait(int, 'x')"]])
    expect(slot, "LEND", "BACK", "RESULT")


def test_only_the_first_and_the_last_of_many_waits_are_told(slot):
    code = (
        "gate = threading.Barrier(9)\n"
        "def one():\n"
        "    nesting.wait(gate.wait)\n"
        "threads = [threading.Thread(target=one) for _ in range(8)]\n"
        "def all():\n"
        "    [thread.start() for thread in threads]\n"
        "    gate.wait()\n"
        "    [thread.join() for thread in threads]\n"
        "nesting.wait(nesting.wait, all)"
    )
    slot.run("nest:run", [[code]])
    expect(slot, "LEND", "BACK", "RESULT")


def test_threads_that_wait_at_any_moment_tell_the_truth_in_the_end(slot):
    code = (
        "def work():\n"
        "    for _ in range(500):\n"
        "        nesting.wait(int)\n"
        "threads = [threading.Thread(target=work) for _ in range(4)]\n"
        "[thread.start() for thread in threads]\n"
        "[thread.join() for thread in threads]"
    )
    slot.run("nest:run", [[code]])
    expected = ("LEND", "BACK")
    for number in range(5000):
        message = slot.link.receive()
        if message.name == "RESULT":
            break
        assert message.name == expected[number % 2]
    assert message.outcome == 0
    assert number % 2 == 0 and number > 0


def test_what_a_task_has_left_waiting_ends_with_it(slot, tmp_path):
    path = fifo(tmp_path)
    code = (
        "waiting = threading.Event()\n"
        "def work():\n"
        "    waiting.set()\n"
        f"    later({str(path)!r})\n"
        "import nest\n"
        "nest.left = threading.Thread(target=nesting.wait, args=(work,))\n"
        "nest.left.start()\n"
        "waiting.wait()"
    )
    slot.run("nest:run", [[code]])
    expect(slot, "LEND", "RESULT")

    second = fifo(tmp_path, "second")
    code = (
        "import nest\n"
        "def work():\n"
        "    nest.left.join()\n"
        "    print('joined')\n"
        f"    later({str(second)!r})\n"
        "nesting.wait(work)"
    )
    slot.run("nest:run", [[code]])
    expect(slot, "LEND")  # its own count begins at none
    path.write_text("the thread of the first task ends")
    slot.output(until="joined")
    assert slot.link.is_quiet()
    second.write_text("on")
    expect(slot, "BACK", "RESULT")


def test_a_thread_without_a_task_makes_ordinary_calls(slot, tmp_path):
    path, out = fifo(tmp_path), fifo(tmp_path, "out")
    code = (
        "def work():\n"
        f"    later({str(path)!r})\n"
        "    found = [nesting.channel.task(), nesting.wait(int)]\n"
        f"    open({str(out)!r}, 'w').write(repr(found))\n"
        "threading.Thread(target=work).start()"
    )
    run(slot, code)
    path.write_text("")
    assert out.read_text() == "[None, 0]"
    assert slot.link.is_quiet()


def test_in_a_child_of_a_fork_there_is_no_task(slot):
    code = (
        "import os\n"
        "def work():\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        task, found = nesting.channel.task(), nesting.wait(lambda: 5)\n"
        "        os._exit(7 if (task, found) == (None, 5) else 1)\n"
        "    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])\n"
        "value = work(), nesting.wait(work)"
    )
    slot.run("nest:run", [[code]])
    expect(slot, "LEND", "BACK")
    assert payload.decode(slot.result().frames) == (7, 7)


@pytest.mark.parametrize("task", ["nest:lost", "nest:lost_in_a_loop"])
@pytest.mark.parametrize("cancel", [False, True])
def test_a_task_that_waits_is_interrupted_and_its_call_is_forgotten(slot, task, cancel):
    for _ in range(3):
        slot.run(task)
        expect(slot, "LEND")
        slot.interrupt(slot.sent, cancel)
        expect(slot, "BACK")
        assert slot.result().outcome == (9 if cancel else 1)
        assert slot.ask("nest:in_flight").value == 0


@pytest.mark.parametrize("task", ["lost_future", "lost_wait", "lost_completed", "lost_map"])
def test_every_wait_ends_when_it_is_interrupted(slot, task):
    for _ in range(3):
        slot.run(f"nest:{task}")
        expect(slot, "LEND")
        slot.interrupt(slot.sent)
        expect(slot, "BACK")
        assert payload.decode_exception(slot.result().frames).type_name == "SoftTimeLimit"


def test_a_task_that_catches_its_soft_limit_has_its_place_back(slot):
    slot.run("nest:caught")
    expect(slot, "LEND")
    slot.interrupt(slot.sent)
    expect(slot, "BACK")
    assert slot.result().value == "SoftTimeLimit"


def test_waits_that_are_interrupted_at_any_moment_are_pairs(slot):
    code = "while True:\n    nesting.wait(len, 'abc')"
    for _ in range(50):
        slot.run("nest:run", [[code]])
        expect(slot, "LEND")
        slot.interrupt(slot.sent)
        expected = "BACK"
        while (message := slot.link.receive()).name != "RESULT":
            assert message.name == expected
            expected = "LEND" if expected == "BACK" else "BACK"
        assert expected == "LEND", "the last that was told is BACK"
        assert payload.decode_exception(message.frames).type_name == "SoftTimeLimit"
    slot.run("nest:run", [["nesting.wait(int)"]])
    expect(slot, "LEND", "BACK", "RESULT")


def test_a_slot_ends_though_a_thread_that_a_task_left_waits_in_a_call(slot):
    code = (
        "import nest\n"
        "nest.made()\n"
        "threading.Thread(target=nest.lost).start()\n"
        "while not nest.in_flight():\n"
        "    pass"
    )
    slot.run("nest:run", [[code]])
    expect(slot, "LEND", "RESULT")
    slot.link.say("STOP")
    assert slot.wait() == 0
    assert "TaskCancelled" in slot.output()


def test_nothing_of_a_client_is_loaded_into_a_slot_that_does_not_call(slot):
    assert run(slot, "import sys\nvalue = 'denim._denim' in sys.modules") is False
