"""The DAGs of the chaos rows: each has its own prompt, and some kill their own process at one exact point."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.providers.common.compat.sdk import DAG, TaskDeferred
from chaos_marks import FOLDER, first_time, note_pid

from airflow_provider_kling import record
from airflow_provider_kling.links import KlingVideoLink
from airflow_provider_kling.operators.text2video import KlingText2VideoOperator
from airflow_provider_kling.sensors.task import KlingTaskSensor

#: Items of the mapped task that crash.
CRASHING_ITEMS = (1, 5, 9, 13, 17)


class MortalOperator(KlingText2VideoOperator):
    """The operator, in a process that dies once.

    :param dies: "" (or from without), ``before_record``, ``after_defer``, ``deferral_stored`` or
        ``in_execute_complete``.
    """

    template_fields = (*KlingText2VideoOperator.template_fields, "dies")

    def __init__(self, *, dies: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dies = dies

    def execute(self, context: Any) -> Any:
        note_pid(context["ti"])
        remember = record.remember

        def deadly(*arguments: Any) -> None:
            self.die(context["ti"], "before_record")
            remember(*arguments)

        record.remember = deadly
        try:
            return super().execute(context)
        except TaskDeferred:
            self.die(context["ti"], "after_defer")
            raise

    def execute_complete(self, context: Any, event: Any = None) -> Any:
        note_pid(context["ti"])
        self.die(context["ti"], "in_execute_complete")
        return super().execute_complete(context, event)

    def die(self, ti: Any, point: str) -> None:
        """Not an exception, which somebody could handle: the process is gone."""
        if self.dies == point and first_time(ti, point):
            os.kill(os.getpid(), signal.SIGKILL)


def _deadly_link(get_link: Callable[..., str]) -> Callable[..., str]:
    def get(self: Any, operator: Any, *, ti_key: Any) -> str:
        # Links are made right after Airflow has stored what became of the task.
        if isinstance(operator, MortalOperator):
            operator.die(ti_key, "deferral_stored")
        return get_link(self, operator, ti_key=ti_key)

    return get


KlingVideoLink.get_link = _deadly_link(KlingVideoLink.get_link)  # type: ignore[method-assign]


def dag(dag_id: str) -> DAG:
    return DAG(dag_id=dag_id, schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc))


def one(dag_id: str, words: str = "a fox", **arguments: Any) -> MortalOperator:
    """One task in a DAG of its own; its prompt names the DAG, so that the ledger can be asked about it."""
    usual = {"poll_interval": 1, "retries": 2, "retry_delay": timedelta(seconds=1), "task_id": "make"}
    prompt = f"<{dag_id}> {words} {{{{ run_id }}}}"
    with dag(dag_id):
        return MortalOperator(**{**usual, "prompt": prompt, **arguments})


for way, deferrable in (("plain", False), ("deferred", True)):
    for name in ("lost_answer", "before_create", "before_answer"):
        one(f"{name}_{way}", deferrable=deferrable)
    one(f"before_record_{way}", deferrable=deferrable, dies="before_record")
    one(f"fails_twice_{way}", words="[fail-twice]", deferrable=deferrable)

# Row 4
one("before_answer_relay", deferrable=True, kling_conn_id="kling_relay")
one("after_defer", deferrable=True, dies="after_defer")
one("deferral_stored", deferrable=True, dies="deferral_stored")
one("in_execute_complete", deferrable=True, dies="in_execute_complete")
one("while_waiting", deferrable=False)


class MortalSensor(KlingTaskSensor):
    """Says which process it is."""

    def execute(self, context: Any) -> Any:
        note_pid(context["ti"])
        return super().execute(context)


with dag("sensor"):
    submit = MortalOperator(
        task_id="make",
        prompt="<sensor> a fox {{ run_id }} [seconds=40]",
        wait_for_completion=False,
        retries=1,
    )
    submit >> MortalSensor(
        task_id="wait",
        kling_task_id="{{ ti.xcom_pull('make')['task_id'] }}",
        deferrable=False,
        poke_interval=1,
        timeout=120,
        retries=1,
        retry_delay=timedelta(seconds=1),
    )

# Rows 5 and 6: as many runs as a row needs, as long as it says.
LENGTH = "[seconds={{ dag_run.conf['seconds'] }}]"
one("waits_deferred", words=LENGTH, deferrable=True, retries=3)
one("waits_plain", words=LENGTH, deferrable=False, retries=3)

# Row 7
one("retry", words="[seconds=6]", deferrable=False, timeout=3, retries=4)
for policy in ("reuse", "regenerate"):
    one(f"clear_succeeded_{policy}", deferrable=True, on_clear=policy)
    one(f"clear_failed_{policy}", deferrable=True, on_clear=policy, dies="before_record", retries=0)
    one(f"clear_deferred_{policy}", words="[seconds=45]", deferrable=True, on_clear=policy)
one("new_take", words="[seconds=2]", deferrable=False, take="{{ var.value.chaos_take }}")
one("mark_failed", words="[seconds=20]", deferrable=True)
one("mark_success", words="[seconds=20]", deferrable=True)
one("made_again", words="[seconds=2]", deferrable=False)
with dag("mapped"):
    MortalOperator.partial(
        task_id="make", deferrable=True, poll_interval=1, retries=2, retry_delay=timedelta(seconds=1)
    ).expand_kwargs(
        [
            {
                "prompt": f"<mapped> item {item} {{{{ run_id }}}}",
                "dies": "before_record" if item in CRASHING_ITEMS else "",
            }
            for item in range(20)
        ]
    )

# Row 9
one("relay_retry", deferrable=True, kling_conn_id="kling_forgetful", dies="after_defer")
one("relay_lost", deferrable=True, kling_conn_id="kling_forgetful")

# Row 10
LANDED = f"{FOLDER}/{{{{ dag.dag_id }}}}/{{{{ run_id }}}}/"
one("download_plain", deferrable=False, output_path=LANDED)
one("download_deferred", deferrable=True, output_path=LANDED)
one(
    "download_s3",
    deferrable=True,
    output_path="s3://clips/{{ dag.dag_id }}/{{ run_id }}/",
    object_storage_conn_id="storage",
)
