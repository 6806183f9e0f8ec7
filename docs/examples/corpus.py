"""What the demo's workers do: read one Python file and measure it.

An ordinary module. `denim-worker corpus` makes `corpus:analyse` callable from anywhere; called
directly it does the same. The file comes as its bytes, so the workers need not see the caller's
disk.
"""

import ast
import warnings

__all__ = ["analyse", "busy"]

BRANCHES = (
    ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.With,
    ast.AsyncWith, ast.Assert, ast.comprehension, ast.match_case,
)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def analyse(name: str, source: bytes) -> dict:
    """Lines, functions, classes of one file, and its ten most complex functions.

    A file that Python does not parse has ``"parses": False`` and only its lines counted.
    """
    found = {"lines": source.count(b"\n"), "parses": True, "functions": 0, "classes": 0}
    found["complex"] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source, name)
    except (SyntaxError, ValueError):
        found["parses"] = False
        return found

    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            found["classes"] += 1
        elif isinstance(node, FUNCTIONS):
            found["functions"] += 1
            found["complex"].append((complexity(node), f"{name}:{node.lineno} {node.name}"))
    found["complex"] = top(found["complex"])
    return found


def complexity(function: ast.AST) -> int:
    """McCabe's number: the branches of a function, and one."""
    number = 1
    for node in ast.walk(function):
        if isinstance(node, BRANCHES):
            number += 1
        elif isinstance(node, ast.BoolOp):
            number += len(node.values) - 1
    return number


def top(functions: list) -> list:
    """The ten most complex of them; equal ones in the order of their names."""
    return sorted(functions, key=lambda found: (-found[0], found[1]))[:10]


def busy(number: int) -> int:
    """A few milliseconds of work, for the demo's busy moment."""
    total = 0
    for i in range(20_000):
        total += i ^ number
    return total
