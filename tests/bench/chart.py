"""The pictures of `make bench-overload` and `make bench-scaling`: panels of SVG, made by hand."""

import math
from collections.abc import Sequence

LEFT, TOP, PANEL_WIDTH, PANEL_HEIGHT = 60, 40, 330, 230
CELL_WIDTH, CELL_HEIGHT = 430, 330  # a panel with its numbers and names
INK, GRID = "#333", "#ddd"
COLOURS = ("#1f6fb2", "#c2571a", "#3a8f3a", "#7d4aa8")

Points = list[tuple[float, float]]


class Panel:
    """Axes, and series drawn into them. `x` and `y`: the values that have a line and a number; the
    x axis is by their order if `ordered`, so that 0.5 to 20 has equal steps. `form`: of the numbers
    at the y axis."""

    def __init__(self, title: str, x_name: str, x: Sequence[float], y: Sequence[float],
                 ordered: bool = False, form: str = ".0%") -> None:
        self.x, self.y, self.ordered = x, y, ordered
        self.parts = [text(LEFT + PANEL_WIDTH / 2, TOP - 14, title, "middle", 14)]
        for value in y:
            self.parts.append(line(LEFT, self.at_y(value), LEFT + PANEL_WIDTH, self.at_y(value)))
            self.parts.append(text(LEFT - 8, self.at_y(value) + 4, f"{value:{form}}", "end"))
        for value in x:
            self.parts.append(line(self.at_x(value), TOP, self.at_x(value), TOP + PANEL_HEIGHT))
            self.parts.append(
                text(self.at_x(value), TOP + PANEL_HEIGHT + 18, f"{value:g}", "middle"))
        self.parts.append(
            text(LEFT + PANEL_WIDTH / 2, TOP + PANEL_HEIGHT + 38, x_name, "middle"))
        self.keys = 0

    def at_x(self, value: float) -> float:
        if self.ordered:
            part = self.x.index(value) / (len(self.x) - 1)
        else:
            part = (value - self.x[0]) / (self.x[-1] - self.x[0])
        return LEFT + part * PANEL_WIDTH

    def at_y(self, value: float) -> float:
        return TOP + PANEL_HEIGHT * (1 - (value - self.y[0]) / (self.y[-1] - self.y[0]))

    def add(self, name: str, points: Points, colour: str, joined: bool = True,
            dots: bool = True) -> None:
        at = [(self.at_x(x), self.at_y(y)) for x, y in points]
        if not at:
            return
        if joined:
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
            self.parts.append(
                f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        if dots:
            self.parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>'
                           for x, y in at]
        y = TOP + PANEL_HEIGHT - 16 - 18 * self.keys
        x = LEFT + PANEL_WIDTH - 14
        self.parts.append(f'<circle cx="{x}" cy="{y - 4}" r="4" fill="{colour}"/>')
        self.parts.append(text(x - 10, y, name, "end"))
        self.keys += 1


def text(x: float, y: float, words: str, anchor: str, size: int = 12) -> str:
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" '
            f'fill="{INK}">{words}</text>')


def line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{GRID}"/>'


def page(panels: list[Panel], columns: int) -> str:
    """The panels in rows, as one picture."""
    rows = -(-len(panels) // columns)
    width, height = columns * CELL_WIDTH, rows * CELL_HEIGHT
    body = "\n".join(
        f'<g transform="translate({i % columns * CELL_WIDTH} {i // columns * CELL_HEIGHT})">\n'
        + "\n".join(panel.parts) + "\n</g>"
        for i, panel in enumerate(panels))
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'font-family="sans-serif">\n<rect width="{width}" height="{height}" fill="white"/>\n'
            f"{body}\n</svg>\n")


# --- make bench-overload ---

STEPS = (0.5, 1, 2, 5, 10, 20)  # times the ceiling
ARRIVE, WAIT = "calls that arrive, with a deadline", "callers that wait"


def goodput(arriving: dict[float, float], waiting: dict[float, float]) -> Panel:
    panel = Panel("goodput, part of the ceiling", "offered load, times the ceiling", STEPS,
                  [0, 0.2, 0.4, 0.6, 0.8, 1, 1.1], ordered=True)
    panel.add(ARRIVE, sorted(arriving.items()), COLOURS[1])
    panel.add(WAIT, sorted(waiting.items()), COLOURS[0])
    return panel


def run_times(arriving: dict[float, dict], waiting: dict[float, dict]) -> Panel:
    panel = Panel("time that a task of 100 ms runs, ms", "offered load, times the ceiling", STEPS,
                  [0, 20, 40, 60, 80, 100, 120], ordered=True, form="g")
    for name, runs, colours in ((ARRIVE, arriving, COLOURS[1::2]), (WAIT, waiting, COLOURS[::2])):
        for key, colour in zip(("p50", "p99"), colours):
            panel.add(f"{key}, {name}", sorted((x, run[key]) for x, run in runs.items()), colour)
    return panel


def refusals(found: dict[str, Points], formula: Points) -> Panel:
    panel = Panel("refused, without a retry", "offered load, Erlang on 32 slots",
                  [16, 24, 32, 40, 48, 56, 64, 72], [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    panel.add("Erlang B", formula, "#999", dots=False)
    for colour, (name, points) in zip(COLOURS, found.items()):
        shown = [(x, y) for x, y in points if 16 <= x <= 72]
        panel.add(name, shown, colour, joined=False)
    return panel


def spike(work: Points, spike_s: tuple[float, float]) -> Panel:
    """`work`: seconds, and tasks done then as a part of what the slots can do."""
    panel = Panel("work done, part of what the slots can do", "seconds", range(10),
                  [0, 0.2, 0.4, 0.6, 0.8, 1, 1.1])
    panel.add("10 x the slots offered", [(s, 1.1) for s in spike_s], COLOURS[1], dots=False)
    panel.add("work", work, COLOURS[0], dots=False)
    return panel


# --- make bench-scaling ---


def scaling(rates: dict[int, float]) -> Panel:
    most = max(*rates.values(), max(rates) * rates[1])
    step = 10 ** math.floor(math.log10(most))
    panel = Panel("tasks a second", "workers", [0, *rates],
                  [step * i for i in range(math.ceil(most / step) + 1)], form="g")
    panel.add("as many times the first one", [(0, 0), (max(rates), max(rates) * rates[1])], "#999",
              dots=False)
    panel.add("measured", sorted(rates.items()), COLOURS[0], joined=False)
    return panel
