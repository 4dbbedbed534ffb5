"""Row 7 in a real Airflow: what people do to a task. Each function is one row."""

from __future__ import annotations

from demo.airflow_api import Run
from tests.chaos.stage import Scenario, Stage

#: Items of the mapped task that crash, as the DAG has them.
CRASHING_ITEMS = (1, 5, 9, 13, 17)

#: What the trigger's ``on_kill`` says.
GOES_ON = "Kling has no way to cancel: task"


def ended_and_cleared(stage: Stage, run: Run, state: str) -> None:
    """Clear a task of a run that has ended: in the moment before, Airflow itself may lose the clear."""
    stage.until(run, state)
    stage.airflow.wait_for_run(run)
    stage.airflow.clear(run, "make")


def retry(stage: Stage) -> None:
    """The wait gives up before the video is done, as often as it takes; the peer's answer is refused once."""
    run = stage.start("retry")
    peer = stage.start("http_retry")
    stage.until(run, "success", tries=2)
    stage.until_log(run, "Bought: task", "still being made")
    stage.until_log(run, "Adopted: task", "from try 1, nothing bought.")
    measured = stage.measure(run)
    assert (measured.sent, measured.accepted, measured.delivered) == (1, 1, True)
    stage.report.add("7.retry", measured)
    stage.until(peer, "success", tries=2)
    stage.report.add_peer("7.retry", stage.measure(peer, charged=2, delivered=True))


def clear_succeeded_reuse(stage: Stage) -> None:
    """A cleared task gets its video again; the peer's is bought again."""
    run, peer = stage.start("clear_succeeded_reuse"), stage.start("http_clear_succeeded")
    for each in (run, peer):
        ended_and_cleared(stage, each, "success")
    for each in (run, peer):
        stage.until(each, "success", tries=2)
    stage.until_log(run, "Adopted: task", "from try 1, nothing bought.", "on_clear='regenerate'")
    _one(stage, "7.clear_succeeded.reuse", run)
    stage.report.add_peer("7.clear_succeeded.reuse", stage.measure(peer, charged=2, delivered=True))


def clear_succeeded_regenerate(stage: Stage) -> None:
    """Two on purpose."""
    run = stage.start("clear_succeeded_regenerate")
    ended_and_cleared(stage, run, "success")
    stage.until(run, "success", tries=2)
    stage.until_log(run, "New take after clear: bought task", "was billed too.")
    _two(stage, "7.clear_succeeded.regenerate", run)


def clear_failed_reuse(stage: Stage) -> None:
    """It failed by a crash right after its create was answered, and has no retries."""
    run = stage.start("clear_failed_reuse")
    ended_and_cleared(stage, run, "failed")
    stage.until(run, "success", tries=2)
    stage.until_log(run, "Adopted: task", "from an earlier try, nothing bought.")
    _one(stage, "7.clear_failed.reuse", run)


def clear_failed_regenerate(stage: Stage) -> None:
    """Two on purpose."""
    run = stage.start("clear_failed_regenerate")
    ended_and_cleared(stage, run, "failed")
    stage.until(run, "success", tries=2)
    stage.until_log(run, "New take after clear: bought task")
    _two(stage, "7.clear_failed.regenerate", run)


def clear_deferred_reuse(stage: Stage) -> None:
    """The old trigger and the new one are there at the same time."""
    run = stage.start("clear_deferred_reuse")
    stage.until(run, "deferred")
    stage.airflow.clear(run, "make")
    stage.until(run, "success", tries=2)
    stage.until_log(run, "Adopted: task", "from try 1, nothing bought.")
    _one(stage, "7.clear_deferred.reuse", run)


def clear_deferred_regenerate(stage: Stage) -> None:
    """Two on purpose; the log says that the first one goes on."""
    run = stage.start("clear_deferred_regenerate")
    stage.until(run, "deferred")
    (first,) = stage.creates("clear_deferred_regenerate")
    stage.airflow.clear(run, "make")
    stage.until(run, "success", tries=2)
    stage.until_log(
        run, "New take after clear: bought task", f"; task {first['task_id']} goes on and is billed."
    )
    _two(stage, "7.clear_deferred.regenerate", run)


def new_take(stage: Stage) -> None:
    """The take is a Variable, which somebody changes before the clear."""
    path = "/variables/chaos_take"
    stage.airflow.call("POST", "/variables", json={"key": "chaos_take", "value": "1"})
    run = stage.start("new_take")
    stage.until(run, "success")
    stage.airflow.wait_for_run(run)
    stage.airflow.call("PATCH", path, json={"key": "chaos_take", "value": "2"})
    stage.airflow.clear(run, "make")
    stage.until(run, "success", tries=2)
    stage.until_log(run, "Bought: task")
    _two(stage, "7.new_take", run)


def marked(state: str) -> Scenario:
    """Somebody gives up on a task that waits, and later clears it."""

    def play(stage: Stage) -> None:
        run = stage.start(f"mark_{state}")
        stage.until(run, "deferred")
        # Until the triggerer has it, there is nothing to tell of the marking.
        (create,) = stage.creates(run.dag_id)
        stage.until_log(run, ": processing")
        stage.airflow.set_state(run, "make", state)
        stage.until(run, state)
        stage.until_log(run, f"{GOES_ON} {create['task_id']}", "will be billed")
        stage.airflow.wait_for_run(run)
        stage.airflow.clear(run, "make")
        stage.until(run, "success", tries=2)
        stage.until_log(run, "Adopted: task", "from try 1, nothing bought.")
        _one(stage, f"7.mark_{state}", run)

    return play


def made_again(stage: Stage) -> None:
    """Nothing is left in Airflow of the first run."""
    run = stage.start("made_again", run_id="made-twice")
    stage.until(run, "success")
    stage.airflow.wait_for_run(run)
    stage.airflow.call("DELETE", run.path)
    stage.start("made_again", run_id="made-twice")
    stage.airflow.wait_for_run(run)
    stage.until(run, "success")
    stage.until_log(run, "Adopted: task", "from an earlier run of the same name, nothing bought.")
    measured = stage.measure(run)
    # The first try of a run that looks new just orders; it is Kling that says no.
    assert (measured.sent, measured.accepted, measured.delivered) == (2, 1, True)
    stage.report.add("7.made_again", measured)


def mapped(stage: Stage) -> None:
    """One video for each item."""
    run = stage.start("mapped")
    for item in range(20):
        stage.until(run, "success", map_index=item)
    for item in range(20):
        delivered = stage.delivered(run, map_index=item)
        measured = stage.measure(run, words=f"item {item} ", delivered=delivered)
        assert (measured.sent, measured.accepted, measured.delivered) == (1, 1, True)
        stage.report.add("7.mapped", measured)
    for item in CRASHING_ITEMS:
        stage.until(run, "success", map_index=item, tries=2)


def _one(stage: Stage, row: str, run: Run) -> None:
    measured = stage.measure(run)
    assert (measured.sent, measured.accepted, measured.delivered) == (1, 1, True)
    stage.report.add(row, measured)


def _two(stage: Stage, row: str, run: Run) -> None:
    measured = stage.measure(run, charged=2)
    assert (measured.sent, measured.accepted, measured.delivered) == (2, 2, True)
    stage.report.add(row, measured)


PEOPLE: dict[str, Scenario] = {
    "retry": retry,
    "clear of a succeeded task, reuse": clear_succeeded_reuse,
    "clear of a succeeded task, regenerate": clear_succeeded_regenerate,
    "clear of a failed task, reuse": clear_failed_reuse,
    "clear of a failed task, regenerate": clear_failed_regenerate,
    "clear while deferred, reuse": clear_deferred_reuse,
    "clear while deferred, regenerate": clear_deferred_regenerate,
    "another take": new_take,
    "marked failed while deferred": marked("failed"),
    "marked success while deferred": marked("success"),
    "a run made again": made_again,
    "a mapped task": mapped,
}
