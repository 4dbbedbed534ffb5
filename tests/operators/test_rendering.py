"""Templates, prompt files, mapping and native rendering, as a DAG author uses them."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_kling.operators.text2video import KlingText2VideoOperator


def render(operator: KlingText2VideoOperator, **context: Any) -> KlingText2VideoOperator:
    operator.resolve_template_files()
    operator.render_template_fields({"params": {}, **context})
    return operator


def dag(**arguments: Any) -> DAG:
    return DAG("dag", schedule=None, start_date=dt.datetime(2026, 1, 1), **arguments)


def test_every_field_is_rendered() -> None:
    with dag():
        operator = KlingText2VideoOperator(
            task_id="make",
            prompt="A fox on {{ run_id }}",
            model_name="{{ params.model }}",
            camera_control={"type": "simple", "config": {"zoom": "{{ params.zoom }}"}},
            kling_conn_id="kling_{{ params.team }}",
            take="{{ params.team }}",
        )
    render(operator, run_id="r1", params={"model": "kling-v1", "zoom": 3, "team": "news"})
    assert operator.prompt == "A fox on r1"
    assert operator.model_name == "kling-v1"
    assert operator.camera_control == {"type": "simple", "config": {"zoom": "3"}}
    assert (operator.kling_conn_id, operator.take) == ("kling_news", "news")


@pytest.mark.parametrize("ending", [".prompt", ".txt", ".md"])
def test_a_prompt_may_be_a_file_and_is_a_template_itself(tmp_path: Path, ending: str) -> None:
    (tmp_path / f"fox{ending}").write_text("A fox on {{ run_id }}")
    with dag(template_searchpath=str(tmp_path)):
        operator = KlingText2VideoOperator(task_id="make", prompt=f"fox{ending}")
    assert render(operator, run_id="r1").prompt == "A fox on r1"


@pytest.mark.parametrize("after", [" ", "."])
@pytest.mark.parametrize("ending", [".prompt", ".txt", ".md"])
def test_a_prompt_that_ends_like_a_file_stays_a_prompt_with_a_space_or_a_stop(
    ending: str, after: str
) -> None:
    with dag():
        operator = KlingText2VideoOperator(
            task_id="make", prompt=f"A fox reads {{{{ run_id }}}}{ending}{after}"
        )
    assert render(operator, run_id="notes").prompt == f"A fox reads notes{ending}{after}"


def test_native_rendering_keeps_types() -> None:
    with dag(render_template_as_native_obj=True):
        operator = KlingText2VideoOperator(
            task_id="make",
            prompt="{{ params.prompt }}",
            duration="{{ params.seconds }}",
            multi_prompt="{{ params.shots }}",
        )
    shots = [{"index": 1, "prompt": "a", "duration": 5}]
    render(operator, params={"prompt": "A fox", "seconds": 10, "shots": shots})
    assert (operator.prompt, operator.duration, operator.multi_prompt) == ("A fox", 10, shots)


def test_it_maps_over_prompts_and_over_rows() -> None:
    with dag() as made:
        KlingText2VideoOperator.partial(task_id="one", duration=5).expand(prompt=["A fox", "A hare"])
        KlingText2VideoOperator.partial(task_id="rows", deferrable=True).expand_kwargs(
            [{"prompt": "A fox", "mode": "pro"}, {"prompt": "A hare", "aspect_ratio": "9:16"}]
        )
    assert {task.task_id for task in made.tasks} == {"one", "rows"}


def test_its_result_feeds_another_task() -> None:
    with dag() as made:
        first = KlingText2VideoOperator(task_id="first", prompt="A fox")
        second = KlingText2VideoOperator(task_id="second", prompt=first.output["task_id"])
        first >> second
    assert made.get_task("second").upstream_task_ids == {"first"}
