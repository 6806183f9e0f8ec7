# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""What is done to the processes and links of a cluster, and when.

A plan comes from a seed alone. It says when each fault is due and who is picked. A fault waits as
long as all who could be its victim are hurt already, or have hardly come back.
"""

from __future__ import annotations

import os
import random
import signal
import time
from dataclasses import dataclass
from typing import NamedTuple

from checker import Hurt
from cluster import LEAVE_S, Cluster, Member

REST_S = {"manager": 0.3, "worker": 0.5, "client": 1.0}  # between two faults of one member
HASTE_S = 2.0  # of a manager that was asked to end, until it is asked again


class Kind(NamedTuple):
    """share: how many for each kill of the manager. shortest, longest: seconds until its end."""

    verb: str
    victim: str
    share: float
    shortest: float
    longest: float

    def __str__(self) -> str:
        return f"{self.verb} {self.victim}"


KINDS = (
    Kind("kill", "manager", 1.0, 0.02, 0.4),
    Kind("kill", "worker", 1.0, 0.0, 0.4),
    Kind("kill", "slot", 1.0, 0.0, 0.0),
    Kind("kill", "zygote", 0.2, 0.0, 0.0),
    Kind("kill", "client", 0.2, 0.0, 0.3),
    Kind("freeze", "manager", 0.08, 0.5, 6.0),
    Kind("freeze", "worker", 0.1, 0.5, 6.0),
    Kind("freeze", "slot", 0.1, 0.5, 6.0),
    Kind("freeze", "zygote", 0.06, 0.5, 6.0),
    Kind("freeze", "client", 0.08, 0.5, 6.0),
    Kind("restart", "manager", 0.08, 0.0, 0.0),
    Kind("restart", "worker", 0.1, 0.0, 0.0),
    Kind("cut", "worker", 0.16, 1.0, 10.0),
    Kind("cut", "client", 0.08, 1.0, 10.0),
)
MEMBERS = {"slot": "worker", "zygote": "worker"}  # whose process the victim is, if not its own


@dataclass(frozen=True)
class Fault:
    """at: seconds after the start of the faults. pick: a number that chooses the victim."""

    at: float
    kind: Kind
    pick: int
    length: float


@dataclass
class Event:
    """A fault that was performed. who: as in the runs; end: None while it lasts."""

    kind: str
    member: str
    who: str
    begin: float
    end: float | None = None

    def __str__(self) -> str:
        return f"{self.kind} ({self.who})"


def make_plan(
    seed: int, kills: int, seconds: float, longest: float, skipped: set[str]
) -> list[Fault]:
    """All faults in the order of their times. skipped: verbs that cannot be performed here."""
    dice = random.Random(seed)
    plan = []
    for kind in KINDS:
        number = max(1, round(kills * kind.share)) if kills and kind.verb not in skipped else 0
        for _ in range(number):
            length = min(longest, dice.uniform(kind.shortest, kind.longest))
            plan.append(Fault(dice.uniform(0, seconds), kind, dice.randrange(2**16), length))
    return sorted(plan, key=lambda fault: fault.at)


class Performer:
    """Carries out a plan; `turn` does what is due now and never waits for a program."""

    def __init__(self, cluster: Cluster, plan: list[Fault]) -> None:
        self.events: list[Event] = []
        self._cluster = cluster
        self._waiting = list(plan)
        self._open: list[_Open] = []
        self._start = time.monotonic()

    def turn(self) -> bool:
        """False when there is nothing left to do."""
        now = time.monotonic()
        for running in list(self._open):
            if running.is_over(now):
                running.event.end = time.monotonic()
                self._open.remove(running)
        for fault in list(self._waiting):
            if fault.at > now - self._start:
                break
            member = self._choose(fault, now)
            if member:
                self._waiting.remove(fault)
                running = _VERBS[fault.kind.verb](self._cluster, member, fault)
                self.events.append(running.event)
                self._open.append(running)
        return bool(self._waiting or self._open)

    def hurts(self, role: str) -> list[Hurt]:
        """For the checker: what was done to members of that role, and to processes of theirs."""
        end = time.monotonic()
        names = {member.name for member in self._cluster.members() if member.role == role}
        mine = [event for event in self.events if event.member in names]
        return [Hurt(event.who, event.begin, event.end or end) for event in mine]

    def left(self) -> int:
        return len(self._waiting)

    def _choose(self, fault: Fault, now: float) -> Member | None:
        role = MEMBERS.get(fault.kind.victim, fault.kind.victim)
        members = [one for one in self._cluster.members() if one.role == role]
        fit = [one for one in members if not one.fault and now - one.since >= REST_S[role]]
        early = fault.kind.verb == "kill" and fault.kind.victim == role and fault.pick % 8 == 0
        if not early:
            fit = [one for one in fit if one.ready]
        return fit[fault.pick % len(fit)] if fit else None


class _Open:
    """A fault that lasts. The member is nobody else's meanwhile."""

    def __init__(self, cluster: Cluster, member: Member, fault: Fault) -> None:
        self.cluster = cluster
        self.member = member
        self.fault = fault
        member.fault = self
        begin = time.monotonic()
        self.event = Event(str(fault.kind), member.name, member.process_name, begin)
        self._until = begin + fault.length
        self.begin()

    def begin(self) -> None:
        raise NotImplementedError

    def finish(self) -> None:
        raise NotImplementedError

    def is_over(self, now: float) -> bool:
        if now < self._until:
            return False
        self.finish()
        self.member.since = time.monotonic()
        self.member.fault = None
        return True

    def part(self) -> int | None:
        """A slot or zygote of the member, as the fault says; None: there is none now."""
        pids = self.member.slots() if self.fault.kind.victim == "slot" else self.member.zygotes()
        return pids[self.fault.pick // 16 % len(pids)] if pids else None


class _Kill(_Open):
    def begin(self) -> None:
        self._whole = self.fault.kind.victim == self.member.role
        if self._whole:
            self.member.kill()
            if self.member.role == "client":
                self.cluster.killed.add(self.member.process_name)
            return
        pid = self.part()
        if pid is not None:
            if self.fault.kind.victim == "slot":
                self.event.who = str(pid)
            _send(pid, signal.SIGKILL)

    def finish(self) -> None:
        if self._whole:
            self.member.start()


class _Freeze(_Open):
    def begin(self) -> None:
        whole = self.fault.kind.victim == self.member.role
        pid = self.member.pid if whole else self.part()
        self._target = None if pid is None else _open_pid(pid)
        if self.fault.kind.victim == "slot":
            self.event.who = str(pid)
        self._send(signal.SIGSTOP)

    def finish(self) -> None:
        self._send(signal.SIGCONT)
        if self._target is not None:
            os.close(self._target)

    def _send(self, number: int) -> None:
        if self._target is None:
            return
        try:
            signal.pidfd_send_signal(self._target, number)
        except ProcessLookupError:
            pass


class _Restart(_Open):
    """SIGTERM, and the next process as soon as this one has ended."""

    def begin(self) -> None:
        self._asked = time.monotonic()
        self._again = self.member.role == "manager"  # its drain has no end of its own
        self.member.signal(signal.SIGTERM)

    def is_over(self, now: float) -> bool:
        if not self.member.ended():
            if self._again and now - self._asked > HASTE_S:
                self._again = False
                self.member.signal(signal.SIGTERM)
            if now - self._asked < LEAVE_S:
                return False
            self.cluster.complaints.append(
                f"{self.member.process_name} runs {LEAVE_S:g} s after SIGTERM:\n"
                + self.member.program.said()[-3000:]
            )
        elif self.member.program.process.returncode != 0:
            self.cluster.complaints.append(
                f"{self.member.process_name} ended with {self.member.program.process.returncode}"
                f" after SIGTERM:\n{self.member.program.said()[-3000:]}"
            )
        return super().is_over(now)

    def finish(self) -> None:
        self.member.kill()
        self.member.start()


class _Cut(_Open):
    def begin(self) -> None:
        self._far = bool(self.fault.pick // 16 % 2)
        self._set("down")

    def finish(self) -> None:
        self._set("up")

    def _set(self, state: str) -> None:
        assert self.cluster.network
        self.cluster.network.set(self.member.name, state, self._far)


_VERBS = {"kill": _Kill, "freeze": _Freeze, "restart": _Restart, "cut": _Cut}


def _open_pid(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


def _send(pid: int, number: int) -> None:
    """To that process, and to none that has got its number since."""
    target = _open_pid(pid)
    if target is not None:
        try:
            signal.pidfd_send_signal(target, number)
        except ProcessLookupError:
            pass
        os.close(target)
