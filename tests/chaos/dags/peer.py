"""The peer: the same create, sent by a plain ``HttpOperator``."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.providers.common.compat.sdk import DAG
from airflow.providers.http.operators.http import HttpOperator
from chaos_marks import first_time, note_pid


class MortalHttpOperator(HttpOperator):
    """Says which process it is."""

    def execute(self, context: Any) -> Any:
        note_pid(context["ti"])
        return super().execute(context)


def check(response: Any, ti: Any) -> bool:
    """Accept any answer, but in the row of the retry not at the first time."""
    return not (ti.dag_id == "http_retry" and first_time(ti, "refused"))


for name in ("lost_answer", "before_answer", "retry", "clear_succeeded"):
    with DAG(dag_id=f"http_{name}", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)):
        MortalHttpOperator(
            task_id="make",
            http_conn_id="kling_http",
            endpoint="/kling/v1/videos/text2video",
            headers={"Content-Type": "application/json"},
            data=f'{{"model_name": "kling-v2-6", "prompt": "<http_{name}> a fox {{{{ run_id }}}}"}}',
            response_check=check,
            retries=1,
            retry_delay=timedelta(seconds=1),
        )
