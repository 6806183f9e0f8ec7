# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""The package, and code that uses it, pass a strict type checker."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
PYTHON = HERE.parents[1] / "python"
CACHE = Path(os.environ.get("DENIM_BIN", HERE)).parent / "mypy"  # what it knows, for the next time


def mypy():
    if importlib.util.find_spec("mypy"):
        return [sys.executable, "-m", "mypy"]
    if shutil.which("mypy"):
        return ["mypy"]
    pytest.skip("mypy is not installed")


def test_package_and_users_code_pass_mypy():
    without = ("LD_PRELOAD", "ASAN_OPTIONS", "PYTHONPATH")
    environment = {k: v for k, v in os.environ.items() if k not in without}
    done = subprocess.run(
        [*mypy(), "--strict", "--no-error-summary", "--python-version", "3.11",
         "--cache-dir", CACHE, PYTHON / "denim", HERE / "typed_user.py"],
        env={**environment, "MYPYPATH": str(PYTHON)},
        cwd=HERE,
        capture_output=True,
        text=True,
        timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
