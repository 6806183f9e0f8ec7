# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""A few faults of each kind, on real processes: `make chaos` in short."""

import subprocess
import sys

from programs import DEADLINE_S, ROOT

FEW = ["--kills", "3", "--seconds", "5", "--longest", "2", "--calm", "0.5", "--heartbeat-ms", "150"]


def test_nothing_is_lost_or_done_twice_whatever_is_killed_frozen_or_cut():
    done = subprocess.run(
        [sys.executable, ROOT / "tests/chaos/run.py", *FEW],
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=4 * DEADLINE_S,
    )  # fmt: skip
    print(done.stdout)
    assert done.returncode == 0
