# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""What the package offers, and what importing it does and does not do."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import pkgutil
import subprocess
import sys

import fake_denim
import pytest

import denim

PACKAGE = os.path.dirname(os.path.abspath(denim.__file__))
EXPORTS = {
    "ALL_COMPLETED",
    "FIRST_COMPLETED",
    "FIRST_EXCEPTION",
    "Client",
    "CodecError",
    "DeadlineExceeded",
    "DenimError",
    "Future",
    "LocalCluster",
    "ManagerUnavailable",
    "NestingTooDeep",
    "NotAllowed",
    "PayloadTooLarge",
    "PoisonTask",
    "ProtocolMismatch",
    "Rejected",
    "RemoteError",
    "SoftTimeLimit",
    "Task",
    "TaskCancelled",
    "TimeLimit",
    "UnknownTask",
    "WorkerLost",
    "as_completed",
    "default_client",
    "progress",
    "task",
    "wait",
}


def test_the_package_exports_these_names_at_least():
    assert set(denim.__all__) >= EXPORTS
    assert len(set(denim.__all__)) == len(denim.__all__)


def test_every_exported_name_is_there_and_has_a_docstring():
    for name in denim.__all__:
        value = getattr(denim, name)
        assert name in dir(denim)
        if callable(value):
            assert inspect.getdoc(value), name
    with pytest.raises(AttributeError, match="nothing"):
        denim.nothing  # noqa: B018


def test_every_module_lists_what_it_offers():
    for module in pkgutil.iter_modules([PACKAGE]):
        if module.name.startswith("_"):
            continue
        found = importlib.import_module(f"denim.{module.name}")
        found = sys.modules[f"denim.{module.name}"]  # denim.task is a function
        assert found.__doc__, module.name
        for name in found.__all__:
            assert hasattr(found, name), f"{module.name}.{name}"


def test_functions_are_not_hidden_by_the_modules_of_their_name():
    importlib.import_module("denim.task")
    importlib.import_module("denim.progress")
    assert inspect.isfunction(denim.task)
    assert denim.progress(1, 2) is None


def test_the_package_is_marked_as_typed():
    assert os.path.exists(os.path.join(PACKAGE, "py.typed"))


def run(code):
    """In a fresh interpreter; its output."""
    environment = {**os.environ, "PYTHONPATH": os.path.dirname(PACKAGE)}
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_importing_starts_nothing_and_loads_no_library():
    out = run(
        "import sys, threading, logging, signal\n"
        "before = signal.getsignal(signal.SIGINT)\n"
        "import denim, denim.payload\n"
        "assert threading.active_count() == 1\n"
        "assert not logging.getLogger().handlers\n"
        "assert len(logging.getLogger('denim').handlers) == 1\n"
        "assert signal.getsignal(signal.SIGINT) is before\n"
        "print(sorted(m for m in sys.modules if m in\n"
        "      ('denim._denim', 'denim.local', 'numpy', 'subprocess', 'asyncio')))"
    )
    assert out == "[]\n"


def test_a_client_without_the_extension_says_what_to_do():
    out = run(
        "import sys\nsys.modules['denim._denim'] = None\nimport denim\n"
        "try: denim.Client()\nexcept ImportError as error: print(error)"
    )
    assert "make" in out


# --- the stub ------------------------------------------------------------------------------------


def stub():
    """Classes of the stub, each with its methods' positional arguments; and its other names."""
    with open(os.path.join(PACKAGE, "_denim.pyi")) as file:
        tree = ast.parse(file.read())
    classes, names = {}, set()
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            methods = {
                item.name: [argument.arg for argument in item.args.posonlyargs + item.args.args]
                for item in node.body
                if isinstance(item, ast.FunctionDef)
            }
            classes[node.name] = methods
        elif isinstance(node, ast.AnnAssign) and node.target.id != "Buffer":
            names.add(node.target.id)
    return classes, names


def test_the_stand_in_of_the_tests_keeps_to_the_stub():
    classes, names = stub()
    made = fake_denim.module()
    assert names <= set(vars(made))
    reply = fake_denim.Reply()
    assert all(hasattr(reply, name) for name in classes["Reply"])
    assert set(classes["Reply"]) == set(vars(reply))
    for name in set(classes["Client"]) - {"__init__", "fileno"}:
        assert callable(getattr(fake_denim.Client, name)), name


def test_the_extension_keeps_to_the_stub():
    extension = pytest.importorskip("denim._denim")
    classes, names = stub()
    assert names <= set(vars(extension))
    for class_name, methods in classes.items():
        offered = {name for name in dir(getattr(extension, class_name)) if not name.startswith("_")}
        assert offered == {name for name in methods if not name.startswith("_")}, class_name
    assert extension.OUTCOMES == fake_denim.OUTCOMES
    assert extension.CODECS == denim.client.payload.CODECS
    assert list(extension.PRIORITIES) == ["high", "normal", "low"]
    assert list(extension.PRIORITIES.values()) == [0, 1, 2]
    assert denim.__version__ == extension.VERSION
