# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""What is wrong is refused where it is, in words that help, and all else goes on."""

import re
import signal
import socket
import time

import pytest
from programs import (
    DEADLINE_S, Manager, Worker, c_environment, local_cluster, run, until, write,
)  # fmt: skip
from raw_peer import RawDealer
from wire_probe import encode

import denim

UNKNOWN_GRACE_S = 5
NOBODY = "tcp://127.0.0.1:1"  # where no manager is
MALFORMED, VERSION = 13, 12


@pytest.fixture(scope="module")
def manager(tmp_path_factory):
    """A manager over TCP, with one worker."""
    folder = tmp_path_factory.mktemp("manager")
    with Manager(folder) as manager, Worker(manager, folder, "sysapp") as worker:
        worker.await_ready()
        yield manager


def assert_still_works(manager):
    with denim.Client(manager.address) as client:
        assert client.options(deadline=DEADLINE_S).call("sysapp:add", 2, 3) == 5


def assert_refused(done, code, *words):
    """It ended with that exit code and one line that has all the words."""
    assert (done.returncode, done.stdout) == (code, ""), done
    assert done.stderr.count("\n") == 1, done.stderr
    for word in words:
        assert word in done.stderr


# --- command lines and files ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "address", ["tcp://*", "tcp://0.0.0.0:0", "tcp://[::]:0", "tcp://192.0.2.1"]
)
def test_an_address_for_other_hosts_is_refused_without_insecure(address):
    sentence = "can be reached from other hosts, and anyone there could run tasks: say --insecure"
    assert_refused(run("denimd", "--listen", address), 78, f"denimd: {address} {sentence}")


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("denimd", "unknown option --foo; try denimd --help"),
        ("denim-worker", "unknown option --foo; try denim-worker --help"),
        ("denim", "--foo is no option, or lacks its value: see `denim --help`"),
        ("denim-slot", "started by denim-worker"),
    ],
)
def test_an_unknown_option_is_one_line_and_64(program, words):
    assert_refused(run(program, "--foo"), 64, f"{program}: ", words)


@pytest.mark.parametrize(
    "words", [("call", "--foo"), ("status", "--foo"), ("ping", "-x"), ("foo",)]
)
def test_an_unknown_word_for_denim_is_one_line_and_64(words):
    assert_refused(run("denim", *words), 64, words[-1], "--help")


@pytest.mark.parametrize(
    ("program", "text", "words"),
    [
        ("denimd", "manager\n    heartbeat = 3\n", ":2: unknown key manager/heartbeat; "),
        ("denimd", "managers\n    liveness = 3\n", ":1: unknown section managers; "),
        (
            "denimd",
            "manager\n    liveness = 3\n    liveness = 4\n",
            ":3: manager/liveness is given twice, first in line 2",
        ),
        (
            "denimd",
            "# a comment\nmanager\n    liveness = many\n",
            ':3: manager/liveness: "many" is not allowed; write a whole number from 2 to 100',
        ),
        ("denimd", "limits\n    tasks_max = 1\n", ":2: limits/tasks_max: "),
        ("denimd", "manager\n\tliveness = 3\n", ":2: indented by a tab"),
        ("denimd", "manager\n  liveness = 3\n", "indented by four spaces, no tabs"),
        ("denimd", "manager\n    liveness\n", ":2: `=` is missing"),
        ("denim-worker", "slot\n    hard_limit = 3\n", ":2: unknown key slot/hard_limit; "),
        ("denim-worker", "slot\n    preload = perhaps\n", ":2: slot/preload: "),
        ("denim-worker", "worker\n\tslots = 3\n", "indented by four spaces, no tabs"),
    ],
)
def test_a_bad_file_is_told_with_line_and_key_and_78(folder, program, text, words):
    path = write(folder / "bad.conf", text)
    operands = ["sysapp"] if program == "denim-worker" else []
    assert_refused(run(program, "-f", path, *operands), 78, f"{program}: {path}", words)


def test_a_file_that_is_not_there_is_told_and_78(folder):
    assert_refused(run("denimd", "-f", folder / "none.conf"), 78, "none.conf", "No such file")


def test_a_port_in_use_is_told_with_address_and_reason(manager):
    done = run("denimd", "--listen", manager.address)
    assert_refused(done, 71, f"cannot bind {manager.address}: Address already in use")


def test_an_ipc_path_in_use_is_told_with_address_and_reason(cluster):
    done = run("denimd", "--listen", cluster.address)
    assert_refused(done, 71, f"cannot bind {cluster.address}: ", "in use by another denimd")
    with cluster.client() as client:
        assert client.options(deadline=DEADLINE_S).call("sysapp:add", 2, 3) == 5


@pytest.mark.parametrize("program", ["denim-worker", "denim"])
@pytest.mark.parametrize("address", ["localhost", "tcp://", "tcp://h:0", "ipc://", "udp://h"])
def test_an_address_that_is_none_is_told(program, address):
    rest = ["sysapp"] if program == "denim-worker" else ["ping"]
    done = run(program, "--manager", address, *rest)
    code = 78 if program == "denim-worker" else 64
    assert_refused(done, code, f'"{address}" is not an address', "tcp://HOST[:PORT]")
    with pytest.raises(ValueError, match="is not an address"):
        denim.Client(address)


# --- apps that cannot be imported ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "line", "trace"),
    [
        ("import not_there\n", "No module named 'not_there'", 'bad.py", line 1, in <module>'),
        ("def f(:\n", "SyntaxError", 'bad.py", line 1\n    def f(:'),
        ("\n1 / 0\n", "ZeroDivisionError: division by zero", 'bad.py", line 2, in <module>'),
        ("import sys\nsys.exit(3)\n", "SystemExit: 3", 'bad.py", line 2, in <module>'),
    ],
)
def test_an_app_that_cannot_be_imported_is_told_with_its_traceback(folder, source, line, trace):
    write(folder / "good.py", "def f(): return 1\n")
    write(folder / "bad.py", source)
    done = run("denim-worker", "--manager", NOBODY, "good", "bad", cwd=folder)
    assert done.returncode == 78, done.stderr
    assert "event=import_failed module=bad" in done.stderr
    assert line in done.stderr and trace in done.stderr
    assert "importlib" not in done.stderr and "_slot.py" not in done.stderr


def test_an_app_that_is_not_there_is_told_with_where_it_was_looked_for(folder):
    done = run("denim-worker", "--manager", NOBODY, "nowhere", cwd=folder)
    assert done.returncode == 78, done.stderr
    assert f"No module named 'nowhere'; looked first in {folder}" in done.stderr


# --- tasks that are not there --------------------------------------------------------------------


def test_an_unknown_function_is_told_in_one_round_trip_with_the_nearest(client, cluster):
    submitted = cluster.status()["counters"]["submitted"]
    begin = time.monotonic()
    with pytest.raises(denim.UnknownTask, match="did you mean sysapp:add") as caught:
        client.call("sysapp:ad", 1, 2)
    assert time.monotonic() - begin < UNKNOWN_GRACE_S / 2
    assert cluster.status()["counters"]["submitted"] == submitted + 1
    assert isinstance(caught.value, LookupError) and caught.value.task == "sysapp:ad"
    assert caught.value.worker == "w1"


def test_an_unknown_module_is_waited_for_and_then_told_with_the_nearest(client):
    begin = time.monotonic()
    with pytest.raises(denim.UnknownTask, match="nearest is sysapp"):
        client.call("sysap:add", 1, 2)
    assert time.monotonic() - begin > UNKNOWN_GRACE_S - 0.5


# --- values --------------------------------------------------------------------------------------


def test_an_argument_that_cannot_be_encoded_is_told_with_its_path_and_not_sent(client, cluster):
    submitted = cluster.status()["counters"]["submitted"]
    with pytest.raises(denim.CodecError, match=r"args\[1\]\['a'\]\[0\]") as caught:
        client.call("sysapp:add", 1, {"a": [object()]})
    assert caught.value.path == "args[1]['a'][0]"
    assert cluster.status()["counters"]["submitted"] == submitted


def test_a_value_that_cannot_be_encoded_is_told_with_its_path(client):
    with pytest.raises(denim.CodecError, match=r"value\['rows'\]\[1\].*pickle") as caught:
        client.call("sysapp:give_object")
    assert caught.value.worker == "w1"
    assert client.call("sysapp:add", 2, 3) == 5


def test_what_is_larger_than_payload_max_is_told_where_it_is_sent(folder):
    config = write(folder / "small.conf", "manager\n    payload_max = 64K\n")
    options = {"slots": 1, "manager_args": ["-f", str(config)]}
    with local_cluster(folder / "logs", **options) as cluster, cluster.client() as client:
        client = client.options(deadline=DEADLINE_S)
        assert client.call("sysapp:blob", 65000) == bytes(65000)
        submitted = cluster.status()["counters"]["submitted"]
        with pytest.raises(denim.PayloadTooLarge, match="arguments .* takes 65536") as caught:
            client.call("sysapp:add", bytes(66000), b"")
        assert isinstance(caught.value, ValueError)
        assert cluster.status()["counters"]["submitted"] == submitted
        for size in (66_000, 5_000_000):
            with pytest.raises(denim.PayloadTooLarge, match="answer .* takes, 65536"):
                client.call("sysapp:blob", size)
        assert client.call("sysapp:add", 2, 3) == 5
        assert cluster.status()["workers"][0]["restarts"] == 0


# --- frames that are none ------------------------------------------------------------------------

GARBAGE = [
    [b""],
    [b"\0"],
    [b"\xff\xff\xff"],
    [b"GET / HTTP/1.1\r\n\r\n"],
    [bytes(10_000)],
    [encode("SUBMIT")[:-1]],
    [encode("SUBMIT") + b"more"],
    [encode("WELCOME")],
    [b"", b"payload", b""],
    [encode("BYE") + b"x", *[b"frame"] * 300],
]
LISTS = {
    False: [encode("OPEN")[:-12] + b"\xff\xff\xff\xff\xff\xff" + bytes(6)],
    True: [encode("WORKER_HELLO")[:-6] + b"\xff\xff" + bytes(4)],
}
HELLO = {False: "CLIENT_HELLO", True: "WORKER_HELLO"}


def faults(messages):
    return [message.reason for message in messages if message.name == "FAULT"]


def malformed_lines(manager):
    return re.findall(r"event=malformed.*", manager.said())


def send_garbage(dealer, workers):
    for frames in [*GARBAGE, LISTS[workers]]:
        dealer.send(*frames)
    return len(GARBAGE) + 1


@pytest.mark.parametrize("workers", [False, True], ids=["clients' door", "workers' door"])
def test_frames_that_do_not_decode_are_told_and_harm_nobody(folder, workers):
    with Manager(folder) as manager, Worker(manager, folder, "sysapp"):
        assert_still_works(manager)
        with RawDealer(manager.address, workers) as dealer:
            sent = send_garbage(dealer, workers)
            dealer.say(HELLO[workers], major=1, session=bytes(range(16)), link=1, name="probe")
            assert faults(dealer.receive_upto("WELCOME")) == [MALFORMED]
            assert len(malformed_lines(manager)) == 1

            for _ in range(20):
                sent += send_garbage(dealer, workers)
            dealer.say(HELLO[workers], major=1, session=bytes(range(16)), link=2, name="probe")
            assert faults(dealer.receive_upto("WELCOME")) == [MALFORMED]
            (_, line) = malformed_lines(manager)
            assert "probe" in line
            assert_still_works(manager)
            with denim.Client(manager.address) as client:
                assert client.status()["counters"]["malformed"] == sent
            dealer.say("BYE")


@pytest.mark.parametrize("workers", [False, True], ids=["clients' door", "workers' door"])
def test_another_version_is_told_which_one_the_manager_speaks(manager, workers):
    with RawDealer(manager.address, workers) as dealer:
        dealer.say(HELLO[workers], major=9, session=b"another version.", link=1, name="probe")
        fault = dealer.receive()
        assert (fault.name, fault.reason, fault.major) == ("FAULT", VERSION, 1)
    assert_still_works(manager)


def test_a_message_of_a_stranger_is_asked_who_it_is(manager):
    with RawDealer(manager.address) as dealer:
        dealer.say("SUBMIT", b"[[]]", seq=1, attempt=1, service="sysapp", task="sysapp:add")
        assert dealer.receive().name == "WHO"
    assert_still_works(manager)


def test_arguments_that_do_not_decode_are_a_codec_error(manager):
    with RawDealer(manager.address) as dealer:
        dealer.say("CLIENT_HELLO", major=1, session=b"bad arguments...", link=1, name="probe")
        dealer.receive_upto("WELCOME")
        for number, document in enumerate([b"[[1,2]", b"\xff", b"{}", b'[[],{"~x":1}]'], 1):
            dealer.say(
                "SUBMIT", document, seq=number, attempt=1, try_no=1, priority=1, codec=1,
                service="sysapp", task="sysapp:add",
            )  # fmt: skip
            result = dealer.receive_upto("RESULT")[-1]
            assert (result.seq, result.outcome) == (number, 10)
            assert "cannot decode it" in result.text
            dealer.say("ACK", acks=[{"seq": number, "attempt": 1}])
        dealer.say("BYE")
    assert_still_works(manager)


def test_an_http_request_to_a_door_harms_nobody(manager):
    host, port = re.fullmatch(r"tcp://(.*):(\d+)", manager.address).groups()
    for door in (int(port), int(port) + 1):
        with socket.create_connection((host, door), DEADLINE_S) as browser:
            browser.sendall(b"GET / HTTP/1.1\r\nHost: there\r\n\r\n" + bytes(1000))
    assert_still_works(manager)


# --- tasks that misbehave ------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["crash", "read_null"])
def test_a_segfault_is_told_with_its_signal(client, cluster, task):
    with pytest.raises(denim.WorkerLost, match="SIGSEGV") as caught:
        client.call(f"sysapp:{task}")
    error = caught.value
    assert (error.signal, error.exit_code, error.oom) == (signal.SIGSEGV, None, False)
    assert (error.worker, error.attempts, error.reason) == ("w1", 1, "LOST")
    assert client.call("sysapp:add", 1, 1) == 2
    assert len(cluster.worker_pids) == 1


def test_os_exit_is_told_with_its_code(client, cluster):
    with pytest.raises(denim.WorkerLost) as caught:
        client.call("sysapp:leave", 7)
    assert (caught.value.signal, caught.value.exit_code) == (None, 7)
    assert client.call("sysapp:add", 1, 1) == 2
    assert len(cluster.worker_pids) == 1


@pytest.mark.parametrize(
    ("task", "type_name"),
    [
        ("system_exit", "SystemExit"),
        ("interrupt", "KeyboardInterrupt"),
        ("stop_iteration", "StopIteration"),
    ],
)
def test_what_would_end_a_program_is_a_remote_error_and_the_slot_goes_on(
    client, cluster, task, type_name
):
    slots = cluster.slot_pids
    with pytest.raises(denim.RemoteError) as caught:
        client.call(f"sysapp:{task}")
    assert caught.value.type_name == type_name
    assert cluster.slot_pids == slots
    assert client.call("sysapp:add", 1, 1) == 2


def test_endless_recursion_is_an_exception_and_the_slot_goes_on(client, cluster):
    slots = cluster.slot_pids
    with pytest.raises(RecursionError) as caught:
        client.call("sysapp:deep")
    assert "sysapp.py" in caught.value.__cause__.traceback_text
    assert cluster.slot_pids == slots
    assert client.call("sysapp:add", 1, 1) == 2


def test_what_a_task_prints_is_logged_with_the_task_and_harms_nothing(client, cluster):
    assert client.call("sysapp:speak", "a plain line") == "said"
    forged = "\n2026-01-01T00:00:00.000Z error event=forged\r\x1b[2J\0\x85" + "x" * 100_000
    assert client.call("sysapp:speak", forged) == "said"
    assert client.call("sysapp:add", 1, 1) == 2

    def worker_log():
        return cluster.logs()["w1"]

    line = r'event=output slot=\d task=[0-9a-f]{8}:\d+ text="a plain line"'
    assert until(lambda: re.search(line, worker_log()), "the line of the task")
    assert until(lambda: re.search(r"event=output .*x{100}", worker_log()), "the long line")
    for line in worker_log().rstrip("\n").split("\n"):
        assert re.match(r"\d{4}-\S+Z (info|warn) event=[a-z_]+ ", line), line
    assert "event=forged" not in re.sub('"[^"]*"', "", worker_log())


def test_a_worker_without_an_interpreter_says_so(folder):
    environment = c_environment(PATH=str(folder))
    environment.pop("VIRTUAL_ENV", None)
    done = run("denim-worker", "--manager", NOBODY, "sysapp", env=environment)
    assert_refused(done, 78, "no Python interpreter: python3 is not on PATH")
