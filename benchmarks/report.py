"""Medians of the rounds, as a table and as JSON."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from benchmarks.loads.outcome import Outcome

BASE = "pgbench"
# Ratio to pgbench in the same run: floor and goal.
TARGETS = {
    "http": (0.20, 0.35),
    "mqtt": (0.35, 0.70),
    "coap": (0.15, 0.30),
    "http_preprovisioned": (0.15, 0.30),
}


def summary(outcomes: Mapping[str, Sequence[Outcome]], lost: Mapping[str, int]) -> dict[str, dict[str, Any]]:
    """Return medians by load: rate, ratio to pgbench, latencies in ms, and what was lost, duplicated or refused in all rounds."""
    base = median(outcome.per_second for outcome in outcomes[BASE])
    result = {}
    for name, rounds in outcomes.items():
        rate = median(outcome.per_second for outcome in rounds)
        result[name] = {
            "rps": round(rate, 1),
            "ratio": round(rate / base, 3),
            "p50_ms": round(median(outcome.p50_ms for outcome in rounds), 2),
            "p99_ms": round(median(outcome.p99_ms for outcome in rounds), 2),
            "lost": lost.get(name, 0),
            "duplicated": sum(outcome.duplicated for outcome in rounds),
            "refused": sum(outcome.refused for outcome in rounds),
        }
    return result


def table(result: Mapping[str, Mapping[str, Any]]) -> str:
    """Return `result` as a Markdown table."""
    lines = [
        "| load | requests/s | ratio | floor | goal | p50 ms | p99 ms | lost | duplicated | refused |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, row in result.items():
        floor, goal = (f"{target:.2f}" for target in TARGETS[name]) if name in TARGETS else ("", "")
        lines.append(
            f"| {name} | {row['rps']:,.0f} | {row['ratio']:.3f} | {floor} | {goal} | {row['p50_ms']:.1f} | {row['p99_ms']:.1f} "
            f"| {row['lost']} | {row['duplicated']} | {row['refused']} |"
        )
    return "\n".join(lines)
