"""The picture of `make bench-overload`: two panels as SVG, written by hand."""

WIDTH, HEIGHT = 860, 330
LEFT, TOP, PANEL_WIDTH, PANEL_HEIGHT, GAP = 60, 40, 330, 230, 90
INK, GRID = "#333", "#ddd"
COLOURS = ("#1f6fb2", "#c2571a", "#3a8f3a", "#7d4aa8")

Points = list[tuple[float, float]]


class Panel:
    """Axes, and series drawn into them. `x` and `y`: the values that have a line and a number; the
    x axis is by their order if `ordered`, so that 0.5 to 20 has equal steps."""

    def __init__(self, left: float, title: str, x_name: str, x: list[float], y: list[float],
                 ordered: bool = False) -> None:
        self.left, self.x, self.y, self.ordered = left, x, y, ordered
        self.parts = [text(left + PANEL_WIDTH / 2, TOP - 14, title, "middle", 14)]
        for value in y:
            self.parts.append(line(left, self.at_y(value), left + PANEL_WIDTH, self.at_y(value)))
            self.parts.append(text(left - 8, self.at_y(value) + 4, f"{value:.0%}", "end"))
        for value in x:
            self.parts.append(line(self.at_x(value), TOP, self.at_x(value), TOP + PANEL_HEIGHT))
            self.parts.append(
                text(self.at_x(value), TOP + PANEL_HEIGHT + 18, f"{value:g}", "middle"))
        self.parts.append(
            text(left + PANEL_WIDTH / 2, TOP + PANEL_HEIGHT + 38, x_name, "middle"))
        self.keys = 0

    def at_x(self, value: float) -> float:
        if self.ordered:
            part = self.x.index(value) / (len(self.x) - 1)
        else:
            part = (value - self.x[0]) / (self.x[-1] - self.x[0])
        return self.left + part * PANEL_WIDTH

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
        x = self.left + PANEL_WIDTH - 14
        self.parts.append(f'<circle cx="{x}" cy="{y - 4}" r="4" fill="{colour}"/>')
        self.parts.append(text(x - 10, y, name, "end"))
        self.keys += 1


def text(x: float, y: float, words: str, anchor: str, size: int = 12) -> str:
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" '
            f'fill="{INK}">{words}</text>')


def line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{GRID}"/>'


def draw(goodputs: dict[float, float], waiting: dict[float, float],
         refusals: dict[str, Points], formula: Points) -> str:
    steps = [0.5, 1, 2, 5, 10, 20]
    good = Panel(LEFT, "goodput, part of the ceiling", "offered load, times the ceiling", steps,
                 [0, 0.2, 0.4, 0.6, 0.8, 1, 1.1], ordered=True)
    good.add("calls that arrive, with a deadline", sorted(goodputs.items()), COLOURS[1])
    good.add("callers that wait", sorted(waiting.items()), COLOURS[0])
    refused = Panel(LEFT + PANEL_WIDTH + GAP, "refused, without a retry",
                    "offered load, Erlang on 32 slots", [16, 24, 32, 40, 48, 56, 64, 72],
                    [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    refused.add("Erlang B", formula, "#999", dots=False)
    for colour, (name, points) in zip(COLOURS, refusals.items()):
        shown = [(x, y) for x, y in points if 16 <= x <= 72]
        refused.add(name, shown, colour, joined=False)
    body = "\n".join(good.parts + refused.parts)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
            f'font-family="sans-serif">\n<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>\n'
            f"{body}\n</svg>\n")
