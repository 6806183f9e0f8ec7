# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""How the codec refuses: one exception, and checks of what a tag holds.

Owns nothing else; `denim.tags` and `denim.arrays` use it, and `denim.payload` makes CodecErrors.
"""

from __future__ import annotations

from typing import Any

__all__ = ["Unfit", "as_int", "as_list", "as_str", "short"]


class Unfit(Exception):
    """A value that cannot be carried, or a document that is wrong. Never leaves the codec.

    what: what is wrong, such as "cannot carry <class 'foo.Bar'>".
    steps: pieces of the path to it, innermost first; filled on the way out.
    """

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what
        self.steps: list[str] = []

    def path(self, root: str) -> str:
        """
        >>> unfit = Unfit("cannot carry it")
        >>> unfit.steps += ["[3]", "['x']"]
        >>> unfit.path("args")
        "args['x'][3]"
        """
        return root + "".join(reversed(self.steps))


def short(value: object) -> str:
    """repr() of at most 40 characters; never raises."""
    try:
        text = repr(value)
    except Exception:  # of the user's, or of an integer with too many digits
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 40 else text[:37] + "..."


def as_int(value: Any) -> int:
    if type(value) is not int:
        raise Unfit("a tag whose number is none")
    return value


def as_str(value: Any) -> str:
    if type(value) is not str:
        raise Unfit("a tag whose text is none")
    return value


def as_list(value: Any, *lengths: int) -> list[Any]:
    """A list, of one of the lengths if any are given."""
    if type(value) is not list or (lengths and len(value) not in lengths):
        raise Unfit("a tag whose list is none, or of a wrong length")
    return value
