# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""A peer that says what it likes: ZeroMQ sockets through ctypes, and the frames of DENIM/1.

    with RawDealer(manager.address, workers=True) as dealer:
        dealer.send(b"no message")
        assert dealer.receive().name == "FAULT"
"""

from __future__ import annotations

import ctypes
import re
import time
from typing import Any

from programs import DEADLINE_S
from wire_probe import Message, decode, encode

DEALER, ROUTER = 5, 6
LINGER, RCVMORE, RCVTIMEO, SNDTIMEO, LAST_ENDPOINT = 17, 13, 27, 28, 32
SNDMORE = 2
EAGAIN = 11

_zmq = ctypes.CDLL("libzmq.so.5", use_errno=True)
_zmq.zmq_ctx_new.restype = ctypes.c_void_p
_zmq.zmq_ctx_term.argtypes = [ctypes.c_void_p]
_zmq.zmq_socket.restype = ctypes.c_void_p
_zmq.zmq_socket.argtypes = [ctypes.c_void_p, ctypes.c_int]
_zmq.zmq_close.argtypes = [ctypes.c_void_p]
for _name in ("zmq_connect", "zmq_bind"):
    getattr(_zmq, _name).argtypes = [ctypes.c_void_p, ctypes.c_char_p]
_zmq.zmq_setsockopt.argtypes = [
    ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t,
]  # fmt: skip
_zmq.zmq_getsockopt.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
for _name in ("zmq_send", "zmq_recv"):
    getattr(_zmq, _name).argtypes = [
        ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int,
    ]  # fmt: skip


class RawSocket:
    """A ZeroMQ socket that gives up after DEADLINE_S.

    of: share the threads of this one, which is closed last.
    """

    def __init__(self, kind: int, of: RawSocket | None = None) -> None:
        self._shared = of is not None
        self._context: Any = of._context if of else _zmq.zmq_ctx_new()
        self._socket = _zmq.zmq_socket(self._context, kind)
        for option, value in ((LINGER, 0), (RCVTIMEO, DEADLINE_S * 1000), (SNDTIMEO, 10000)):
            self.set(option, value)

    def set(self, option: int, value: int) -> None:
        number = ctypes.c_int(value)
        self._check(_zmq.zmq_setsockopt(self._socket, option, ctypes.byref(number), 4))

    def connect(self, endpoint: str) -> None:
        self._check(_zmq.zmq_connect(self._socket, endpoint.encode()))

    def bind(self, endpoint: str) -> None:
        self._check(_zmq.zmq_bind(self._socket, endpoint.encode()))

    def endpoint(self) -> str:
        """Where it is bound."""
        text, size = ctypes.create_string_buffer(256), ctypes.c_size_t(256)
        self._check(
            _zmq.zmq_getsockopt(self._socket, LAST_ENDPOINT, text, ctypes.byref(size))
        )
        return text.value.decode()

    def send(self, *frames: bytes) -> None:
        for number, frame in enumerate(frames, 1):
            more = SNDMORE if number < len(frames) else 0
            self._check(_zmq.zmq_send(self._socket, frame, len(frame), more))

    def receive_frames(self) -> list[bytes]:
        frames, more = [], True
        room = ctypes.create_string_buffer(1 << 16)
        while more:
            count = self._check(_zmq.zmq_recv(self._socket, room, len(room), 0))
            frames.append(room.raw[:count])
            value, size = ctypes.c_int(), ctypes.c_size_t(4)
            self._check(
                _zmq.zmq_getsockopt(
                    self._socket, RCVMORE, ctypes.byref(value), ctypes.byref(size)
                )
            )
            more = bool(value.value)
        return frames

    def _check(self, rc: int) -> int:
        if rc < 0:
            number = ctypes.get_errno()
            if number == EAGAIN:
                raise TimeoutError("nothing came, or nothing could be sent")
            raise OSError(number, "ZeroMQ")
        return rc

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        _zmq.zmq_close(self._socket)
        if not self._shared:
            _zmq.zmq_ctx_term(self._context)


class RawDealer(RawSocket):
    """A DEALER at one door of a manager."""

    def __init__(
        self, address: str, workers: bool = False, of: RawSocket | None = None
    ) -> None:
        super().__init__(DEALER, of)
        self.connect(door(address, workers))

    def say(self, kind: str, /, *frames: bytes, **values: Any) -> None:
        self.send(encode(kind, **values), *frames)

    def receive(self) -> Message:
        header, *frames = self.receive_frames()
        return decode(header, frames)

    def receive_upto(self, name: str) -> list[Message]:
        """All messages up to and with the next one of that name."""
        deadline = time.monotonic() + DEADLINE_S
        found: list[Message] = []
        while not found or found[-1].name != name:
            assert time.monotonic() < deadline, f"no {name}, but {found}"
            found.append(self.receive())
        return found


def door(address: str, workers: bool) -> str:
    """The endpoint of a door; the address has its port."""
    if not workers:
        return address
    if address.startswith("ipc:"):
        return f"{address}.workers"
    return re.sub(r"\d+$", lambda port: str(int(port[0]) + 1), address)
