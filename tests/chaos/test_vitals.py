"""Rows 5 and 6: triggerer, scheduler and database of a real Airflow are crashed, one after the other."""

from __future__ import annotations

import signal
import time

import pytest

from demo.airflow_api import Run
from demo.processes import wait_for
from tests.chaos.database import Database
from tests.chaos.report import Measured
from tests.chaos.stage import MORE_HASTE, PATIENCE, Stage

pytestmark = pytest.mark.chaos

#: Seconds for which the issue wants a triggerer frozen, and the database away.
FROZEN, AWAY = 45, 10


@pytest.fixture(autouse=True)
def in_haste(stage: Stage) -> None:
    """What is started from now on takes a dead neighbour for dead after 10 s."""
    stage.airflow.environment.update(MORE_HASTE)


def deferred(stage: Stage, *seconds: float) -> list[Run]:
    """Runs whose task waits in a triggerer, for videos that take so long."""
    runs = [stage.start("waits_deferred", {"seconds": each}) for each in seconds]
    for run in runs:
        held(stage, run)
    return runs


def held(stage: Stage, run: Run) -> int:
    """Wait until some triggerer has a run's trigger; which one."""

    def triggerer() -> int | None:
        trigger = stage.until(run, "deferred").raw["trigger"]
        return trigger and trigger["triggerer_id"]

    return wait_for(triggerer, f"a triggerer to take {run.run_id}", PATIENCE)


def plain(stage: Stage, *seconds: float) -> list[Run]:
    """Runs whose task waits on a worker, its video bought."""
    runs = [stage.start("waits_plain", {"seconds": each}) for each in seconds]
    for run in runs:
        wait_for(lambda run=run: bought(stage, run), f"{run.run_id} to buy", PATIENCE)  # type: ignore[misc]
    return runs


def bought(stage: Stage, run: Run) -> bool:
    return any(run.run_id in create["prompt"] for create in stage.creates(run.dag_id))


def one_video_each(stage: Stage, row: str, runs: list[Run]) -> list[Measured]:
    """All runs come to their end, with one video each."""
    for run in runs:
        stage.until(run, "success")
    measured = [stage.measure(run) for run in runs]
    assert {(m.accepted, m.charged, m.delivered) for m in measured} == {(1, 1, True)}
    stage.report.add(row, *measured)
    return measured


@pytest.mark.parametrize(("row", "number"), [("5.killed", signal.SIGKILL), ("5.terminated", signal.SIGTERM)])
def test_a_triggerer_that_dies_leaves_its_waits_to_the_next_one(stage: Stage, row: str, number: int) -> None:
    runs = deferred(stage, 8, 12, 16)
    stage.airflow.restart("triggerer", number)
    one_video_each(stage, row, runs)
    tries = [stage.airflow.task_instance(run, "make").try_number for run in runs]
    assert tries == [1, 1, 1], "no retry was needed"


def test_two_triggerers_share_the_waits_and_one_takes_over_from_the_other(stage: Stage) -> None:
    stage.airflow.start_component("triggerer", "triggerer-2")
    runs: list[Run] = []
    holders: set[int] = set()
    # Which of the two takes a trigger is chance; twelve in a row by the same one is not.
    while len(runs) < 4 or (len(holders) < 2 and len(runs) < 12):
        runs += deferred(stage, 15)
        holders.add(held(stage, runs[-1]))
    stage.airflow.kill("triggerer", signal.SIGKILL)
    one_video_each(stage, "5.two", runs[:4])
    for run in runs[4:]:
        stage.until(run, "success")
    stage.airflow.start_component("triggerer")
    stage.airflow.kill("triggerer-2", signal.SIGTERM)


def test_a_triggerer_that_wakes_after_another_took_over_does_no_harm(stage: Stage) -> None:
    stage.airflow.wait_healthy()
    early, late = deferred(stage, 25, FROZEN + 10)
    first = held(stage, late)
    stage.airflow.start_component("triggerer", "triggerer-2")
    stage.airflow.kill("triggerer", signal.SIGSTOP)
    frozen_at = time.monotonic()
    stage.until(early, "success", timeout=FROZEN)
    wait_for(lambda: held(stage, late) != first, "the other triggerer to take over", FROZEN)
    time.sleep(max(0.0, frozen_at + FROZEN - time.monotonic()))
    assert stage.until(late, "deferred"), "it is still under way when the first one wakes"
    stage.airflow.kill("triggerer", signal.SIGCONT)
    one_video_each(stage, "5.frozen", [early, late])
    assert stage.airflow.task_instance(late, "make").try_number == 1
    stage.airflow.kill("triggerer-2", signal.SIGTERM)


def test_the_zombies_of_a_dead_scheduler_and_their_successors_share_one_video(stage: Stage) -> None:
    # The second one's create is still on its way when its successor buys, and arrives after that.
    waiting = plain(stage, 30)
    stage.plan("waits_plain", "delay", accepted=False, seconds=28)
    on_its_way = stage.start("waits_plain", {"seconds": 5})
    stage.until_struck("waits_plain")
    # The main process only: its workers go on.
    stage.airflow.running["scheduler"].signal(signal.SIGKILL)
    stage.airflow.running["scheduler"].reap()
    stage.airflow.start_component("scheduler")
    for run in (*waiting, on_its_way):
        stage.until(run, "success", tries=2)
    arrived = f"the late create of {on_its_way.run_id}"
    wait_for(lambda: stage.measure(on_its_way).sent == 2, arrived, PATIENCE)
    one_video_each(stage, "6.scheduler", [*waiting, on_its_way])
    assert stage.kling.ledger()["refused"].get("1201"), "Kling refused the one that came late"


def test_a_machine_that_dies_with_its_workers_costs_nothing_more(stage: Stage) -> None:
    runs = plain(stage, 20, 25)
    stage.airflow.restart("scheduler", signal.SIGKILL)
    for run in runs:
        stage.until(run, "success", tries=2)
    one_video_each(stage, "6.machine", runs)


def test_a_database_that_is_away_for_ten_seconds_costs_nothing_more(stage: Stage, postgres: Database) -> None:
    if postgres.gate is None:
        stage.report.skip("6.database", postgres.why_not)
        pytest.skip(postgres.why_not)
    stage.airflow.wait_healthy()
    runs = [*plain(stage, 25), *deferred(stage, 20, 25)]
    # One more gets the answer to its create while nobody can write down what it says.
    stage.plan("waits_plain", "delay", accepted=True, seconds=4)
    runs.append(stage.start("waits_plain", {"seconds": 10}))
    stage.until_struck("waits_plain")
    with stage.service_manager() as restarted:
        postgres.gate.shut()
        time.sleep(AWAY)
        postgres.gate.open()
        one_video_each(stage, "6.database", runs)
    # Not in the table: which of them give up in ten seconds is chance.
    stage.report.notes["ended with the database, and started again"] = ", ".join(sorted(restarted)) or "none"
