# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""What a chaos run prints: counters, how soon work went on after each fault, and delays."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from checker import COUNTED, End, History, Run, Verdict
from faults import Event

EVENTS_SHOWN = 40
SLOWEST = 3  # calls, of which is printed what was done to whom they needed


class Span(NamedTuple):
    """Of time, in seconds."""

    begin: float
    end: float


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


def print_resumption(
    events: Sequence[Event], history: History, members: Sequence[frozenset[str]]
) -> None:
    """Per kind of fault: from its end until work went on at the victim, without the time of others
    that hurt it, too, or all members of one of these sets.
    """
    moments = _Moments(history)
    waits: dict[str, list[tuple[float, Event]]] = {}
    for event in events:
        wait = moments.wait(event)
        if wait is not None and event.end is not None:
            whole = Span(event.end, event.end + wait)
            others = [other for other in events if other is not event]
            hurting = _hurting(others, {"manager", event.member}) + _outages(others, members)
            rest = _length(whole) - _covered(whole, hurting)
            waits.setdefault(event.kind, []).append((rest, event))
    print("work resumed after the end of a fault (seconds, without those of other faults)")
    for kind, found in sorted(waits.items()):
        found.sort(key=lambda pair: pair[0])
        longest, event = found[-1]
        print(f"  {kind:16} {len(found):3} times, median {found[len(found) // 2][0]:6.3f}, longest"
              f" {longest:6.3f} ({event.who} at {event.end:.3f})")  # fmt: skip


def print_delays(events: Sequence[Event], history: History, calm: Span, chaos: Span) -> None:
    """From submit to end, for the short tasks that gave a value, in the two parts of the run."""
    rows = {name: _delays(history, span) for name, span in (("calm", calm), ("chaos", chaos))}
    print("delay of short tasks (milliseconds from submit to value)")
    for name, found in rows.items():
        if found:
            times = [_length(span) * 1000 for span, _ in found]
            print(f"  {name:6} {len(found):6} calls, median {_at(times, 0.5):8.1f},"
                  f" 99 % below {_at(times, 0.99):8.1f}, longest {times[-1]:8.1f}")  # fmt: skip
    if not all(rows.values()):
        return
    for span, key in rows["chaos"][: -1 - SLOWEST : -1]:
        members = {"manager", _member(history.calls[key].client)}
        members |= {_member(run.worker) for run in history.runs.get(key, [])}
        hurting = _hurting(events, members)
        met = [event for event in hurting if _covered(span, [event])]
        print(f"  {key}: {_length(span):.3f} s, {_covered(span, hurting):.3f} of them during")
        print("      " + ", ".join(f"{event.kind} ({event.who})" for event in met))


def print_standstill(
    events: Sequence[Event], history: History, chaos: Span, members: Sequence[frozenset[str]]
) -> None:
    """The longest time in which nobody got a value, and the longest without the time in which the
    manager was hurt, or all members of one of these sets.
    """
    found = [ends[0].at for ends in history.ends.values() if _is_plain(ends[0])]
    moments = sorted([*chaos, *(at for at in found if chaos.begin < at < chaos.end)])
    gaps = [Span(*pair) for pair in zip(moments, moments[1:])]
    faults = _hurting(events, {"manager"}) + _outages(events, members)
    whole = max(gaps, key=_length)
    rest = max(_length(gap) - _covered(gap, faults) for gap in gaps)
    print(f"standstill  {_length(whole):.3f} s without a value for anyone at most, from"
          f" {whole.begin:.3f} on; {rest:.3f} s while each program was there")  # fmt: skip


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


def _delays(history: History, span: Span) -> list[tuple[Span, str]]:
    """Of the calls made in that time, shortest first."""
    found = []
    for key, call in history.calls.items():
        ends = history.ends.get(key)
        if call.task == "short" and ends and _is_plain(ends[0]):
            if span.begin <= call.at < span.end:
                found.append((Span(call.at, ends[0].at), key))
    return sorted(found, key=lambda pair: _length(pair[0]))


def _hurting(events: Sequence[Event], members: set[str]) -> list[Event]:
    return [event for event in events if event.member in members]


def _outages(events: Sequence[Event], members: Sequence[frozenset[str]]) -> list[Event]:
    """When all of such a set were hurt at once, as if that were faults of its own."""
    found = []
    for group in members:
        hurt = [event for event in events if event.member in group]
        edges = sorted({at for event in hurt for at in (event.begin, event.end or math.inf)})
        for begin, end in zip(edges, edges[1:]):
            out = {e.member for e in hurt if e.begin <= begin and (e.end or math.inf) >= end}
            if out == group:
                found.append(Event("outage", "all", "all", begin, end))
    return found


def _covered(span: Span, events: Sequence[Event]) -> float:
    """Seconds of it in which at least one of them was on."""
    covered, since = 0.0, span.begin
    for event in sorted(events, key=lambda event: event.begin):
        end = span.end if event.end is None else min(event.end, span.end)
        begin = max(event.begin, since)
        if begin < end:
            covered += end - begin
            since = end
    return covered


def _length(span: Span) -> float:
    return span.end - span.begin


def _is_plain(end: End) -> bool:
    return end.outcome == "value"


def _at(found: Sequence[float], part: float) -> float:
    return found[min(len(found) - 1, int(len(found) * part))]


def _member(process_name: str) -> str:
    return process_name.rpartition(".")[0]
