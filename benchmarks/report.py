"""What a benchmark hands back, and how all of it is shown: a table, ``results.json``, the README's block.

A further benchmark is a module in this folder with ``run(quick: bool) -> list[Row]``; see ``__main__``.
"""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).resolve().parent / "results.json"
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"

COLUMNS = ("figure", "bound", "ours", "peer", "ours / peer", "target", "met")


@dataclass(frozen=True)
class Row:
    """One figure.

    :param figure: what was measured.
    :param ours: this package.
    :param peer: what would be used instead; ``None``: there is none.
    :param unit: of ``ours``, ``peer`` and ``bound``.
    :param bound: what no program can do better than; ``None``: nothing to say.
    :param target: in words; "" for a figure that is only told.
    :param met: whether the target was met; ``None`` without one.
    :param detail: what the figure was made from, for ``results.json``: single runs, other units.
    :param places: digits after the point.
    """

    figure: str
    ours: float
    peer: float | None = None
    unit: str = ""
    bound: float | None = None
    target: str = ""
    met: bool | None = None
    detail: dict[str, Any] = field(default_factory=dict)
    places: int = 0

    @property
    def number(self) -> float:
        """By which rows are ordered: what their name begins with; the others come last."""
        first = self.figure.partition(".")[0]
        return int(first) if first.isdecimal() else math.inf

    def cells(self) -> list[str]:
        """As shown in the table."""
        said = {True: "yes", False: "**no**", None: ""}
        return [
            self.figure,
            self._number(self.bound),
            self._number(self.ours),
            self._number(self.peer),
            ratio(self.ours, self.peer),
            self.target,
            said[self.met],
        ]

    def _number(self, value: float | None) -> str:
        return "" if value is None else f"{value:,.{self.places}f} {self.unit}".strip()


def ratio(ours: float, peer: float | None) -> str:
    """``1/120`` or ``1.35``."""
    if peer is None:
        return ""
    if ours <= 0 or peer <= 0:
        return "0" if not ours and peer > 0 else "-"
    share = ours / peer
    return f"1/{1 / share:.0f}" if share < 0.2 else f"{share:.2f}"


def machine() -> dict[str, Any]:
    """What it ran on."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": round(pages / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "airflow": version("apache-airflow"),
        "providers_http": version("apache-airflow-providers-http"),
    }


def table(rows: Sequence[Row]) -> str:
    """Markdown that reads well on a terminal too."""
    cells = [list(COLUMNS), *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(COLUMNS))]

    def line(values: Iterable[str]) -> str:
        return (
            "| " + " | ".join(value.ljust(width) for value, width in zip(values, widths, strict=True)) + " |"
        )

    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([line(cells[0]), rule, *(line(values) for values in cells[1:])])


def caption(where: dict[str, Any], seconds: float) -> str:
    """Under the table."""
    return (
        f"{where['cores']} cores, {where['memory_gb']} GB, {where['system']}, Python {where['python']}, "
        f"Airflow {where['airflow']}, apache-airflow-providers-http {where['providers_http']}; all of it in "
        f"{seconds / 60:.0f} minutes."
    )


def write(
    rows: Sequence[Row], seconds: float, *, results: Path = RESULTS, readme: Path | None = None
) -> None:
    """Keep the figures; fill in the README's block if there is one."""
    where = machine()
    kept = {"machine": where, "seconds": round(seconds), "rows": [row.__dict__ for row in rows]}
    results.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    if readme is None:
        return
    text = readme.read_text()
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if begin and end:
        readme.write_text(f"{head}{BEGIN}\n{table(rows)}\n\n{caption(where, seconds)}\n{END}{tail}")
