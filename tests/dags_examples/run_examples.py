"""Run every example with ``dag.test()`` and print what came of it, as JSON on the last line.

A script of its own because Airflow reads its settings once per process, and these runs need a database.
"""

from __future__ import annotations

import inspect
import json
import sys
from datetime import datetime, timezone
from typing import Any

from airflow.cli import cli_parser


def airflow(*arguments: str) -> None:
    parsed = cli_parser.get_parser().parse_args(arguments)
    parsed.func(parsed)


def load() -> Any:
    """All examples, parsed as Airflow parses them."""
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # before Airflow 3.2
        from airflow.models.dagbag import DagBag
    return DagBag()


def without_long_waits(dag: Any) -> None:
    """An emulated video is done at once; nothing is proven by waiting for it as for a real one."""
    from airflow_provider_kling.api import polling

    polling.SETTLE_SECONDS = 0.1
    for task in dag.tasks:
        arguments = getattr(task, "partial_kwargs", None) or vars(task)
        for name in ("poll_interval", "poke_interval"):
            if name in arguments:
                arguments[name] = 0.1
        if task.task_id == "make_video":  # mapped: left to the operator's default of ten seconds
            arguments["poll_interval"] = 0.1


def run(dag: Any, *, scheduled: bool) -> dict[str, Any]:
    from airflow.utils.session import create_session

    day = datetime(2026, 3, 4, tzinfo=timezone.utc)
    by = "logical_date" if "logical_date" in inspect.signature(dag.test).parameters else "execution_date"
    # None is what a manual run of Airflow 3 has. Airflow 2 puts "now" there.
    done = dag.test(**{by: day if scheduled else None})
    with create_session() as session:
        instances = {
            f"{ti.task_id}[{ti.map_index}]" if ti.map_index >= 0 else ti.task_id: {
                "state": str(ti.state),
                "xcom": ti.xcom_pull(task_ids=ti.task_id, map_indexes=ti.map_index, session=session),
            }
            for ti in done.get_task_instances(session=session)
        }
    return {"state": str(getattr(done.state, "value", done.state)), "tasks": instances}


def asset_events() -> list[Any]:
    """The extra of every asset event, oldest first."""
    from airflow.utils.session import create_session

    try:
        from airflow.models.asset import AssetEvent
    except ImportError:  # Airflow 2
        from airflow.models.dataset import DatasetEvent as AssetEvent
    with create_session() as session:
        return [event.extra for event in session.query(AssetEvent).order_by(AssetEvent.id)]


def main() -> None:
    airflow("db", "migrate")
    airflow("dags", "reserialize")
    bag = load()
    results = {}
    for dag_id in sys.argv[1:]:
        dag = bag.dags[dag_id]
        without_long_waits(dag)
        results[dag_id] = {"manual": run(dag, scheduled=False)}
        if dag_id == "kling_daily_content":
            results[dag_id]["scheduled"] = run(dag, scheduled=True)
    results["events"] = asset_events()
    print(f"\n{json.dumps(results)}")


if __name__ == "__main__":
    main()
