# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""Links that can be cut: a network namespace for this process, and one more for each peer.

This process, and the manager that it starts, live in the one; a peer lives in its own, and a pair
of virtual interfaces joins the two. While an end of it is down packets vanish and nobody is told.
All of it belongs to processes of this run, so it is gone with them and leaves no name behind.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence

ENTERED = "CHAOS_NAMESPACE"
NET = "10.213"  # seen by nobody outside
TOOLS = ("ip", "unshare", "nsenter", "cat")
WAYS = (["--net"], ["--user", "--map-root-user", "--net"])


def enter() -> str:
    """Start this program once more in a namespace of its own. Returns why that is not possible, ""
    when it has been done.
    """
    if os.environ.get(ENTERED):
        _ip("link", "set", "lo", "up")
        return ""
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if missing:
        return f"there is no program {missing[0]}"
    said = ""
    for way in WAYS:
        # veth is tried as well: a kernel may know namespaces and no virtual interfaces
        pair = ["try1", "type", "veth", "peer", "name", "try2"]
        tried = _run("unshare", *way, "ip", "link", "add", *pair)
        if tried.returncode == 0:
            os.environ[ENTERED] = "1"
            os.execvp("unshare", ["unshare", *way, sys.executable, *sys.argv])
        said = said or tried.stderr.strip()
    return f"namespaces are not allowed here: {said}"


class Network:
    """The peers' namespaces, by name."""

    def __init__(self, peers: Iterable[str]) -> None:
        self._holders: dict[str, subprocess.Popen[bytes]] = {}
        self._numbers: dict[str, int] = {}
        try:
            for number, peer in enumerate(peers, 1):
                self._numbers[peer] = number
                self._make(peer, number)
        except BaseException:
            self.close()
            raise

    def _make(self, peer: str, number: int) -> None:
        # a holder ends at the end of its input, which comes when this process ends
        holder = subprocess.Popen(
            ["unshare", "--net", "cat"], stdin=subprocess.PIPE, env=_environment()
        )
        self._holders[peer] = holder
        mine = os.readlink("/proc/self/ns/net")
        while os.readlink(f"/proc/{holder.pid}/ns/net") == mine:
            if holder.poll() is not None:
                raise OSError("unshare --net did not work")
            time.sleep(0.001)
        _ip("link", "add", f"peer{number}", "type", "veth",
            "peer", "name", "uplink", "netns", str(holder.pid))  # fmt: skip
        _ip("addr", "add", f"{NET}.{number}.1/30", "dev", f"peer{number}")
        _ip("link", "set", f"peer{number}", "up")
        self._inside(peer, "addr", "add", f"{NET}.{number}.2/30", "dev", "uplink")
        self._inside(peer, "link", "set", "lo", "up")
        self._inside(peer, "link", "set", "uplink", "up")

    def host(self, peer: str) -> str:
        """The manager's host as the peer sees it."""
        return f"{NET}.{self._numbers[peer]}.1"

    def prefix(self, peer: str) -> Sequence[str]:
        """Words before a command that is to run at the peer."""
        return ["nsenter", f"--net=/proc/{self._holders[peer].pid}/ns/net"]

    def set(self, peer: str, state: str, far: bool) -> None:
        """Set this end of the peer's link, or the far one, "up" or "down"."""
        if far:
            self._inside(peer, "link", "set", "uplink", state)
        else:
            _ip("link", "set", f"peer{self._numbers[peer]}", state)

    def close(self) -> None:
        for holder in self._holders.values():
            holder.kill()
            holder.communicate()
        self._holders.clear()

    def _inside(self, peer: str, *words: str) -> None:
        _must(*self.prefix(peer), "ip", *words)


def _environment() -> dict[str, str]:
    """Without what Python needs below a sanitizer."""
    return {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=_environment(), text=True, capture_output=True, stdin=subprocess.DEVNULL
    )


def _must(*command: str) -> None:
    done = _run(*command)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")


def _ip(*words: str) -> None:
    _must("ip", *words)
