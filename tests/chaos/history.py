# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""From the files of a run to the records of the checker. All times become seconds."""

from __future__ import annotations

import json
from pathlib import Path

from checker import Call, End, History, Run

NS = 1e-9


def read_calls(history: History, path: Path, client: str) -> None:
    """Add what one client process has written; the last line may be cut off when it was killed."""
    for line in _lines(path):
        record = json.loads(line)
        at = record.pop("at") * NS
        if "call" in record:
            key = record["call"]
            history.calls[key] = Call(key, client, record["task"], record["idempotent"], at)
        else:
            end = End(at=at, **{name: record[name] for name in record if name != "end"})
            history.ends.setdefault(record["end"], []).append(end)


def read_runs(history: History, path: Path) -> None:
    """Add what the tasks have written."""
    for line in _lines(path):
        word, key, worker, pid, at = line.split()
        runs = history.runs.setdefault(key, [])
        if word == "begin":
            runs.append(Run(worker, int(pid), int(at) * NS))
            continue
        for number, run in enumerate(runs):
            if (run.worker, run.pid) == (worker, int(pid)) and run.done is None:
                runs[number] = Run(run.worker, run.pid, run.at, int(at) * NS)


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text()
    except FileNotFoundError:
        return []
    return text[: text.rfind("\n") + 1].splitlines()
