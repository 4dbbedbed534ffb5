"""The benchmarks of waiting, at a small size: what is counted, never what is timed."""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path

import pytest

pytest.importorskip("airflow.providers.http", reason="what is compared with is not installed")
if tuple(map(int, version("apache-airflow").split(".")[:2])) < (3, 3):
    pytest.skip("a triggerer without a database needs Airflow 3.3", allow_module_level=True)
if not hasattr(os, "fork"):
    pytest.skip("the triggerer forks", allow_module_level=True)

from benchmarks import questions, report

COUNT = 50


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, int], questions.Outcome]:
    size = questions.Size(waiting=(COUNT,), runs=1, over=6.0, interval=1.0)
    return questions.one_run(size, 0, tmp_path_factory.mktemp("bench") / "run")


def test_every_event_arrives_on_both_sides(run: dict[tuple[str, int], questions.Outcome]) -> None:
    for side in ("ours", "peer", "idle"):
        outcome = run[side, COUNT]
        assert (outcome.missing, outcome.failed) == (0, {})
        assert len(outcome.late) == COUNT


def test_fifty_that_wait_ask_a_tenth_of_what_the_peer_asks(
    run: dict[tuple[str, int], questions.Outcome],
) -> None:
    ours, peer = run["ours", COUNT], run["peer", COUNT]
    # Each of the peer's triggers looks at least once in vain, and once to see the end.
    assert peer.requests >= 2 * COUNT
    assert 0 < ours.requests <= peer.requests / 10


def test_the_figures_become_a_table_and_the_readme_s_block(
    run: dict[tuple[str, int], questions.Outcome], tmp_path: Path
) -> None:
    rows = questions.rows(questions.Size(waiting=(COUNT,), over=6.0, interval=1.0), [run])
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    report.write(rows, 60.0, results=tmp_path / "results.json", readme=readme)
    text = readme.read_text()
    assert text.startswith(f"before\n{report.BEGIN}\n| figure ")
    assert text.endswith(f"{report.END}\nafter\n")
    assert "old" not in text
    assert all(f"| {row.figure}" in text for row in rows)
