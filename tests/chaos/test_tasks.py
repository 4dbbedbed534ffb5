"""Rows 1, 4 and 7 to 10 in a real Airflow, all at the same time: what takes long is the waiting."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.chaos.database import Database
from tests.chaos.downloads import DOWNLOADS
from tests.chaos.people import PEOPLE
from tests.chaos.scenarios import CRASHES
from tests.chaos.stage import PATIENCE, Stage

pytestmark = pytest.mark.chaos

#: Long ones first.
FIRST = ("a task that fails at Kling twice", "clear while deferred, regenerate", "a mapped task")
ALL = {**DOWNLOADS, **PEOPLE, **CRASHES}
SCENARIOS = {name: ALL[name] for name in (*FIRST, *ALL)}


@pytest.fixture(scope="module")
def played(stage: Stage, postgres: Database) -> Iterator[dict[str, Future[None]]]:
    """Scenarios in threads; more at once, and the scheduler falls so far behind that tasks are retried."""
    with ThreadPoolExecutor(12 if postgres.url else 5) as pool:
        yield {name: pool.submit(play, stage) for name, play in SCENARIOS.items()}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_whatever_happens_to_a_task_the_ledger_shows_what_was_meant(
    scenario: str, played: dict[str, Future[None]]
) -> None:
    played[scenario].result(timeout=4 * PATIENCE)
