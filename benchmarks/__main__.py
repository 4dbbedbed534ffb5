"""``make bench``: all figures, in one table. ``--quick`` shows whether it runs.

A benchmark is a module in this folder with ``run(quick: bool) -> list[Row]`` (see :mod:`benchmarks.report`).
Those of :data:`FIGURES` come first, then whatever else is there.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import signal
import sys
import time
from types import FrameType, ModuleType

import benchmarks
from benchmarks.report import ROOT, Row, caption, machine, table, write

#: In the order in which they are measured: what is short first.
FIGURES = ("parsing", "worker_path", "landing", "questions", "full_account")


def modules(only: list[str]) -> list[ModuleType]:
    """Those that measure something."""
    names = [
        name for name in (item.name for item in pkgutil.iter_modules(benchmarks.__path__)) if name[0] != "_"
    ]
    further = sorted(set(names) - set(FIGURES))
    chosen = [name for name in (*FIGURES, *further) if not only or name in only]
    found = [importlib.import_module(f"benchmarks.{name}") for name in chosen]
    return [module for module in found if hasattr(module, "run")]


def _stop(number: int, _frame: FrameType | None) -> None:
    # As an exception, so that whoever has started processes ends them.
    raise SystemExit(128 + number)


def main() -> int:
    """Exit code: 0 if all was measured, whether or not targets were met."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, nothing is kept")
    parser.add_argument("--only", action="append", default=[], help="one module; nothing is kept")
    asked = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    started = time.monotonic()
    rows: list[Row] = []
    for module in modules(asked.only):
        print(f"{module.__name__} ... ({time.monotonic() - started:.0f} s)", flush=True)
        rows += module.run(asked.quick)
    rows.sort(key=lambda row: row.number)
    seconds = time.monotonic() - started
    print(f"\n{table(rows)}\n\n{caption(machine(), seconds)}", flush=True)
    if not (asked.quick or asked.only):
        write(rows, seconds, readme=ROOT / "README.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
