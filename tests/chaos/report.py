"""What the rows came to: collected in the run, printed, written to ``docs/chaos.md`` and the README."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.rows import ROWS

ROOT = Path(__file__).resolve().parents[2]
#: Each process that runs some of the rows leaves a file here.
RESULTS = ROOT / ".chaos"
DOCUMENT = ROOT / "docs" / "chaos.md"
TEMPLATE = Path(__file__).with_name("chaos.md.in")
README = ROOT / "README.md"
BEGIN, END = "<!-- chaos:begin -->", "<!-- chaos:end -->"
TABLE_BEGIN, TABLE_END = "<!-- table:begin -->", "<!-- table:end -->"

HEAD = ("row", "what crashes", "how", "cases", "creates sent", "creates accepted", "charges", "delivered")
PEER = "`HttpOperator`: creates accepted"
BRIEF_HEAD = ("what happens", "creates accepted", "charged", "video delivered", PEER)
#: Columns of which the committed table and a run must agree. How often a create is *sent* hangs on timing.
COMPARED = (3, 5, 6, 7, 8)


@dataclass(frozen=True)
class Measured:
    """What the ledger says of one case."""

    sent: int
    accepted: int
    charged: int
    delivered: bool


@dataclass
class Report:
    """All measurements of a run. Safe to use from many threads."""

    cases: dict[str, list[Measured]] = field(default_factory=dict)
    peer: dict[str, list[Measured]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, row: str, *measured: Measured) -> None:
        """Note cases of a row."""
        self._append(self.cases, row, measured)

    def add_peer(self, row: str, *measured: Measured) -> None:
        """Note the same row of a plain ``HttpOperator``."""
        self._append(self.peer, row, measured)

    def skip(self, row: str, why: str) -> None:
        """Note that a row could not be run here."""
        if row not in ROWS:
            raise ValueError(f"no row {row!r}")
        self.skipped[row] = why

    def _append(self, to: dict[str, list[Measured]], row: str, measured: Iterable[Measured]) -> None:
        if row not in ROWS:
            raise ValueError(f"no row {row!r}")
        with self._lock:
            to.setdefault(row, []).extend(measured)

    def save(self) -> None:
        """Write it down for :meth:`load`."""
        parts = {"cases": self.cases, "peer": self.peer}
        values: dict[str, Any] = {
            name: {row: [asdict(m) for m in ms] for row, ms in part.items()} for name, part in parts.items()
        }
        RESULTS.mkdir(exist_ok=True)
        text = json.dumps({**values, "skipped": self.skipped, "notes": self.notes}, indent=1)
        (RESULTS / f"{os.getpid()}.json").write_text(text)

    @classmethod
    def load(cls) -> Report:
        """What all processes of a run have saved."""
        found = cls()
        for path in sorted(RESULTS.glob("*.json")):
            values = json.loads(path.read_text())
            for part, to in (("cases", found.cases), ("peer", found.peer)):
                for row, measured in values[part].items():
                    found._append(to, row, [Measured(**m) for m in measured])
            found.skipped |= values["skipped"]
            found.notes |= values["notes"]
        return found

    def lines(self) -> list[tuple[str, ...]]:
        """The table, a tuple of cells for each row."""
        found = []
        for name, row in ROWS.items():
            cases, why = self.cases.get(name, []), self.skipped.get(name)
            if why:
                counts: tuple[str, ...] = (f"skipped: {why}", "", "", "", "")
            elif not cases:
                counts = ("not run", "", "", "", "")
            else:
                counts = (
                    str(len(cases)),
                    _span(m.sent for m in cases),
                    _span(m.accepted for m in cases),
                    _span(m.charged for m in cases),
                    _delivered(cases),
                )
            peer = _span(m.accepted for m in self.peer.get(name, []))
            found.append((name, row.crash, row.how, *counts, peer))
        return found

    def table(self) -> str:
        """The whole table as Markdown."""
        return _markdown((*HEAD, PEER), self.lines())

    def brief(self) -> str:
        """The README's: what happens to the money, in the rows that matter to a reader."""
        lines = []
        for name, crash, how, _, _, accepted, charges, delivered, peer in self.lines():
            # What stands behind the semicolon is said of the outcome, not of the method.
            _, _, remark = how.partition("; ")
            if ROWS[name].brief and accepted:
                lines.append((f"{crash} ({remark})" if remark else crash, accepted, charges, delivered, peer))
        return _markdown(BRIEF_HEAD, lines)


def _span(values: Iterable[int]) -> str:
    found = sorted(set(values))
    if not found:
        return ""
    return str(found[0]) if len(found) == 1 else f"{found[0]} to {found[-1]}"


def _delivered(cases: Iterable[Measured]) -> str:
    found = [m.delivered for m in cases]
    if all(found):
        return "yes"
    return f"{sum(found)} of {len(found)}" if any(found) else "no"


def _markdown(head: tuple[str, ...], lines: Iterable[tuple[str, ...]]) -> str:
    rows = [head, tuple("---" for _ in head), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def between(text: str, begin: str, end: str) -> str | None:
    """What stands between two markers; ``None`` if they are not there."""
    found = re.search(f"{re.escape(begin)}\n(.*?)\n?{re.escape(end)}", text, re.DOTALL)
    return found[1] if found else None


def differences(committed: str, run: Report) -> list[str]:
    """Where the committed document and this run disagree. Rows that were skipped here don't count."""
    table = between(committed, TABLE_BEGIN, TABLE_END) or ""
    old = {}
    for line in table.splitlines()[2:]:
        cells = [cell.strip() for cell in line.strip("| ").split(" | ")]
        cells += [""] * (len(HEAD) + 1 - len(cells))
        old[cells[0]] = cells
    found = []
    for new in run.lines():
        name = new[0]
        if name in run.skipped:
            continue
        before = [old[name][n].strip(" |") for n in COMPARED] if name in old else None
        now = [new[n] for n in COMPARED]
        if before != now:
            found.append(f"{name}: committed {before}, this run {now}")
    found += [f"{name}: in the document, and no row of this suite" for name in old.keys() - ROWS.keys()]
    return found


def _replaced(text: str, begin: str, end: str, inner: str) -> str:
    before, _, rest = text.partition(begin)
    return f"{before}{begin}\n{inner}\n{end}{rest.partition(end)[2]}"


def document(run: Report, notes: Mapping[str, str]) -> str:
    """``docs/chaos.md``."""
    text = TEMPLATE.read_text()
    for name, value in notes.items():
        text = text.replace(f"@{name}@", value)
    return _replaced(text, TABLE_BEGIN, TABLE_END, run.table())


def publish(run: Report, *, check: bool) -> int:
    """Print the table; write it, or compare with what is committed.

    :return: exit code: 1 if counts differ, or rows are missing.
    """
    print(run.table())
    for name, note in run.notes.items():
        print(f"{name}: {note}")
    if check:
        wrong = differences(DOCUMENT.read_text() if DOCUMENT.exists() else "", run)
        for line in wrong:
            print(f"docs/chaos.md disagrees with this run ({line})")
        return 1 if wrong else 0
    unfinished = [name for name in ROWS if name not in run.cases]
    if unfinished:
        print(f"nothing written, rows are missing: {', '.join(unfinished)}")
        return 1
    DOCUMENT.parent.mkdir(exist_ok=True)
    DOCUMENT.write_text(document(run, run.notes))
    readme = README.read_text()
    if between(readme, BEGIN, END) is not None:
        README.write_text(_replaced(readme, BEGIN, END, run.brief()))
    return 0
