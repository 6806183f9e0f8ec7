# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""Every way in which a call can end, from end to end: as an exception and as an exit code.

Those of unknown tasks, values and crashes are in test_bad_input, NestingTooDeep is in test_nested.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from programs import BIN, DEADLINE_S, Manager, Worker, local_cluster, run, started, until, write
from raw_peer import ROUTER, RawSocket
from wire_probe import NUMBERS, encode

import denim

NOBODY = "tcp://127.0.0.1:1"  # where no manager is
LONG_S = 600  # of a task that is ended before
SHORT_S = 1.0  # of a deadline that passes, for a client that is connected
DENIM_S = "2"  # the same for `denim call`, which connects first


class Running:
    """A long task that has begun; it is killed at the end, if it has not ended before."""

    def __init__(self, client, folder, path="begun"):
        self.path = folder / path
        self.future = client.submit("sysapp:touch_and_nap", str(self.path), LONG_S)

    def __enter__(self):
        until(lambda: self.path.exists() or self.future.done(), "the start of the task")
        assert not self.future.done(), self.future.exception()
        return self.future

    def __exit__(self, *_):
        self.future.kill()
        assert not denim.wait([self.future], DEADLINE_S).not_done


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    """A cluster with one slot and no standby behind it."""
    folder = tmp_path_factory.mktemp("single")
    config = write(folder / "worker.conf", "worker\n    standby_max = 0\n")
    options = {"slots": 1, "worker_args": ["-f", str(config)]}
    with local_cluster(folder, **options) as running:
        yield running


@pytest.fixture
def busy(single, folder):
    """The same while its slot runs a long task."""
    with single.client() as client, Running(client, folder):
        yield single
    with single.client() as client:  # the next test finds it free
        assert client.options(deadline=DEADLINE_S).call("sysapp:add", 2, 3) == 5


# --- nothing ran ---------------------------------------------------------------------------------


def test_no_manager_within_connect_timeout_is_unavailable_and_says_what_to_start():
    with denim.Client(NOBODY, connect_timeout=0.3) as client:
        with pytest.raises(denim.ManagerUnavailable, match="start one with `denimd`") as caught:
            client.call("sysapp:add", 1, 2)
    assert isinstance(caught.value, ConnectionError)
    assert (caught.value.reason, caught.value.task) == ("UNAVAILABLE", "sysapp:add")


def test_no_manager_until_the_deadline_is_unavailable():
    with denim.Client(NOBODY, connect_timeout=None) as client:
        with pytest.raises(denim.ManagerUnavailable, match="denimd"):
            client.options(deadline=0.3).call("sysapp:add", 1, 2)


def test_a_manager_that_went_away_is_waited_for_until_the_deadline(folder):
    with local_cluster(folder / "logs", slots=1) as cluster, cluster.client() as client:
        assert client.options(deadline=DEADLINE_S).call("sysapp:add", 2, 3) == 5
        cluster.kill_manager()
        with pytest.raises(denim.DenimError) as caught:
            client.options(deadline=1).call("sysapp:add", 1, 2)
        assert isinstance(caught.value, (denim.ManagerUnavailable, denim.DeadlineExceeded))
        future = client.options(deadline=DEADLINE_S).submit("sysapp:add", 2, 3)
        cluster.restart_manager()
        assert future.result(DEADLINE_S) == 5


def test_a_full_service_refuses_until_the_deadline(busy):
    with busy.client() as client:
        assert client.status()["busy"] == 1  # it is connected
        begin = time.monotonic()
        with pytest.raises(denim.Rejected, match="no slot is free") as caught:
            client.options(deadline=SHORT_S).call("sysapp:add", 1, 2)
        assert caught.value.reason == "BUSY"
        assert time.monotonic() - begin > SHORT_S - 0.1


def test_a_call_that_would_miss_its_deadline_is_refused_at_once(folder):
    with local_cluster(folder / "logs", slots=1) as cluster, cluster.client() as client:
        for _ in range(8):  # then it is known how long tasks take
            client.call("sysapp:nap", 0.4)
        with Running(client, folder), cluster.client() as other:
            assert other.status()["busy"] == 1  # it is connected
            with pytest.raises(denim.DeadlineExceeded, match="would miss") as caught:
                other.options(deadline=0.35).call("sysapp:add", 1, 2)
            assert not caught.value.started


def test_a_full_window_refuses_after_submit_timeout(busy):
    with busy.client(window=1, submit_timeout=0.2) as client:
        first = client.submit("sysapp:add", 1, 2)
        with pytest.raises(denim.Rejected, match="window") as caught:
            client.submit("sysapp:add", 1, 2)
        assert caught.value.reason == "WINDOW_FULL"
        assert not first.done()


def test_pickle_is_not_allowed_unless_the_worker_says_so(client):
    with pytest.raises(denim.NotAllowed, match="--allow-pickle") as caught:
        client.options(codec="pickle").call("sysapp:add", 1, 2)
    assert isinstance(caught.value, PermissionError)


def test_another_protocol_is_a_mismatch_that_names_both_versions():
    """The manager of another version is a socket of the test, since there is none yet."""
    with RawSocket(ROUTER) as door:
        door.bind("tcp://127.0.0.1:*")

        def refuse():
            peer, header = door.receive_frames()
            assert NUMBERS[header[0]].name == "CLIENT_HELLO"
            door.send(peer, encode("FAULT", reason=12, major=9, minor=3, text="another version"))

        manager = threading.Thread(target=refuse)
        manager.start()
        with denim.Client(door.endpoint()) as client:
            with pytest.raises(denim.ProtocolMismatch, match=r"DENIM/9\.3 .*DENIM/1\.0"):
                client.options(deadline=DEADLINE_S).call("sysapp:add", 1, 2)
        manager.join(DEADLINE_S)


# --- the task raised -----------------------------------------------------------------------------


def test_a_built_in_exception_comes_as_its_own_type_with_the_traceback(client):
    with pytest.raises(KeyError) as caught:
        client.call("sysapp:raise_key")
    assert caught.value.args == ("absent", 7)
    cause = caught.value.__cause__
    assert isinstance(cause, denim.RemoteError)
    assert cause.type_name == "KeyError" and 'sysapp.py", line' in cause.traceback_text
    assert cause.worker == "w1"
    assert cause.__notes__[0].startswith("On worker w1:\nTraceback")


def test_an_exception_of_the_app_is_its_own_type_only_where_it_is_imported(cluster):
    """In a process of its own, since this one may have imported the app."""
    code = (
        "import sys, denim\n"
        "with denim.Client(sys.argv[1]) as client:\n"
        "    for ask in (0, 1):\n"
        "        try:\n"
        "            client.options(deadline=60).call('sysapp:raise_own')\n"
        "        except Exception as error:\n"
        "            print(type(error).__module__, type(error).__name__, error.args)\n"
        "        assert ('sysapp' in sys.modules) == bool(ask)\n"
        "        import sysapp\n"
    )
    folder = os.path.dirname(__file__)
    path = os.pathsep.join([folder, *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", code, cluster.address], env={**os.environ, "PYTHONPATH": path},
        capture_output=True, text=True, timeout=DEADLINE_S,
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        """denim.errors RemoteError ("Own: ('mine', 1)",)""",
        "sysapp Own ('mine', 1)",
    ], done.stderr


def test_retries_call_again_what_raised(client):
    options = client.options(retries=2, retry_on=KeyError, retry_backoff=0.01)
    future = options.submit("sysapp:raise_key")
    with pytest.raises(KeyError):
        future.result(DEADLINE_S)
    assert future.attempts == 3


# --- time ----------------------------------------------------------------------------------------


def test_a_deadline_ends_a_task_that_runs(client, folder):
    path = folder / "begun"
    assert client.call("sysapp:add", 1, 1) == 2
    begin = time.monotonic()
    with pytest.raises(denim.DeadlineExceeded) as caught:
        client.options(deadline=SHORT_S).call("sysapp:touch_and_nap", str(path), LONG_S)
    assert time.monotonic() - begin < LONG_S / 10
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.started and path.exists()
    assert client.call("sysapp:add", 1, 1) == 2


def test_a_hard_limit_ends_a_task_and_its_slot(client):
    with pytest.raises(denim.TimeLimit) as caught:
        client.options(hard_limit=0.3).call("sysapp:spin")
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.worker == "w1"
    assert client.call("sysapp:add", 1, 1) == 2


def test_a_soft_limit_is_raised_in_the_task_which_may_still_answer(client, folder):
    limited = client.options(soft_limit=0.3)
    assert limited.call("sysapp:stop_in_time", str(folder / "begun")) == "stopped in time"
    with pytest.raises(denim.RemoteError) as caught:
        limited.call("sysapp:nap", LONG_S)
    assert caught.value.type_name == "SoftTimeLimit"


# --- lost ----------------------------------------------------------------------------------------


def test_a_killed_slot_is_a_lost_task_and_the_next_one_is_served(single, folder):
    with single.client() as client, Running(client, folder) as future:
        (slot,) = single.slot_pids
        os.kill(slot, signal.SIGKILL)
        error = future.exception(DEADLINE_S)
        assert type(error) is denim.WorkerLost
        assert (error.signal, error.exit_code, error.oom) == (signal.SIGKILL, None, False)
        assert (error.why, error.worker, error.attempts) == ("CRASH", "w1", 1)
        assert error.host == os.uname().nodename
        assert client.options(deadline=DEADLINE_S).call("sysapp:add", 2, 3) == 5


def test_a_killed_slot_is_told_at_once(single, folder):
    took_s = []
    with single.client() as client:
        for i in range(5):
            with Running(client, folder, f"begun{i}") as future:
                begin = time.monotonic()
                os.kill(single.slot_pids[0], signal.SIGKILL)
                error = future.exception(DEADLINE_S)
                took_s.append(time.monotonic() - begin)
                assert error.signal == signal.SIGKILL
    assert min(took_s) < 0.1


@contextlib.contextmanager
def frozen_zygote(slot):
    """The one that a slot was forked from, which so learns of nothing."""
    zygote = int(stat_of(slot)[1])
    os.kill(zygote, signal.SIGSTOP)
    try:
        until(lambda: stat_of(zygote)[0] == "T", "the stop of the zygote")
        yield
    finally:
        os.kill(zygote, signal.SIGCONT)


def stat_of(pid):
    """State, parent, and so on."""
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()


def test_how_a_slot_died_is_told_though_its_zygote_says_so_late(single, folder):
    with single.client() as client, Running(client, folder) as future:
        (slot,) = single.slot_pids
        with frozen_zygote(slot):
            os.kill(slot, signal.SIGKILL)
            assert not denim.wait([future], 0.2).done
        error = future.exception(DEADLINE_S)
        assert (type(error), error.signal) == (denim.WorkerLost, signal.SIGKILL)


def test_a_zygote_that_says_nothing_is_not_waited_for(single, folder):
    with single.client() as client, Running(client, folder) as future:
        (slot,) = single.slot_pids
        with frozen_zygote(slot):
            os.kill(slot, signal.SIGKILL)
            error = future.exception(DEADLINE_S)
        assert (type(error), error.worker) == (denim.WorkerLost, "w1")
        assert (error.signal, error.exit_code) == (None, None)
        assert client.options(deadline=DEADLINE_S).call("sysapp:add", 2, 3) == 5


def test_a_killed_worker_is_a_lost_task_unless_it_may_run_twice(folder):
    config = write(folder / "fast.conf", "manager\n    heartbeat_ms = 200\n")
    options = {"slots": 2, "manager_args": ["-f", str(config)]}
    with local_cluster(folder / "logs", **options) as cluster, cluster.client() as client:
        client = client.options(deadline=DEADLINE_S)
        with Running(client, folder, "once") as once:
            twice = client.options(idempotent=True).submit(
                "sysapp:touch_and_nap", str(folder / "twice"), 0.5
            )
            until((folder / "twice").exists, "the start of the other task")
            cluster.kill_worker()
            error = once.exception(DEADLINE_S)
            assert type(error) is denim.WorkerLost and error.why == "SILENT"
            assert (error.signal, error.exit_code) == (None, None)
            cluster.add_worker()
            assert twice.result(DEADLINE_S) == 0.5


def test_the_next_worker_of_its_host_says_at_once_that_one_was_killed(folder):
    config = write(folder / "slow.conf", "manager\n    heartbeat_ms = 60000\n")
    options = {"slots": 2, "manager_args": ["-f", str(config)]}
    with local_cluster(folder / "logs", **options) as cluster, cluster.client() as client:
        client = client.options(deadline=DEADLINE_S)
        with Running(client, folder) as running:
            cluster.kill_worker()
            cluster.add_worker()
            error = running.exception(DEADLINE_S)
            assert type(error) is denim.WorkerLost and error.why == "RESTARTED"
            assert "another one has followed it" in str(error)


def test_a_task_that_kills_every_slot_is_poison(client, folder):
    with pytest.raises(denim.PoisonTask) as caught:
        client.options(idempotent=True).call("sysapp:die_in", str(folder))
    error = caught.value
    assert isinstance(error, denim.WorkerLost)
    assert (error.attempts, error.signal) == (3, signal.SIGSEGV)
    assert len(list(folder.iterdir())) == 3
    assert client.call("sysapp:add", 1, 1) == 2


# --- cancelled -----------------------------------------------------------------------------------


def test_a_call_that_is_cancelled_before_it_runs_never_runs(busy, folder):
    with busy.client() as client:
        future = client.submit("sysapp:touch_and_nap", str(folder / "never"), 0)
        assert until(future.cancel, "a moment in which it is not on its way")
        with pytest.raises(denim.TaskCancelled):
            future.result(DEADLINE_S)
    assert not (folder / "never").exists()


@pytest.mark.parametrize("how", ["cancel", "kill"])
def test_a_running_task_is_cancelled(single, folder, how):
    before = single.slot_pids
    with single.client() as client, Running(client, folder) as future:
        assert not getattr(future, how)()
        with pytest.raises(denim.TaskCancelled):
            future.result(DEADLINE_S)
        assert future.cancelled()
        assert client.options(deadline=DEADLINE_S).call("sysapp:add", 2, 3) == 5
    assert (single.slot_pids == before) == (how == "cancel")


def test_closing_the_client_cancels_what_is_outstanding(single, folder):
    client = single.client()
    with Running(client, folder) as future:
        client.close()
        with pytest.raises(denim.TaskCancelled):
            future.result(DEADLINE_S)
    with single.client() as client:
        assert client.options(deadline=DEADLINE_S).call("sysapp:add", 2, 3) == 5


# --- `denim call` --------------------------------------------------------------------------------


def denim_call(address, *words):
    return run("denim", "--manager", address, "call", *words)


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (("sysapp:add", "2", "3"), 5),
        (("sysapp:add", "a", "b"), "ab"),
        (("-k", "y=2", "-k", "x=1", "sysapp:add"), 3),
        (("--deadline", "60", "sysapp:add", "[1,\n2]", '["a\\nb"]'), [1, 2, "a\nb"]),
        (("--idempotent", "sysapp:add", str(2**70), "1"), 2**70 + 1),
        (("--service", "sysapp", "sysapp:nap", "0.001"), 0.001),
    ],
)
def test_denim_call_prints_the_value_as_one_line_of_json(cluster, words, value):
    done = denim_call(cluster.address, *words)
    assert (done.returncode, done.stderr) == (0, ""), done
    assert done.stdout.count("\n") == 1 and json.loads(done.stdout) == value


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("sysapp:raise_key",), 1, "KeyError: ('absent', 7)"),
        (("sysapp:system_exit",), 1, "SystemExit: 3"),
        (("sysapp:add", "1"), 1, "missing 1 required positional argument"),
        ((), 64, "which TASK?"),
        (("add", "2", "3"), 64, "MODULE:FUNCTION"),
        (("-k", "x", "sysapp:add"), 64, "NAME=ARG"),
        (("--deadline", "soon", "sysapp:add"), 64, "a number of seconds"),
        (("--deadline", "0", "sysapp:add"), 64, "a number of seconds"),
        (("sysapp:adds", "2", "3"), 69, "did you mean sysapp:add?"),
        (("sysapp:leave", "7"), 70, "exited with code 7"),
        (("sysapp:crash",), 70, "SIGSEGV"),
        (("--deadline", DENIM_S, "sysapp:nap", "600"), 70, "deadline passed"),
        (("sysapp:give_object",), 70, "cannot carry"),
    ],
)
def test_denim_call_tells_by_its_exit_code_and_on_stderr(cluster, words, code, said):
    done = denim_call(cluster.address, *words)
    assert (done.returncode, done.stdout) == (code, ""), done
    assert said in done.stderr


def test_denim_call_without_a_manager_is_69():
    done = denim_call(NOBODY, "--deadline", "0.3", "sysapp:add")
    assert (done.returncode, done.stdout) == (69, "")
    assert "denimd" in done.stderr and done.stderr.count("\n") == 1


def test_denim_call_that_is_refused_until_the_deadline_is_75(busy):
    done = denim_call(busy.address, "--deadline", DENIM_S, "sysapp:add", "2", "3")
    assert (done.returncode, done.stdout) == (75, "")
    assert "no slot is free" in done.stderr and done.stderr.count("\n") == 1


def test_denim_call_that_is_interrupted_cancels_the_task_and_ends_by_the_signal(single, folder):
    path = folder / "begun"
    words = ["sysapp:touch_and_nap", json.dumps(str(path)), str(LONG_S)]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may ignore it
    with started(BIN / "denim", "--manager", single.address, "call", *words) as call:
        signal.signal(signal.SIGINT, before)
        until(path.exists, "the start of the task")
        call.send_signal(signal.SIGINT)
        assert call.wait(DEADLINE_S) == -signal.SIGINT
    with single.client() as client:
        assert client.options(deadline=DEADLINE_S).call("sysapp:add", 2, 3) == 5
