"""The rows of the table: what is crashed where, and how. What came of it is measured, never written here."""

from __future__ import annotations

from dataclasses import dataclass

ON_SOCKETS = "operator on a real socket, try after try"
IN_AIRFLOW = "task of a real Airflow"


@dataclass(frozen=True)
class Row:
    """One line of the table.

    :param crash: what happens.
    :param how: how it is brought about; after a semicolon, a remark on the outcome.
    :param brief: the line is in the README too.
    """

    crash: str
    how: str
    brief: bool = False


#: Id -> row, in the order of the table. The number before the dot is the issue's.
ROWS: dict[str, Row] = {
    "1.refused": Row("the connection is refused, for a whole try", ON_SOCKETS),
    "1.before_answer": Row(
        "the connection dies after the create was sent and accepted, before the answer", ON_SOCKETS
    ),
    "1.never_arrived": Row("the connection dies, and the create was not accepted", ON_SOCKETS),
    "1.in_body": Row("the connection dies in the middle of the answer's body", ON_SOCKETS),
    "1.lost_answer": Row(
        "the create is accepted and its answer is lost", f"{IN_AIRFLOW}, `drop`", brief=True
    ),
    "2.accepted": Row(
        "answers 500, 502, 503, 504, 5000, 5001, 5002, HTML, nothing, half a JSON; the create was accepted",
        ON_SOCKETS,
        brief=True,
    ),
    "2.not_accepted": Row("the same ten answers; the create was not accepted", ON_SOCKETS),
    "3.timeout": Row("read timeout, the create was accepted", ON_SOCKETS, brief=True),
    "3.look_up_fails_twice": Row("the same, and the look-up fails twice", ON_SOCKETS),
    "3.look_up_fails_for_a_try": Row("the same, and every look-up of the first try fails", ON_SOCKETS),
    "3.look_up_lags": Row("the same, and the look-up lags 3 s behind the create", ON_SOCKETS),
    "4.before_create": Row("worker killed before the create is accepted", f"{IN_AIRFLOW}, kill -9"),
    "4.before_answer": Row(
        "worker killed between the create's acceptance and its answer", f"{IN_AIRFLOW}, kill -9", brief=True
    ),
    "4.before_record": Row(
        "worker killed between the answer and the state store", f"{IN_AIRFLOW}, kill -9", brief=True
    ),
    "4.after_defer": Row("worker killed after `defer`, before Airflow hears of it", f"{IN_AIRFLOW}, kill -9"),
    "4.deferral_stored": Row("worker killed after Airflow stored the deferral", f"{IN_AIRFLOW}, kill -9"),
    "4.in_execute_complete": Row("worker killed in `execute_complete`", f"{IN_AIRFLOW}, kill -9"),
    "4.while_waiting": Row("worker killed while it waits for the video", f"{IN_AIRFLOW}, kill -9"),
    "4.sensor": Row("worker of the sensor killed while it waits", f"{IN_AIRFLOW}, kill -9"),
    "5.killed": Row("triggerer killed", "kill -9, restarted", brief=True),
    "5.terminated": Row("triggerer ended", "SIGTERM, restarted"),
    "5.two": Row("two triggerers at once, one of them killed", "kill -9 of the first"),
    "5.frozen": Row(
        "triggerer frozen for 45 s, another takes over, the frozen one wakes", "SIGSTOP, SIGCONT", brief=True
    ),
    "6.scheduler": Row(
        "scheduler killed while its workers go on: a zombie and its successor",
        "kill -9, restarted",
        brief=True,
    ),
    "6.machine": Row("scheduler killed with all its workers", "kill -9, restarted"),
    "6.database": Row(
        "metadata database unreachable for 10 s", "PostgreSQL behind a closed gate", brief=True
    ),
    "7.retry": Row("retry: the task fails after its create was answered", IN_AIRFLOW, brief=True),
    "7.clear_succeeded.reuse": Row("clear of a succeeded task", IN_AIRFLOW, brief=True),
    "7.clear_failed.reuse": Row("clear of a failed task", IN_AIRFLOW),
    "7.clear_deferred.reuse": Row("clear while deferred", IN_AIRFLOW),
    "7.clear_succeeded.regenerate": Row(
        'clear of a succeeded task, `on_clear="regenerate"`', f"{IN_AIRFLOW}; two on purpose", brief=True
    ),
    "7.clear_failed.regenerate": Row(
        'clear of a failed task, `on_clear="regenerate"`', f"{IN_AIRFLOW}; two on purpose"
    ),
    "7.clear_deferred.regenerate": Row(
        'clear while deferred, `on_clear="regenerate"`', f"{IN_AIRFLOW}; two on purpose"
    ),
    "7.new_take": Row("clear with another `take`", f"{IN_AIRFLOW}; two on purpose", brief=True),
    "7.mark_failed": Row("marked failed while deferred, then cleared", IN_AIRFLOW),
    "7.mark_success": Row("marked success while deferred, then cleared", IN_AIRFLOW),
    "7.made_again": Row("a run deleted and made again under the same run_id", IN_AIRFLOW),
    "7.mapped": Row(
        "a mapped task of 20 items, of which 5 crash", f"{IN_AIRFLOW}, kill -9; per item", brief=True
    ),
    "8.sockets": Row("fails at Kling twice, succeeds the third time, `retries=2`", ON_SOCKETS),
    "8.airflow": Row("fails at Kling twice, succeeds the third time, `retries=2`", IN_AIRFLOW, brief=True),
    "9.retry_with_store": Row(
        "relay without external ids: retry after the create was answered; Airflow 3.3+",
        f"{IN_AIRFLOW}, kill -9",
        brief=True,
    ),
    "9.lost_with_store": Row(
        "relay without external ids: worker killed before the answer; Airflow 3.3+",
        f"{IN_AIRFLOW}, kill -9; the task stops and says why",
        brief=True,
    ),
    "9.lost_in_try": Row(
        "relay without external ids: the answer is lost and the worker lives",
        f"{ON_SOCKETS}; the task stops and says why",
    ),
    "9.retry_without_store": Row(
        "relay without external ids: retry after the create was answered; below Airflow 3.3",
        f"{ON_SOCKETS}; **not protected**",
        brief=True,
    ),
    "9.lost_without_store": Row(
        "relay without external ids: worker killed before the answer; below Airflow 3.3",
        f"{ON_SOCKETS}; **not protected**",
    ),
    "9.clear_drops_store": Row(
        "relay without external ids: clear, and Airflow forgets the state with it",
        f"{ON_SOCKETS}; **not protected**",
    ),
    "9.false_claim": Row(
        "relay without external ids, declared `external_task_ids=true`: worker killed before the answer",
        f"{ON_SOCKETS}; **not protected**",
    ),
    "10.download": Row(
        "worker killed in the middle of the download, twice; to a disk and to S3",
        f"{IN_AIRFLOW}, kill -9",
        brief=True,
    ),
}
