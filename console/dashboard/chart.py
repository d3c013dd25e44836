"""The dashboard's chart as plain SVG shapes: no script, no inline style, no foreign host."""

from collections.abc import Sequence
from dataclasses import dataclass

from provisioning.choices import ProvisionStatus
from provisioning.selectors import HourOfAttempts

WIDTH, HEIGHT = 720, 200
LEFT, BOTTOM, TOP = 44, 24, 10
GRID_LINES = 4
LABEL_EVERY_HOURS = 4


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle for one outcome of one hour, with its tooltip."""

    outcome: ProvisionStatus
    x: float
    y: float
    width: float
    height: float
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Stacked bars, one for each hour. `ticks` are (y, number), `labels` are (x, text)."""

    bars: list[Bar]
    ticks: list[tuple[float, int]]
    labels: list[tuple[float, str]]
    totals: dict[ProvisionStatus, int]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT

    @property
    def total(self) -> int:
        return sum(self.totals.values())


def attempts_chart(hours: Sequence[HourOfAttempts]) -> Chart:
    """Return the chart of `hours`."""
    top = _round_up(max((sum(hour.counts.values()) for hour in hours), default=0))
    room = HEIGHT - TOP - BOTTOM
    step = (WIDTH - LEFT) / max(1, len(hours))
    bars = []
    for number, hour in enumerate(hours):
        base = float(HEIGHT - BOTTOM)
        for outcome, count in hour.counts.items():
            if not count:
                continue
            height = count / top * room
            base -= height
            text = f"{hour.start:%H:%M}: {count} {outcome.label.lower()}"
            bars.append(
                Bar(outcome, round(LEFT + number * step + 2, 1), round(base, 1), round(step - 4, 1), round(height, 1), text)
            )
    ticks = [(round(HEIGHT - BOTTOM - line / GRID_LINES * room, 1), top * line // GRID_LINES) for line in range(GRID_LINES + 1)]
    labels = [
        (round(LEFT + number * step + step / 2, 1), f"{hour.start:%H:%M}")
        for number, hour in enumerate(hours)
        if hour.start.hour % LABEL_EVERY_HOURS == 0
    ]
    totals = {outcome: sum(hour.counts[outcome] for hour in hours) for outcome in ProvisionStatus}
    return Chart(bars, ticks, labels, totals)


def _round_up(number: int) -> int:
    """Return the next number of 4, 8, 20, 40, 80, 200, …, so that the grid has whole numbers."""
    scale = 1
    while True:
        for factor in (4, 8, 20):
            if number <= factor * scale:
                return factor * scale
        scale *= 10
