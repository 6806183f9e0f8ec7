# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""Progress, both ways: what a task says of itself, and the bar of a map.

Owns the function `denim.progress` and `Bar`. Must never know how what is said travels: a slot sets
`denim.progress._send`.

The package's attribute `progress` is the function; this module is `sys.modules["denim.progress"]`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

__all__ = ["Bar", "progress"]


class _Progress:
    """Say how far the running task is: `progress(done, total, text)`. Elsewhere it does nothing.

    done: how much is done, 0 or more. total: of how much, 0 when that is not known. text: for
    people, cut to 255 bytes. The caller finds it in `Future.progress`. What was said last counts,
    so it may be said often.

        for number, page in enumerate(pages):
            denim.progress(number, len(pages), page.title)
    """

    _send: Callable[[int, int, str], None] | None = None  # a slot sets it on the one instance

    def __call__(self, done: float, total: float = 0, text: str = "") -> None:
        send = self._send
        if send is not None:
            if len(text) > 63:  # 63 characters have 252 bytes at most
                text = text.encode("utf-8", "replace")[:255].decode("utf-8", "ignore")
            send(max(int(done), 0), max(int(total), 0), text)

    def __repr__(self) -> str:
        return "<function denim.progress>"


progress = _Progress()


class Bar:
    """The progress bar of a map.

    total: how many items there are, None when it is not known. file: stderr by default; a bar when
    it is a terminal, else a line for every tenth (without a total: every 10 s). clock: seconds.

    >>> bar = Bar(2, sys.stdout, clock=lambda: 0.0)
    >>> bar.advance(); bar.advance(); bar.close()
    denim: 1/2 (50 %)
    denim: 2/2 (100 %)
    """

    REDRAW = 0.1  # seconds between two pictures
    LINE = 10.0  # seconds between two lines without a total
    WIDTH = 30  # characters

    def __init__(
        self,
        total: int | None,
        file: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file = file or sys.stderr
        self._total = total
        self._clock = clock
        self._done = 0
        self._started = clock()
        self._drawn_at = self._started
        self._tenth = 0
        self._is_terminal = self._file is not None and self._file.isatty()

    def advance(self) -> None:
        """One more item is done."""
        self._done += 1
        if self._is_terminal:
            if self._clock() - self._drawn_at >= self.REDRAW:
                self._draw()
        elif self._total:
            tenth = self._done * 10 // self._total
            if tenth > self._tenth:
                self._tenth = tenth
                self._line()
        elif self._clock() - self._drawn_at >= self.LINE:
            self._line()

    def close(self) -> None:
        """Show the last state."""
        if self._is_terminal:
            self._draw()
            self._write("\n")
        elif not self._total:
            self._line()

    def _draw(self) -> None:
        self._drawn_at = self._clock()
        self._write(f"\r{self._text()}\x1b[K")

    def _line(self) -> None:
        self._drawn_at = self._clock()
        self._write(f"denim: {self._counts()}\n")

    def _text(self) -> str:
        seconds = self._clock() - self._started
        rate = self._done / seconds if seconds > 0 else 0.0
        speed = f"{rate:.0f}/s" if rate >= 10 else f"{rate:.2f}/s"
        if not self._total:
            return f"{self._counts()} {speed} {_clock_text(seconds)}"
        part = min(self._done / self._total, 1.0)
        bar = ("#" * int(part * self.WIDTH)).ljust(self.WIDTH, ".")
        left = _clock_text((self._total - self._done) / rate) if rate else "?"
        end = f"{left} left" if self._done < self._total else f"in {_clock_text(seconds)}"
        return f"[{bar}] {self._counts()} {speed} {end}"

    def _counts(self) -> str:
        if not self._total:
            return str(self._done)
        return f"{self._done}/{self._total} ({self._done * 100 // self._total} %)"

    def _write(self, text: str) -> None:
        try:
            self._file.write(text)
            self._file.flush()
        except (OSError, ValueError):  # nobody looks any more; the map goes on
            self._is_terminal = False


def _clock_text(seconds: float) -> str:
    """
    >>> _clock_text(75), _clock_text(3675)
    ('1:15', '1:01:15')
    """
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
