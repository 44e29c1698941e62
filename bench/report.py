"""The table and the plots of a run; standard library only."""

import math
from html import escape

HEADER = ("what", "budget", "figure", "baseline", "ratio", "")


def table(rows):
    """Columns as wide as they need to be."""
    lines = [HEADER, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADER))]
    lines.insert(1, ["-" * w for w in widths])
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(line, widths)).rstrip() for line in lines) + "\n"


OURS, OTHER, PLAIN, BUDGET = "#0b7a75", "#c8553d", "#9aa5b1", "#5c2d91"
COLOURS = [OURS, "#56b4a9", OTHER, "#e5a48f", PLAIN, "#3c4856"]
WIDTH, HEIGHT = 620, 330
LEFT, RIGHT, TOP, BOTTOM = 78, 34, 58, 52


def number(v):
    for limit, unit in ((1e6, " M"), (1e3, " k")):
        if v >= limit:
            return f"{v / limit:.3g}{unit}"
    return f"{v:.3g}"


def ticks(low, high, log):
    if log:
        return [10.0 ** e for e in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]
    step = 10 ** math.floor(math.log10(high / 4))
    step *= next(m for m in (1, 2, 5, 10) if high / (step * m) <= 6)
    return [step * i for i in range(int(high / step + 1e-9) + 1)]


class Panel:
    """One plot: a frame with two axes in its own coordinates."""

    def __init__(self, title, x_title, y_title, note=""):
        self.out, self.labels = [], []     # labels lie above everything else
        self.title, self.x_title, self.y_title, self.note = title, x_title, y_title, note

    def y_axis(self, values, log=False):
        values = [v for v in values if v > 0] or [1]
        self.log = log
        if log:
            self.low, self.high = 10 ** math.floor(math.log10(min(values) * 0.999)), 10 ** math.ceil(math.log10(max(values) * 1.3))
        else:
            self.low, self.high = 0, max(values) * 1.12
        for v in ticks(self.low, self.high, log):
            if self.low <= v <= self.high:
                y = self.y(v)
                self.line(LEFT, y, WIDTH - RIGHT, y, "#e3e7eb")
                self.text(LEFT - 8, y + 4, number(v), "end")

    def y(self, v):
        if self.log:
            part = (math.log10(max(v, self.low)) - math.log10(self.low)) / (math.log10(self.high) - math.log10(self.low))
        else:
            part = v / self.high
        return HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM)

    def x(self, part):
        return LEFT + part * (WIDTH - LEFT - RIGHT)

    def line(self, x1, y1, x2, y2, colour, extra=""):
        self.out.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" {extra}/>')

    def text(self, x, y, text, anchor="middle", extra=""):
        self.labels.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {extra}>{escape(text)}</text>')

    def bars(self, groups, colours):
        """groups: (label, values); one colour for each value, or for each group when it has one value."""
        slot = 1 / len(groups)
        for i, (label, values) in enumerate(groups):
            width = slot * 0.62 / len(values)
            for j, v in enumerate(values):
                left = self.x(i * slot + slot * 0.19 + j * width)
                w = self.x(width) - self.x(0) - 3
                colour = colours[j] if len(values) > 1 else colours[i % len(colours)]
                self.out.append(f'<rect x="{left:.1f}" y="{self.y(v):.1f}" width="{w:.1f}" height="{max(HEIGHT - BOTTOM - self.y(v), 0):.1f}" fill="{colour}"/>')
                self.text(left + w / 2, self.y(v) - 5, number(v), extra='font-weight="600"')
            for k, part in enumerate(label.split("\n")):
                self.text(self.x((i + 0.5) * slot), HEIGHT - BOTTOM + 17 + 14 * k, part)

    def curve(self, points, colour, x_max):
        path = " ".join(f"{self.x(x / x_max):.1f},{self.y(y):.1f}" for x, y in points)
        self.out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')

    def x_ticks(self, values, x_max, unit=""):
        for v in values:
            self.text(self.x(v / x_max), HEIGHT - BOTTOM + 17, number(v) + unit)

    def limit(self, v, label, left=False):
        if self.low <= v <= self.high:
            self.line(LEFT, self.y(v), WIDTH - RIGHT, self.y(v), BUDGET, 'stroke-width="1.5" stroke-dasharray="6 4"')
            self.text(*((LEFT + 4, self.y(v) - 5, label, "start") if left else (WIDTH - RIGHT - 4, self.y(v) - 5, label, "end")), f'fill="{BUDGET}"')

    def legend(self, names, colours):
        x = LEFT
        for name, colour in zip(names, colours):
            self.out.append(f'<rect x="{x}" y="{TOP - 21}" width="11" height="11" fill="{colour}"/>')
            self.text(x + 16, TOP - 11, name, "start")
            x += 30 + 6.6 * len(name)

    def svg(self):
        self.line(LEFT, TOP, LEFT, HEIGHT - BOTTOM, "#3c4856")
        self.line(LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM, "#3c4856")
        self.text(LEFT - 58, 22, self.title, "start", 'font-size="15" font-weight="700"')
        self.text(self.x(0.5), HEIGHT - 6, self.x_title)
        middle = (TOP + HEIGHT - BOTTOM) / 2
        self.text(18, middle, self.y_title, extra=f'transform="rotate(-90 18 {middle})"')
        if self.note:
            self.text(WIDTH - RIGHT, TOP - 11, self.note, "end", 'fill="#5b6670"')
        return "\n".join([*self.out, '<g paint-order="stroke" stroke="white" stroke-width="3" stroke-linejoin="round">', *self.labels, "</g>"])


def page(panels, title, subtitle):
    """All plots, two in a row, on one sheet."""
    height = 70 + (len(panels) + 1) // 2 * HEIGHT
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{2 * WIDTH}" height="{height}" viewBox="0 0 {2 * WIDTH} {height}" '
           'font-family="DejaVu Sans, Helvetica, Arial, sans-serif" font-size="12" fill="#1f2933">',
           '<rect width="100%" height="100%" fill="white"/>',
           f'<text x="20" y="32" font-size="20" font-weight="700">{escape(title)}</text>',
           f'<text x="20" y="54" fill="#5b6670">{escape(subtitle)}</text>']
    for i, panel in enumerate(panels):
        out.append(f'<g transform="translate({i % 2 * WIDTH} {70 + i // 2 * HEIGHT})">{panel.svg()}</g>')
    return "\n".join([*out, "</svg>\n"])


def bar_panel(title, y_title, groups, colours, log=False, limit=None, names=(), x_title="", note=""):
    panel = Panel(title, x_title, y_title, note)
    panel.y_axis([v for _, values in groups for v in values] + ([limit[0]] if limit else []), log)
    panel.bars(groups, colours)
    if limit:
        panel.limit(*limit)
    panel.legend(names, colours)
    return panel


def curve_panel(title, x_title, y_title, curves, colours, x_max, x_values, limit=None, x_unit=""):
    """curves: name -> points"""
    panel = Panel(title, x_title, y_title)
    panel.y_axis([y for points in curves.values() for _, y in points] + ([limit[0]] if limit else []))
    for points, colour in zip(curves.values(), colours):
        panel.curve(points, colour, x_max)
    panel.x_ticks(x_values, x_max, x_unit)
    if limit:
        panel.limit(*limit)
    panel.legend(curves, colours)
    return panel
