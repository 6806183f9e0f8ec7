# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""Several hosts, each a network namespace: a manager in one, worker and client in others.

The hosts are made and removed by the test, which is skipped where that is not allowed.
"""

import json
import os
import shutil
import subprocess
import sys

import pytest
from programs import BIN, DEADLINE_S, HERE, Manager, Worker, c_environment, started, until

MANAGER, WORKER, CLIENT = "manager", "worker", "client"


class Hosts:
    """Three namespaces, the manager's linked with each of the others.

    address: of the manager, as each of the others sees it.
    """

    def __init__(self):
        self._names = {name: f"denim-{name}-{os.getpid()}" for name in (MANAGER, WORKER, CLIENT)}
        self.address = {}
        self._device = {}  # the last one of each host

    def make(self):
        for name in self._names.values():
            ip("netns", "add", name)
        for number, name in enumerate((WORKER, CLIENT), 1):
            here, there = f"dn{number}m{os.getpid()}"[:15], f"dn{number}h{os.getpid()}"[:15]
            ip("link", "add", here, "netns", self._names[MANAGER], "type", "veth",
               "peer", "name", there, "netns", self._names[name])  # fmt: skip
            self._up(MANAGER, here, f"10.213.{number}.1/24")
            self._up(name, there, f"10.213.{number}.2/24")
            self.address[name] = f"tcp://10.213.{number}.1"
        for name in self._names:
            self._up(name, "lo")

    def _up(self, host, device, number=None):
        if number:
            ip("-n", self._names[host], "address", "add", number, "dev", device)
            self._device[host] = device
        ip("-n", self._names[host], "link", "set", device, "up")

    def link(self, host, state):
        """Cut the cable of a host ("down"), or mend it ("up")."""
        ip("-n", self._names[host], "link", "set", self._device[host], state)

    def on(self, host):
        """Words that run a command there, as the process that is started."""
        return ["ip", "netns", "exec", self._names[host]]

    def run(self, host, *command, **more):
        more |= {"text": True, "capture_output": True, "timeout": 2 * DEADLINE_S}
        return subprocess.run([*self.on(host), *command], **more)

    def remove(self):
        for name in self._names.values():
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)


def ip(*words):
    done = subprocess.run(["ip", *words], text=True, capture_output=True, timeout=DEADLINE_S)
    if done.returncode:
        raise PermissionError(f"ip {' '.join(words)}: {done.stderr.strip()}")


@pytest.fixture(scope="module")
def hosts():
    if not shutil.which("ip"):
        pytest.skip("there is no command `ip` here (iproute2)")
    hosts = Hosts()
    try:
        hosts.make()
        done = hosts.run(MANAGER, "true")
        if done.returncode:
            raise PermissionError(done.stderr.strip())
        yield hosts
    except PermissionError as error:
        pytest.skip(f"network namespaces cannot be made here: {error}")
    finally:
        hosts.remove()


@pytest.fixture(scope="module")
def system(hosts, tmp_path_factory):
    """A manager at every address of its host, and a worker on another."""
    folder = tmp_path_factory.mktemp("hosts")
    options = ["--insecure", "--listen", "tcp://*"]
    with Manager(folder, *options, prefix=hosts.on(MANAGER)) as manager:
        address = hosts.address[WORKER]
        with Worker(address, folder, "sysapp", prefix=hosts.on(WORKER)) as worker:
            worker.await_ready()
            yield manager


def test_a_client_on_a_third_host_is_served(hosts, system, folder):
    done = hosts.run(CLIENT, sys.executable, HERE / "visit.py", hosts.address[CLIENT], folder)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["worker"]["executable"] == sys.executable


def test_denim_call_on_a_third_host_is_served(hosts, system):
    command = [BIN / "denim", "--manager", hosts.address[CLIENT], "call", "sysapp:add", "2", "3"]
    done = hosts.run(CLIENT, *command, env=c_environment())
    assert (done.returncode, done.stdout) == (0, "5\n"), done.stderr


def test_the_managers_own_host_is_served(hosts, system):
    command = [BIN / "denim", "call", "sysapp:add", "2", "3"]
    done = hosts.run(MANAGER, *command, env=c_environment())
    assert (done.returncode, done.stdout) == (0, "5\n"), done.stderr


def test_a_host_without_a_manager_is_told_so(hosts, system):
    command = [BIN / "denim", "call", "--deadline", "0.3", "sysapp:add", "2", "3"]
    done = hosts.run(CLIENT, *command, env=c_environment())
    assert (done.returncode, done.stdout) == (69, "")


def test_an_answer_survives_a_cut_cable(hosts, system, folder):
    """The task ends while its worker is cut off, after the manager has noticed that."""
    begun, end = folder / "begun", folder / "end"
    words = ["call", "sysapp:hold", str(begun), str(end)]
    command = [BIN / "denim", "--manager", hosts.address[CLIENT], *words]
    with started(*hosts.on(CLIENT), *command) as call:
        until(begun.exists, "the start of the task")
        hosts.link(WORKER, "down")
        try:
            system.await_said("event=worker_quiet")
            end.touch()
        finally:
            hosts.link(WORKER, "up")
        out, _ = call.communicate(timeout=DEADLINE_S)
    assert (call.returncode, out) == (0, '"released"\n')
