# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""DENIM/1 for tests, from its table: messages, packets, and a supervisor that is a test.

Reads src/wire/messages.def as text, so that it knows the bytes from the specification and not from
the code under test.

    with Slot(app="myapp", path=folder) as slot:
        slot.run("myapp:add", [[2, 3]])
        assert slot.result().value == 5
"""

from __future__ import annotations

import array
import ast
import ctypes
import fcntl
import json
import mmap
import os
import re
import select
import signal
import socket
import struct
import sys
import sysconfig
import time
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0  # seconds until a wait is a failure; nothing waits that long when all is well

# --- the table -----------------------------------------------------------------------------------

_ROW = re.compile(r"^\s*(M|R|U8|U16|U32|U64|SESSION|STR|BLOB|LIST|END)\s*\(([^\"\n]*)", re.M)
_WIDTH = {"U8": 1, "U16": 2, "U32": 4, "U64": 8}


class Row(NamedTuple):
    name: str
    number: int
    fields: list[tuple[str, str, Any]]  # name, type, bound or row


def read_table(text: str) -> dict[str, Row]:
    table: dict[str, Row] = {}
    row = Row("", 0, [])
    for kind, rest in _ROW.findall(re.sub(r"/\*.*?\*/", "", text, flags=re.S)):
        words = [word.strip() for word in rest.split(",")]
        if kind == "M":
            row = Row(words[1], int(words[0]), [])
            table[row.name] = row
        elif kind == "R":
            row = Row(words[1], 0, [])
            table[row.name] = row
        elif kind in ("STR", "BLOB"):
            row.fields.append((words[0], kind, int(words[1])))
        elif kind == "LIST":
            row.fields.append((words[0], kind, words[1]))
        elif kind != "END":
            row.fields.append((words[0], kind, None))
    return table


TABLE = read_table((ROOT / "src/wire/messages.def").read_text())
NUMBERS = {row.number: row for row in TABLE.values() if row.number}


def _encode_fields(row: Row, values: dict[str, Any]) -> bytes:
    out = b""
    for name, kind, detail in row.fields:
        value = values.pop(name, None)
        if kind in _WIDTH:
            out += int(value or 0).to_bytes(_WIDTH[kind], "big")
        elif kind == "SESSION":
            out += value or bytes(16)
        elif kind == "LIST":
            rows = [_encode_fields(TABLE[detail], dict(item)) for item in value or []]
            out += struct.pack(">HI", len(rows), sum(map(len, rows))) + b"".join(rows)
        else:
            raw = value.encode() if isinstance(value, str) else value or b""
            out += len(raw).to_bytes(1 if detail < 256 else 2, "big") + raw
    assert not values, f"{row.name} has no {sorted(values)}"
    return out


def encode(name: str, /, **values: Any) -> bytes:
    """A header frame."""
    row = TABLE[name]
    return bytes([row.number, 0]) + _encode_fields(row, values)


def _decode_fields(row: Row, data: bytes, at: int) -> tuple[dict[str, Any], int]:
    values: dict[str, Any] = {}
    for name, kind, detail in row.fields:
        if kind in _WIDTH:
            size = _WIDTH[kind]
            values[name] = int.from_bytes(data[at : at + size], "big")
        elif kind == "SESSION":
            size = 16
            values[name] = data[at : at + size]
        elif kind == "LIST":
            count, size = struct.unpack_from(">HI", data, at)
            end = at + 6
            values[name] = []
            for _ in range(count):
                item, end = _decode_fields(TABLE[detail], data, end)
                values[name].append(item)
            size += 6
            assert end == at + size
        else:
            width = 1 if detail < 256 else 2
            size = int.from_bytes(data[at : at + width], "big")
            at += width
            raw = data[at : at + size]
            values[name] = raw.decode() if kind == "STR" else raw
        at += size
    assert at <= len(data)
    return values, at


class Message(NamedTuple):
    name: str
    fields: dict[str, Any]
    frames: list[bytes]

    def __getattr__(self, name: str) -> Any:
        try:
            return self.fields[name]
        except KeyError:
            raise AttributeError(name) from None

    @property
    def value(self) -> Any:
        """The document of a RESULT, as plain JSON."""
        return json.loads(self.frames[0])


def decode(header: bytes, frames: list[bytes]) -> Message:
    row = NUMBERS[header[0]]
    values, end = _decode_fields(row, header, 2)
    assert end == len(header)
    small = bytes(values.get("small", b""))
    return Message(row.name, values, [small] if small and not frames else frames)


# --- packets -------------------------------------------------------------------------------------


LEAD = struct.Struct(">IIQq")  # as stream.h says it


def packet(
    header: bytes, frames: Any = (), number: int = 0, arrived_us: int = 0
) -> bytes:
    sizes = [len(frame) for frame in frames]
    body_bytes = len(header) + sum(sizes)
    lead = LEAD.pack(len(header), number, len(sizes) << 56 | body_bytes, arrived_us)
    return lead + struct.pack(f">{len(sizes)}Q", *sizes) + header + b"".join(frames)


class Link:
    """One end of a channel: packets in and out."""

    def __init__(self, end: socket.socket) -> None:
        self.socket = end
        self._read = bytearray()

    def send(self, data: bytes) -> None:
        """Send all of it, and read meanwhile: a slot that cannot send does not read."""
        left = memoryview(data)
        while left:
            readable, writable, _ = select.select([self.socket], [self.socket], [], PATIENCE)
            assert readable or writable, "the other side does not read"
            if readable:
                more = self.socket.recv(1 << 20)
                if not more:
                    raise EOFError
                self._read += more
            if writable:
                try:
                    left = left[self.socket.send(left, socket.MSG_DONTWAIT) :]
                except BlockingIOError:
                    pass

    def say(self, name: str, *frames: bytes, number: int = 0, **values: Any) -> None:
        self.send(packet(encode(name, **values), frames, number))

    def _need(self, count: int, deadline: float) -> None:
        while len(self._read) < count:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.socket], [], [], left)[0]:
                raise TimeoutError(f"nothing came; {len(self._read)} bytes wait")
            data = self.socket.recv(1 << 20)
            if not data:
                raise EOFError
            self._read += data

    def receive(self, timeout: float = PATIENCE) -> Message:
        deadline = time.monotonic() + timeout
        self._need(LEAD.size, deadline)
        header_bytes, number, body, arrived_us = LEAD.unpack_from(self._read)
        count, body = body >> 56, body & (1 << 56) - 1
        self._need(LEAD.size + 8 * count + body, deadline)
        sizes = struct.unpack_from(f">{count}Q", self._read, LEAD.size)
        at = LEAD.size + 8 * count
        assert number == arrived_us == 0 and body == header_bytes + sum(sizes)
        parts = []
        for size in (header_bytes, *sizes):
            parts.append(bytes(self._read[at : at + size]))
            at += size
        del self._read[:at]
        return decode(parts[0], parts[1:])

    def expect(self, name: str, timeout: float = PATIENCE) -> Message:
        """The next message, which must be of that name."""
        message = self.receive(timeout)
        assert message.name == name, message
        return message

    def is_quiet(self) -> bool:
        return not self._read and not select.select([self.socket], [], [], 0)[0]


# --- a slot --------------------------------------------------------------------------------------

_libc = ctypes.CDLL(None, use_errno=True)
_libc.sigqueue.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_void_p]
CANCEL = 1 << 31
WORKER = "w7"  # the name of the worker that a test plays


def bootstrap() -> str:
    """DN_SLOT_BOOTSTRAP of heritage.h."""
    header = (ROOT / "src/wire/heritage.h").read_text()
    found = re.search(r"#define DN_SLOT_BOOTSTRAP((?:.*\\\n)+.*\n)", header)
    assert found
    home = re.search(r"#define DN_ENV_HOME\s+(\"\w+\")", header)
    assert home
    body = found[1].replace("\\\n", " ").replace("DN_ENV_HOME", home[1])
    text = ast.literal_eval("(" + body.strip() + ")")
    assert isinstance(text, str)
    return text


def library_of(python: str) -> tuple[str, str]:
    """(library, executable) of an interpreter, as it reports them."""
    import subprocess

    code = (
        "import sys, sysconfig, os; v = sysconfig.get_config_var\n"
        "shared = v('Py_ENABLE_SHARED') and os.path.join(v('LIBDIR'), v('INSTSONAME'))\n"
        "print(shared or ''); print(sys.executable)"
    )
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    library, executable = done.stdout.splitlines()
    return library, executable


def own_library() -> str:
    variable = sysconfig.get_config_var
    if not variable("Py_ENABLE_SHARED"):
        return ""
    return os.path.join(str(variable("LIBDIR")), str(variable("INSTSONAME")))


def _up(fd: int) -> int:
    """Clear of the numbers that a slot's descriptors are put to."""
    up = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 20)
    os.close(fd)
    return up


class Ends:
    """The descriptors of a slot, and ours of the same things."""

    def __init__(self) -> None:
        ours, its = socket.socketpair()
        self.link = Link(ours)
        self.channel = _up(its.detach())
        self.page = _up(os.memfd_create("page", os.MFD_CLOEXEC))
        os.ftruncate(self.page, 8)
        self.map = mmap.mmap(self.page, 8)
        output, its_output = os.pipe2(os.O_CLOEXEC)
        self.output_fd = output
        self.its_output = _up(its_output)

    def give(self) -> None:
        for fd in (self.channel, self.page, self.its_output):
            os.close(fd)

    def take_back(self, sent: int) -> int:
        """As dn_page_take_back; only where the slot does not claim at the same time."""
        (word,) = struct.unpack("=Q", self.map[:8])
        self.map[:8] = struct.pack("=Q", word & 0xFFFFFFFF00000000 | sent)
        return int(word >> 32)

    def started(self) -> int:
        return int(struct.unpack("=Q", self.map[:8])[0] >> 32)

    def close(self) -> None:
        self.link.socket.close()
        self.map.close()
        os.close(self.output_fd)


class Process:
    """A slot or zygote that was exec'd by the test, which is its supervisor."""

    def __init__(
        self,
        role: str,
        app: str = "",
        path: Any = "",
        flags: str = "",
        cwd: Any = None,
        python: str | None = None,
        embedded: bool = True,
        environ: dict[str, str] | None = None,
        payload_max: int = 0,
        home: str | None = None,
        parent: int | None = None,
        name: str = WORKER,
    ) -> None:
        library, executable = (
            (own_library(), sys.executable) if python is None else library_of(python)
        )
        self.ends = Ends()
        self.link = self.ends.link
        programs = os.environ.get("DENIM_BIN", str(ROOT / "build/bin"))
        if embedded and library:
            argv = [os.path.join(programs, "denim-slot"), library, executable]
        else:
            argv = [executable, "-c", bootstrap()]
        env = dict(os.environ, **(environ or {}))
        env.pop("PYTHONPATH", None)
        env |= {
            "DENIM_SLOT_ROLE": role,
            "DENIM_SLOT_APPS": app,
            "DENIM_SLOT_FLAGS": flags,
            "DENIM_SLOT_NAME": name,
            "DENIM_SLOT_PARENT": str(parent or os.getpid()),
            "DENIM_SLOT_HOME": home or os.path.realpath(os.path.join(programs, "../python")),
            "DENIM_SLOT_PAYLOAD_MAX": str(payload_max),
            "DENIM_APP_PATH": str(path),
        }
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, self.ends.its_output, 1),
            (os.POSIX_SPAWN_DUP2, self.ends.its_output, 2),
            (os.POSIX_SPAWN_DUP2, self.ends.channel, 3),
        ]
        if role == "slot":
            actions.append((os.POSIX_SPAWN_DUP2, self.ends.page, 4))
        before = os.getcwd()
        os.chdir(cwd or before)
        try:
            self.pid = os.posix_spawn(argv[0], argv, env, file_actions=actions, setpgroup=0)
        finally:
            os.chdir(before)
        self.ends.give()
        self.status: int | None = None
        self._output = b""

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.wait()
        self.ends.close()

    def kill(self, number: int = signal.SIGKILL) -> None:
        if self.status is None:
            os.kill(self.pid, number)

    def wait(self, timeout: float = PATIENCE) -> int:
        """Its exit code, or the negative number of the signal that ended it."""
        if self.status is None:
            fd = os.pidfd_open(self.pid)
            try:
                if not select.select([fd], [], [], timeout)[0]:
                    raise TimeoutError("the process goes on")
                self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            finally:
                os.close(fd)
        return self.status

    def output(self, until: str | None = None, timeout: float = PATIENCE) -> str:
        """What it has printed: up to and with `until`, or to the end."""
        deadline = time.monotonic() + timeout
        while until is None or until.encode() not in self._output:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.ends.output_fd], [], [], left)[0]:
                raise TimeoutError(f"printed so far: {self._output!r}")
            data = os.read(self.ends.output_fd, 1 << 16)
            if not data:
                break
            self._output += data
        return self._output.decode()


class Tasks:
    """What a test does with a slot, however that came about. `link`, `pid` and `ends` are there."""

    link: Link
    pid: int
    ends: Ends
    sent = 0  # number of the last task in the channel
    arrived_us = 0  # of the next tasks at the worker
    session = bytes(range(16))

    def make(self, task: str, document: Any = b"[[]]", *frames: bytes, **submit: Any) -> bytes:
        """The packet of a RUN; its number is one more than the last one's, and its seq 1000 more.
        """
        self.sent += 1
        values = {"codec": 1, "attempt": 1, "service": task.split(":")[0], **submit}
        inner = encode("SUBMIT", seq=1000 + self.sent, task=task, **values)
        header = encode("RUN", session=self.session, attempt=values["attempt"], submit=inner)
        first = document if isinstance(document, bytes) else json.dumps(document).encode()
        return packet(header, [first, *frames], self.sent, self.arrived_us)

    def run(self, task: str, document: Any = b"[[]]", *frames: bytes, **submit: Any) -> int:
        """Send a task; its number."""
        self.link.send(self.make(task, document, *frames, **submit))
        return self.sent

    def result(self, number: int | None = None, timeout: float = PATIENCE) -> Message:
        """The next message, which must be a RESULT: of that task, or of the last one sent."""
        message = self.link.expect("RESULT", timeout)
        assert message.session == self.session
        assert message.seq == 1000 + (self.sent if number is None else number)
        return message

    def ask(self, task: str, document: Any = b"[[]]", *frames: bytes, **submit: Any) -> Message:
        """Send a task and wait for its result."""
        return self.result(self.run(task, document, *frames, **submit))

    def ask_small(self, task: str, document: bytes) -> Message:
        """The same with the document in the header."""
        self.sent += 1
        values = {"codec": 1, "attempt": 1, "service": task.split(":")[0], "small": document}
        inner = encode("SUBMIT", seq=1000 + self.sent, task=task, **values)
        header = encode("RUN", session=self.session, attempt=1, submit=inner)
        self.link.send(packet(header, (), self.sent))
        return self.result()

    def interrupt(self, number: int, cancel: bool = False) -> None:
        """The signal of a soft limit, or of a cancel."""
        value = number & 0x7FFFFFFF | (CANCEL if cancel else 0)
        assert _libc.sigqueue(self.pid, signal.SIGUSR1, value) == 0


class Slot(Process, Tasks):
    """A slot of its own, ready."""

    def __init__(self, app: str = "", *args: Any, **kwargs: Any) -> None:
        super().__init__("slot", app, *args, **kwargs)
        try:
            self.ready = self.link.expect("READY")
        except BaseException:
            self.kill()
            self.wait()
            print(self.output())
            raise


class Child(Tasks):
    """A slot that a zygote forked; not yet ready."""

    def __init__(self, ends: Ends, pid: int) -> None:
        self.ends = ends
        self.link = ends.link
        self.pid = pid


class Zygote(Process):
    """A zygote, ready."""

    def __init__(self, app: str = "", *args: Any, **kwargs: Any) -> None:
        super().__init__("zygote", app, *args, **kwargs)
        self.ready = self.link.expect("READY")

    def send_fork(self, number: int) -> Ends:
        """Say FORK with the descriptors, and wait for nothing."""
        ends = Ends()
        fds = array.array("i", [ends.channel, ends.page, ends.its_output])
        data = packet(encode("FORK", slot=number))
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)]
        assert self.link.socket.sendmsg([data], ancillary) == len(data)
        ends.give()
        return ends

    def fork(self, number: int) -> Child:
        ends = self.send_fork(number)
        forked = self.link.expect("FORKED")
        assert (forked.slot, forked.error) == (number, 0)
        return Child(ends, forked.pid)
