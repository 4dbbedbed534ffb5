"""Rows 1, 4, 8 and 9 in a real Airflow: crashes. Each function is one row; all are played at once."""

from __future__ import annotations

from tests.chaos.stage import Scenario, Stage


def lost_answer(stage: Stage) -> None:
    """Row 1, in a real task; the peer beside it."""
    for way in ("plain", "deferred"):
        dag_id = f"lost_answer_{way}"
        stage.plan(dag_id, "drop", accepted=True)
        run = stage.start(dag_id)
        stage.until(run, "success")
        measured = stage.measure(run)
        assert (measured.accepted, measured.delivered) == (1, True)
        stage.report.add("1.lost_answer", measured)
    stage.plan("http_lost_answer", "drop", accepted=True)
    run = stage.start("http_lost_answer")
    stage.until(run, "success", tries=2)
    stage.report.add_peer("1.lost_answer", stage.measure(run, charged=2, delivered=True))


def killed_at_its_create(row: str, dag_id: str, *, accepted: bool) -> Scenario:
    """Row 4: the worker hangs in its create and is killed there."""

    def play(stage: Stage) -> None:
        stage.plan(dag_id, "hang", accepted=accepted)
        run = stage.start(dag_id)
        stage.until_struck(dag_id)
        assert len(stage.creates(dag_id)) == accepted
        stage.kill_task(run)
        stage.until(run, "success", tries=2)
        measured = stage.measure(run)
        assert (measured.accepted, measured.delivered) == (1, True)
        if accepted:
            # It was the first try's create that was not recorded anywhere.
            stage.until_log(run, "Adopted: task", "from an earlier try, nothing bought")
        else:
            stage.until_log(run, "Bought: task", "(external id af-", "1.5 units estimated).")
        stage.report.add(row, measured)

    return play


def peer_before_answer(stage: Stage) -> None:
    """Row 4 of the peer."""
    stage.plan("http_before_answer", "hang", accepted=True)
    run = stage.start("http_before_answer")
    stage.until_struck("http_before_answer")
    stage.kill_task(run)
    stage.until(run, "success", tries=2)
    stage.report.add_peer("4.before_answer", stage.measure(run, charged=2, delivered=True))


def kills_itself(row: str, dag_id: str, *, found: str) -> Scenario:
    """Row 4: the process kills itself at a point that is inside of it."""

    def play(stage: Stage) -> None:
        run = stage.start(dag_id)
        stage.until(run, "success", tries=2)
        measured = stage.measure(run)
        assert (measured.sent, measured.accepted, measured.delivered) == (1, 1, True)
        stage.until_log(run, f"from {found}, nothing bought.")
        stage.report.add(row, measured)

    return play


def deferral_stored(stage: Stage) -> None:
    """Row 4: by then Airflow has what it needs, and whether it tries again or not is its own affair."""
    run = stage.start("deferral_stored")
    stage.until(run, "success")
    measured = stage.measure(run)
    assert (measured.sent, measured.accepted, measured.delivered) == (1, 1, True)
    stage.report.add("4.deferral_stored", measured)


def while_waiting(stage: Stage) -> None:
    """Row 4: killed between two looks."""
    run = stage.start("while_waiting")
    stage.until_log(run, ": processing")
    stage.kill_task(run)
    stage.until(run, "success", tries=2)
    stage.until_log(run, "from try 1, nothing bought.")
    stage.report.add("4.while_waiting", stage.measure(run))


def sensor(stage: Stage) -> None:
    """Row 4: submitted by one task, waited for by another, which is killed."""
    run = stage.start("sensor")
    stage.kill_task(run, task_id="wait")
    stage.until(run, "success", task_id="wait", tries=2)
    measured = stage.measure(run, delivered=stage.delivered(run, "wait"))
    assert (measured.sent, measured.accepted, measured.delivered) == (1, 1, True)
    stage.report.add("4.sensor", measured)


def fails_twice(stage: Stage) -> None:
    """Row 8."""
    runs = [stage.start(f"fails_twice_{way}") for way in ("plain", "deferred")]
    for run in runs:
        stage.until(run, "success", tries=3)
        measured = stage.measure(run, charged=1)
        assert (measured.sent, measured.accepted, measured.delivered) == (3, 3, True)
        stage.until_log(run, "failed at Kling and was not charged", "Bought: task")
        stage.report.add("8.airflow", measured)


def relay_retry(stage: Stage) -> None:
    """Row 9: nothing but the task state store knows what was bought."""
    run = stage.start("relay_retry")
    stage.until(run, "success", tries=2)
    stage.until_log(run, "did not confirm external id", "external id not confirmed")
    stage.until_log(run, "Adopted: task", "from try 1, nothing bought.")
    measured = stage.measure(run, emulator=stage.relay)
    assert (measured.sent, measured.accepted, measured.delivered) == (1, 1, True)
    stage.report.add("9.retry_with_store", measured)


def relay_lost(stage: Stage) -> None:
    """Row 9: the store knows only that a create was about to be sent."""
    stage.plan("relay_lost", "hang", accepted=True, emulator=stage.relay)
    run = stage.start("relay_lost")
    stage.until_struck("relay_lost", emulator=stage.relay)
    stage.kill_task(run)
    stage.until(run, "failed", tries=2)
    stage.until_log(run, "It is not known whether the video", "An earlier try was about to buy it")
    measured = stage.measure(run, emulator=stage.relay)
    assert (measured.sent, measured.accepted, measured.delivered) == (1, 1, False)
    stage.report.add("9.lost_with_store", measured)


CRASHES: dict[str, Scenario] = {
    "lost answer": lost_answer,
    "worker killed before the create, plain": killed_at_its_create(
        "4.before_create", "before_create_plain", accepted=False
    ),
    "worker killed before the create, deferred": killed_at_its_create(
        "4.before_create", "before_create_deferred", accepted=False
    ),
    "worker killed before the answer, plain": killed_at_its_create(
        "4.before_answer", "before_answer_plain", accepted=True
    ),
    "worker killed before the answer, deferred": killed_at_its_create(
        "4.before_answer", "before_answer_deferred", accepted=True
    ),
    "worker killed before the answer, relay": killed_at_its_create(
        "4.before_answer", "before_answer_relay", accepted=True
    ),
    "worker killed before the answer, HttpOperator": peer_before_answer,
    "worker killed before the record, plain": kills_itself(
        "4.before_record", "before_record_plain", found="an earlier try"
    ),
    "worker killed before the record, deferred": kills_itself(
        "4.before_record", "before_record_deferred", found="an earlier try"
    ),
    "worker killed after defer": kills_itself("4.after_defer", "after_defer", found="try 1"),
    "worker killed after the deferral was stored": deferral_stored,
    "worker killed in execute_complete": kills_itself(
        "4.in_execute_complete", "in_execute_complete", found="try 1"
    ),
    "worker killed while it waits": while_waiting,
    "sensor killed while it waits": sensor,
    "a task that fails at Kling twice": fails_twice,
    "relay without external ids, retry": relay_retry,
    "relay without external ids, worker killed": relay_lost,
}
