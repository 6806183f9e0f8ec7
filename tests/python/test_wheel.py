# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""The wheel: what is in it, and that a fresh environment with nothing else runs a cluster."""

from __future__ import annotations

import base64
import csv
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ["DENIM_BIN"]).parent
TIMEOUT_S = 120
VERSION = re.search(r'DENIM_VERSION +"(.*)"', (ROOT / "include/denim.h").read_text())[1]
PROGRAMS = ("denim", "denim-slot", "denim-worker", "denimd")
PLATFORM = re.sub(r"\W", "_", sysconfig.get_platform())

USER = """
import os, sys
import denim
home = os.path.join(sys.prefix, "lib")
assert os.path.abspath(denim.__file__).startswith(home), denim.__file__
with denim.LocalCluster(slots=1, app="wheelapp", worker_args=sys.argv[1:]) as cluster:
    with cluster.client() as client:
        file, executable = client.call("wheelapp:where")
        assert os.path.abspath(file).startswith(home), file
        print(client.call("wheelapp:add", 2, 3), executable, os.path.relpath(file, home))
"""
APP = """
import sys
import denim

def add(x, y):
    return x + y

def where():
    return denim.__file__, sys.executable
"""


def environment(**more):
    """Nothing of this build: neither its package nor its programs, nor a loaded sanitizer."""
    mine = ("PYTHONPATH", "DENIM_BIN", "LD_PRELOAD", "ASAN_OPTIONS", "VIRTUAL_ENV", "PYTHONHOME")
    return {**{k: v for k, v in os.environ.items() if k not in mine}, **more}


def for_python():
    """For a Python that loads denim's extensions: with the sanitizer that they were built with."""
    kept = ("LD_PRELOAD", "ASAN_OPTIONS")
    return environment(**{k: v for k, v in os.environ.items() if k in kept})


def run(*command, env=None, cwd=None):
    done = subprocess.run(
        command, env=env or environment(), cwd=cwd, capture_output=True, text=True,
        timeout=TIMEOUT_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def pack(folder):
    if not shutil.which(os.environ.get("STRIP") or "strip"):
        pytest.skip("strip is not installed")
    script = ROOT / "python/wheel.py"
    out = run(sys.executable, script, "--build", BUILD, "--out", folder, "--version", VERSION)
    return Path(out.strip())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return pack(tmp_path_factory.mktemp("dist"))


def bundled_pip():
    """The pip that comes with Python for new environments, a wheel; it runs from there as it is."""
    ensurepip = importlib.util.find_spec("ensurepip")
    folders = [sysconfig.get_config_var("WHEEL_PKG_DIR")]
    folders += [Path(ensurepip.origin).parent / "_bundled"] if ensurepip else []
    wheels = [wheel for folder in filter(None, folders) for wheel in Path(folder).glob("pip-*.whl")]
    if not wheels:
        pytest.skip("this Python has no ensurepip with a pip (Debian: python3-venv)")
    return wheels[0]


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """An environment that has the wheel and nothing else; its folder."""
    pip = bundled_pip()
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    options = ["--no-index", "--no-deps", "--disable-pip-version-check", "--no-compile"]
    run(folder / "bin/python", "-m", "pip", "install", *options, wheel,
        env=environment(PYTHONPATH=str(pip)))  # fmt: skip
    return folder


def test_its_name_says_what_it_runs_on(wheel):
    assert wheel.name == f"denim-{VERSION}-cp311-abi3-{PLATFORM}.whl"


def test_its_record_names_every_file_with_its_hash(wheel):
    info = f"denim-{VERSION}.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        rows = list(csv.reader(archive.read(f"{info}/RECORD").decode().splitlines()))
        assert sorted(name for name, _, _ in rows) == sorted(archive.namelist())
        assert rows[-1] == [f"{info}/RECORD", "", ""]
        for name, told, size in rows[:-1]:
            content = archive.read(name)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode()
            assert (told, int(size)) == ("sha256=" + digest.rstrip("="), len(content)), name
        metadata = archive.read(f"{info}/METADATA").decode()
        assert f"\nVersion: {VERSION}\n" in metadata and "\nRequires-Python: >=3.11\n" in metadata
        assert f"\nTag: cp311-abi3-{PLATFORM}\n" in archive.read(f"{info}/WHEEL").decode()


def test_the_same_build_gives_the_same_bytes(wheel, tmp_path):
    assert pack(tmp_path).read_bytes() == wheel.read_bytes()


def test_a_fresh_environment_runs_a_cluster_and_has_the_commands(installed, tmp_path):
    (tmp_path / "wheelapp.py").write_text(APP)
    (tmp_path / "user.py").write_text(USER)
    python = installed / "bin/python"
    out = run(python, "user.py", env=for_python(), cwd=tmp_path)
    assert out.split()[:2] == ["5", str(python)]
    for program in PROGRAMS:
        path = shutil.which(program, path=f"{installed}/bin")
        assert path, program
        if program != "denim-slot":
            assert VERSION in run(path, "--version")
    assert (installed / "share/man/man8/denimd.8").exists()


def test_tasks_run_in_a_python_that_has_no_denim(installed, tmp_path):
    (tmp_path / "wheelapp.py").write_text(APP)
    (tmp_path / "user.py").write_text(USER)
    options = ("--python", sys.executable)
    out = run(installed / "bin/python", "user.py", *options, env=for_python(), cwd=tmp_path)
    assert out.split() == ["5", sys.executable, "denim/python/denim/__init__.py"]
