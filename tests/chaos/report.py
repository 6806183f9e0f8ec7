# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""What a chaos run prints: counters, how soon work went on after each fault, and delays."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence
from statistics import median

from checker import COUNTED, Call, End, History, Run, Verdict
from faults import Event

EVENTS_SHOWN = 40


def print_counts(verdict: Verdict, history: History) -> None:
    counts = verdict.counts
    parts = [f"{counts[name]} {name}" for name in COUNTED if counts[name] or name == "value"]
    print(f"calls       {counts['submitted']} submitted = {' + '.join(parts)}")
    print("ends       ", ", ".join(f"{n} {name}" for name, n in sorted(verdict.outcomes.items())))
    runs = [len(found) for found in history.runs.values()]
    again = sum(1 for number in runs if number > 1)
    print(f"executions  {sum(runs)} of {len(runs)} tasks, {again} idempotent ones more than once")
    kinds = ("hung", "duplicated", "unexpected", "groundless")
    print("violations ", ", ".join(f"{verdict.violated(kind)} {kind}" for kind in kinds))


def print_resumption(events: Sequence[Event], history: History) -> None:
    """Per kind of fault: from its end until work went on at the victim."""
    moments = _Moments(history)
    waits: dict[str, list[float]] = {}
    for event in events:
        wait = moments.wait(event)
        if wait is not None:
            waits.setdefault(event.kind, []).append(wait)
    print("work resumed after the end of a fault (seconds; other faults may fall into it)")
    for kind, found in sorted(waits.items()):
        print(f"  {kind:16} {len(found):3} times, median {median(found):6.3f}, longest"
              f" {max(found):6.3f}")  # fmt: skip


def print_delays(history: History, calm: tuple[float, float], chaos: tuple[float, float]) -> None:
    """From submit to end, for the short tasks that gave a value, in the two parts of the run."""
    rows = {name: _delays(history, span) for name, span in (("calm", calm), ("chaos", chaos))}
    print("delay of short tasks (milliseconds from submit to value)")
    for name, found in rows.items():
        if found:
            print(f"  {name:6} {len(found):6} calls, median {_at(found, 0.5):8.1f},"
                  f" 99 % below {_at(found, 0.99):8.1f}, longest {found[-1]:8.1f}")  # fmt: skip
    if all(rows.values()):
        extra = [_at(rows["chaos"], part) - _at(rows["calm"], part) for part in (0.5, 0.99)]
        print(f"  extra  median {extra[0]:.1f}, 99 % {extra[1]:.1f}")


def print_standstill(history: History, chaos: tuple[float, float]) -> None:
    """The longest time in which nobody got a value while the faults went on."""
    begin, end = chaos
    found = [ends[0].at for ends in history.ends.values() if _is_plain(ends[0])]
    moments = sorted([begin, end, *(at for at in found if begin < at < end)])
    gap, at = max((b - a, a) for a, b in zip(moments, moments[1:]))
    print(f"standstill  {gap:.3f} s without a value for anyone at most, from {at:.3f} on")


def print_failure(
    verdict: Verdict, history: History, events: Sequence[Event], complaints: Iterable[str]
) -> None:
    """What a person needs who looks into it."""
    for kind, key, sentence in verdict.violations[:20]:
        print(f"VIOLATION {kind}: {key}: {sentence}")
        print(f"    {history.calls.get(key)}")
        for record in (*history.ends.get(key, ()), *history.runs.get(key, ())):
            print(f"    {record}")
    if len(verdict.violations) > 20:
        print(f"... and {len(verdict.violations) - 20} more")
    for complaint in complaints:
        print(f"COMPLAINT {complaint}")
    print(f"the last {EVENTS_SHOWN} faults, from begin to end:")
    for event in events[-EVENTS_SHOWN:]:
        end = "..." if event.end is None else f"{event.end:.3f}"
        print(f"    {event.begin:.3f} {end} {event}")


class _Moments:
    """When work went on, per place, in order."""

    def __init__(self, history: History) -> None:
        self._answers: dict[str, list[float]] = {}
        self._placed: list[tuple[float, float]] = []  # begin of a run, and its answer
        self._runs: dict[str, list[Run]] = {}
        for key, call in history.calls.items():
            runs, ends = history.runs.get(key, []), history.ends.get(key, [])
            for run in runs:
                self._runs.setdefault(_member(run.worker), []).append(run)
            if ends and ends[0].outcome in ("value", "ValueError"):
                self._answers.setdefault(_member(call.client), []).append(ends[0].at)
                if runs:
                    self._placed.append((runs[-1].at, ends[0].at))
        self._placed.sort()
        for answers in self._answers.values():
            answers.sort()
        for found in self._runs.values():
            found.sort(key=lambda run: run.at)

    def wait(self, event: Event) -> float | None:
        """None when nothing came after it, which may be at the end of the run."""
        if event.end is None:
            return None
        victim = event.kind.split()[1]
        if victim == "manager":
            first = bisect.bisect(self._placed, (event.end, 0.0))
            after = [answer for _, answer in self._placed[first : first + 50]]
            return min(after) - event.end if after else None
        if victim == "client":
            answers = self._answers.get(event.member, [])
            place = bisect.bisect(answers, event.end)
            return answers[place] - event.end if place < len(answers) else None
        runs = self._runs.get(event.member, [])
        before = bisect.bisect(runs, event.end, key=lambda run: run.at)
        replaced = event.kind in ("kill slot", "kill zygote")
        known = {run.pid for run in runs[:before]} if replaced else set()
        if event.kind == "freeze slot":
            return next((r.at - event.end for r in runs[before:] if str(r.pid) == event.who), None)
        return next((r.at - event.end for r in runs[before:] if r.pid not in known), None)


def _delays(history: History, span: tuple[float, float]) -> list[float]:
    begin, end = span
    found = []
    for key, call in history.calls.items():
        ends = history.ends.get(key)
        if ends and call.task == "short" and begin <= call.at < end and _is_plain(ends[0]):
            found.append(_ms(call, ends[0]))
    return sorted(found)


def _is_plain(end: End) -> bool:
    return end.outcome == "value"


def _ms(call: Call, end: End) -> float:
    return (end.at - call.at) * 1000


def _at(found: Sequence[float], part: float) -> float:
    return found[min(len(found) - 1, int(len(found) * part))]


def _member(process_name: str) -> str:
    return process_name.rpartition(".")[0]
