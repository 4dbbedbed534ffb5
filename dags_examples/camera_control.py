"""### Steering the camera, and saying what must not appear

In Kling's own documentation only `kling-v1` takes `camera_control` (in mode `std`, 5 seconds), and since
September 2026 the service refuses that model as discontinued. So this is for accounts and relays that still
offer it, or another that takes it: name that in the parameter `model_name`. With newer models, describe the
movement in the prompt instead ("slow dolly in, camera tilts up"). `negative_prompt` works with every model.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_kling.operators.text2video import KlingText2VideoOperator

with DAG(
    dag_id="kling_camera_control",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    params={"model_name": "kling-v1", "zoom": 6},
    # So that "{{ params.zoom }}" reaches the API as a number.
    render_template_as_native_obj=True,
    tags=["kling", "example"],
    doc_md=__doc__,
) as dag:
    fly_in = KlingText2VideoOperator(
        task_id="fly_in",
        model_name="{{ params.model_name }}",
        prompt="A castle on a cliff above the sea, afternoon light",
        negative_prompt="people, boats, text, flicker",
        # "simple" moves along exactly one axis, from -10 to 10. The other types take no config at all.
        camera_control={"type": "simple", "config": {"zoom": "{{ params.zoom }}"}},
        mode="std",
        duration=5,
        deferrable=True,
        retries=2,
        retry_delay=timedelta(minutes=1),
    )
    orbit = KlingText2VideoOperator(
        task_id="turn_forward",
        model_name="{{ params.model_name }}",
        prompt="A castle on a cliff above the sea, at dusk, windows lit",
        negative_prompt="people, boats, text, flicker",
        camera_control={"type": "right_turn_forward"},
        mode="std",
        duration=5,
        deferrable=True,
        retries=2,
        retry_delay=timedelta(minutes=1),
    )
