# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""What must hold of a history: every call ended once, as its executions allow.

A pure function of records; how they are collected is not known here. The words are those of a queue
checker, almost: a call is *hung* when its caller was never told how it ended, *duplicated* when it
ran more often than it may, *unexpected* when its end and its executions contradict each other, and
*groundless* when it was lost though nothing was done to its slot or worker.

    submitted = value + exception + lost and told + cancelled + refused and told + late
                + unknown (of killed clients) + hung (a violation)
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

INNER = "~"  # begins the key of a call that a task has made, once; only its executions are known
ATTEMPTS_MAX = 3  # of an idempotent call, when its end does not say how many there were

# How the end of a call is counted, by the name of its exception.
GROUPS = {
    "value": "value",
    "ValueError": "exception",
    "WorkerLost": "lost and told",
    "PoisonTask": "lost and told",
    "TaskCancelled": "cancelled",
    "Rejected": "refused and told",
    "ManagerUnavailable": "refused and told",
    "UnknownTask": "refused and told",
    "DeadlineExceeded": "late",  # refused and told when it says that it has not started
}
COUNTED = (*dict.fromkeys(GROUPS.values()), "unknown", "hung", "other")


@dataclass(frozen=True)
class Call:
    """One call. client: the process that made it. at: seconds, as everywhere here."""

    key: str
    client: str
    task: str
    idempotent: bool
    at: float


@dataclass(frozen=True)
class End:
    """How its caller was told that it ended. outcome: "value", or the exception's class."""

    outcome: str
    at: float
    value: str = ""  # the value, or the first argument of the exception
    attempts: int = 1
    started: bool = False


@dataclass(frozen=True)
class Run:
    """One execution. worker: the process, not only its name. done: when it was over, if ever."""

    worker: str
    pid: int
    at: float
    done: float | None = None


@dataclass(frozen=True)
class Hurt:
    """A fault from which a task may be lost. who: a process of a worker or a client, or the number
    of a slot's process.
    """

    who: str
    begin: float
    end: float


@dataclass
class History:
    """All that is known after the end. killed: client processes that could not see their ends.
    memory: seconds for which a worker that is dead still counts as one that may have had a task.
    hurts: of workers and slots. away: of clients. patience: how many seconds of it make a client
    forgotten, maybe.
    """

    calls: dict[str, Call] = field(default_factory=dict)
    ends: dict[str, list[End]] = field(default_factory=dict)
    runs: dict[str, list[Run]] = field(default_factory=dict)
    killed: set[str] = field(default_factory=set)
    hurts: list[Hurt] = field(default_factory=list)
    away: list[Hurt] = field(default_factory=list)
    memory: float = 0.0
    patience: float = math.inf


@dataclass
class Verdict:
    """counts: calls by group. violations: kind, key and sentence."""

    counts: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    violations: list[tuple[str, str, str]] = field(default_factory=list)

    def violated(self, kind: str) -> int:
        return sum(1 for found, _, _ in self.violations if found == kind)


def check(history: History) -> Verdict:
    """Judge each call, and each execution that nobody asked for."""
    verdict = Verdict()
    hurts: dict[str, list[Hurt]] = {}
    for hurt in history.hurts:
        hurts.setdefault(hurt.who, []).append(hurt)
    for key, call in history.calls.items():
        ends = history.ends.get(key, [])
        runs = history.runs.get(key, [])
        group = _group(call, ends, history.killed)
        verdict.counts["submitted"] += 1
        verdict.counts[group] += 1
        if ends:
            verdict.outcomes[ends[0].outcome] += 1
        for kind, sentence in _faults(call, ends, runs, group, hurts, history):
            verdict.violations.append((kind, key, sentence))
    for key in history.runs.keys() - history.calls.keys():
        if not key.startswith(INNER):
            verdict.violations.append(("unexpected", key, "ran, and nobody submitted it"))
        elif len(history.runs[key]) > 1:
            sentence = f"ran {len(history.runs[key])} times, and may once: a task has called it"
            verdict.violations.append(("duplicated", key, sentence))
    for key in history.ends.keys() - history.calls.keys():
        verdict.violations.append(("unexpected", key, "ended, and nobody submitted it"))
    return verdict


def _group(call: Call, ends: list[End], killed: set[str]) -> str:
    if not ends:
        return "unknown" if call.client in killed else "hung"
    end = ends[0]
    if end.outcome == "DeadlineExceeded" and not end.started:
        return "refused and told"
    return GROUPS.get(end.outcome, "other")


def _faults(
    call: Call,
    ends: list[End],
    runs: list[Run],
    group: str,
    hurts: dict[str, list[Hurt]],
    history: History,
) -> Iterator[tuple[str, str]]:
    """Kind and sentence of each rule that this call breaks."""
    ran = len(runs)
    end = ends[0] if ends else None
    if group == "hung":
        yield "hung", f"never ended; it ran {ran} times"
    if group == "other" and end:
        yield "unexpected", f"ended as {end.outcome}"
    if len(ends) > 1:
        yield "unexpected", f"ended {len(ends)} times"

    most = (end.attempts if end and end.attempts else ATTEMPTS_MAX) if call.idempotent else 1
    if ran > most:
        yield "duplicated", f"ran {ran} times, and may {most} times; ended as {_name(end)}"
    if end is None:
        return
    if group in ("value", "exception"):
        if ran == 0:
            yield "unexpected", f"ended as {end.outcome} and never ran"
        if end.value != call.key:
            yield "unexpected", f"ended with {end.value!r}, which is of another call"
        if (group == "exception") != (call.task == "fail"):
            yield "unexpected", f"ended as {end.outcome}, and its task is {call.task}"
    if group == "refused and told" and ran:
        yield "unexpected", f"ended as {end.outcome}, so nothing ran, and it ran {ran} times"
    if group == "lost and told" and not _is_excused(call, runs, end, hurts, history):
        where = ", ".join(f"{run.worker} pid {run.pid}" for run in runs) or "any worker"
        yield "groundless", f"ended as {end.outcome}, and nothing was done to {where}"


def _is_excused(
    call: Call, runs: list[Run], end: End, hurts: dict[str, list[Hurt]], history: History
) -> bool:
    """Whether something was done to a slot that ran it, or to its worker, while it was open: a
    worker that was cut off may run it after its caller was told. Of one that never ran nobody knows
    where it was: what was done to any of them counts, and what was done a while before. A caller
    that was away for too long is forgotten with all its answers.
    """
    suspects = [who for run in runs for who in (run.worker, str(run.pid))] or list(hurts)
    since = call.at if runs else call.at - history.memory
    if any(
        hurt.begin <= end.at and hurt.end >= since
        for who in suspects
        for hurt in hurts.get(who, ())
    ):
        return True
    return any(
        hurt.who == call.client
        and hurt.begin <= end.at
        and hurt.end >= max(call.at, hurt.begin + history.patience)
        for hurt in history.away
    )


def _name(end: End | None) -> str:
    return end.outcome if end else "nothing that anyone saw"
