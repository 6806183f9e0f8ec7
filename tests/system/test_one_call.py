"""Real processes on this machine: a manager, workers, slots and a client together."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import denim

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(os.environ["DENIM_BIN"])
DEADLINE_S = 60

TASKS = """
import os, signal, sys, time

def add(x, y):
    return x + y

def crash():
    os.kill(os.getpid(), signal.SIGSEGV)

def leave(code):
    os._exit(code)

def system_exit():
    sys.exit(3)

def deep(n=0):
    return deep(n + 1)

def raise_key():
    raise KeyError("absent", 7)

def speak():
    print("hello from the task")
    return "said"

def nap(seconds):
    time.sleep(seconds)
    return seconds
"""


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    folder = tmp_path_factory.mktemp("app")
    (folder / "sysapp.py").write_text(TASKS)
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def cluster(app):
    with denim.LocalCluster(slots=2, app=["sysapp"], ready_timeout=DEADLINE_S) as running:
        yield running


@pytest.fixture
def client(cluster):
    with cluster.client() as client:
        yield client.options(deadline=DEADLINE_S)


def c_environment():
    return {k: v for k, v in os.environ.items() if k not in ("LD_PRELOAD", "ASAN_OPTIONS")}


def run_denimd(*options):
    return subprocess.run([BIN / "denimd", *options], env=c_environment(), text=True,
                          capture_output=True, timeout=DEADLINE_S)


def test_call_over_ipc_returns_the_value(client):
    assert client.call("sysapp:add", 2, 3) == 5


def test_map_keeps_order_and_all_values(client):
    assert list(client.map("sysapp:add", range(500), range(500))) == [2 * i for i in range(500)]


def test_submit_gives_a_future(client):
    futures = [client.submit("sysapp:add", i, i) for i in range(50)]
    assert [future.result(DEADLINE_S) for future in futures] == [2 * i for i in range(50)]


def test_values_keep_their_types(client):
    for left, right in [((1,), (2,)), (b"a" * 70000, b"b"), (2**70, 1), ({1}, None)]:
        if right is None:
            with pytest.raises(TypeError):
                client.call("sysapp:add", left, right)
        else:
            value = client.call("sysapp:add", left, right)
            assert value == left + right
            assert type(value) is type(left)


def test_exception_comes_as_its_own_type_with_the_remote_traceback(client):
    with pytest.raises(KeyError) as caught:
        client.call("sysapp:raise_key")
    assert caught.value.args == ("absent", 7)
    assert "raise_key" in caught.value.__cause__.traceback_text


def test_unknown_function_names_the_nearest(client):
    with pytest.raises(denim.UnknownTask, match="add"):
        client.call("sysapp:adds", 1, 2)


def test_unencodable_argument_names_its_path(client):
    with pytest.raises(denim.CodecError, match=r"\[1\]"):
        client.call("sysapp:add", 1, object())


def test_segfault_is_told_with_its_signal_and_the_worker_lives(client):
    with pytest.raises(denim.WorkerLost) as caught:
        client.call("sysapp:crash")
    assert caught.value.signal == signal.SIGSEGV
    assert client.call("sysapp:add", 1, 1) == 2


def test_os_exit_is_told_with_its_code_and_the_worker_lives(client):
    with pytest.raises(denim.WorkerLost) as caught:
        client.call("sysapp:leave", 7)
    assert caught.value.exit_code == 7
    assert client.call("sysapp:add", 1, 1) == 2


def test_sys_exit_in_a_task_is_an_exception_and_the_slot_goes_on(client):
    with pytest.raises(denim.RemoteError) as caught:
        client.call("sysapp:system_exit")
    assert caught.value.type_name == "SystemExit"


def test_endless_recursion_is_an_exception(client):
    with pytest.raises(RecursionError):
        client.call("sysapp:deep")


def test_print_in_a_task_harms_nothing(client):
    assert client.call("sysapp:speak") == "said"


def test_deadline_ends_a_task_that_runs(client):
    start = time.monotonic()
    with pytest.raises(denim.DeadlineExceeded):
        client.options(deadline=0.5).call("sysapp:nap", 30)
    assert time.monotonic() - start < 10
    assert client.call("sysapp:add", 1, 1) == 2


def test_call_over_tcp(app):
    manager = subprocess.Popen([BIN / "denimd", "--listen", "tcp://127.0.0.1:0"], text=True,
                               env=c_environment(), stderr=subprocess.PIPE)
    worker = None
    try:
        address = re.search(r"event=ready address=(\S+)", manager.stderr.readline())[1]
        worker = subprocess.Popen(
            [BIN / "denim-worker", "--manager", address, "--slots", "1", "--python",
             sys.executable, "sysapp"], cwd=app, env=c_environment(), stderr=subprocess.DEVNULL)
        with denim.Client(address) as client:
            assert client.options(deadline=DEADLINE_S).call("sysapp:add", 2, 3) == 5
    finally:
        for program in filter(None, (worker, manager)):
            program.terminate()
            assert program.wait(DEADLINE_S) == 0
        manager.stderr.close()


def run_denim(*options):
    return subprocess.run([BIN / "denim", *options], env=c_environment(), text=True,
                          capture_output=True, timeout=DEADLINE_S)


@pytest.mark.parametrize(
    ("words", "code", "out", "err"),
    [
        (("sysapp:add", "2", "3"), 0, "5\n", ""),
        (("sysapp:add", "a", "b"), 0, '"ab"\n', ""),
        (("-k", "y=2", "-k", "x=1", "sysapp:add"), 0, "3\n", ""),
        (("sysapp:raise_key",), 1, "", "KeyError"),
        (("sysapp:crash",), 70, "", "LOST"),
    ],
)
def test_denim_call_prints_the_value_and_tells_by_its_exit_code(cluster, words, code, out, err):
    done = run_denim("--manager", cluster.address, "call", *words)
    assert (done.returncode, done.stdout) == (code, out), done.stderr
    assert err in done.stderr


def test_denim_call_without_a_manager_is_69():
    assert run_denim("--manager", "tcp://127.0.0.1:1", "call", "--deadline", "0.3",
                     "a:b").returncode == 69


def test_denim_knows_its_words():
    assert run_denim("--foo").returncode == 64
    assert run_denim("version").stdout == run_denim("--version").stdout
    assert run_denim("protocol").stdout == (ROOT / "tests/golden/protocol.txt").read_text()


def test_no_manager_is_said_with_what_to_start():
    with denim.Client("tcp://127.0.0.1:1", connect_timeout=0.3) as client:
        with pytest.raises(denim.ManagerUnavailable, match="denimd"):
            client.call("sysapp:add", 1, 2)


def test_public_address_is_refused_unless_insecure():
    done = run_denimd("--listen", "tcp://*")
    assert done.returncode == 78
    assert "--insecure" in done.stderr


def test_port_in_use_is_told_with_address_and_reason():
    with subprocess.Popen([BIN / "denimd", "--listen", "tcp://127.0.0.1:0"], text=True,
                          env=c_environment(), stderr=subprocess.PIPE) as first:
        address = re.search(r"event=ready address=(\S+)", first.stderr.readline())[1]
        done = run_denimd("--listen", address)
        first.terminate()
        assert first.wait(DEADLINE_S) == 0
    assert done.returncode == 71
    assert address in done.stderr and "in use" in done.stderr


def test_unknown_option_is_one_line_and_64():
    done = run_denimd("--foo")
    assert done.returncode == 64
    assert len(done.stderr.splitlines()) == 1


def test_the_main_job_on_a_tenth_of_the_corpus():
    done = subprocess.run([sys.executable, ROOT / "docs/examples/demo.py", "--part", "10"],
                          text=True, capture_output=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "equal" in done.stdout
