"""A landed video as an asset event, in Airflow's own containers for them."""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal
from importlib.metadata import version
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import Asset, AssetAlias

from airflow_provider_kling import assets
from airflow_provider_kling.api.catalog import TaskKind
from airflow_provider_kling.api.tasks import GenerationTask, TaskStatus, Video
from airflow_provider_kling.landing.clip import Landed

AIRFLOW_3 = int(version("apache-airflow").split(".")[0]) >= 3
TASK = GenerationTask(
    "900",
    TaskKind.TEXT2VIDEO,
    TaskStatus.SUCCEEDED,
    videos=(Video("a", "https://cdn.example/a.mp4?sign=s3cret", duration=5.041), Video("b", "https://x/b")),
    units=Decimal("1.5"),
)
REQUEST = assets.Request("kling-v2-6", "std", "A fox")
LANDED = [Landed("s3://clips/ä b/900-1.mp4", 10, "aa", fetched=True), Landed("/c/900-2.mp4", 20, "bb", True)]


def outlet_events() -> Any:
    try:
        from airflow.sdk.execution_time.context import OutletEventAccessors
    except ImportError:  # Airflow 2
        from airflow.utils.context import OutletEventAccessors
    return OutletEventAccessors()


def emit(*outlets: Any, count: int = 1) -> Any:
    extras = [assets.describe(TASK, landed, n, REQUEST) for n, landed in enumerate(LANDED[:count])]
    events = outlet_events()
    assets.emit({"outlet_events": events}, outlets, extras)
    return events


def test_an_event_says_what_was_made_of_what_and_where_it_lies() -> None:
    said = assets.describe(TASK, LANDED[0], 0, REQUEST)
    assert said == {
        "task_id": "900",
        "model": "kling-v2-6",
        "mode": "std",
        "duration": 5.041,
        "units": "1.5",
        "prompt_sha256": hashlib.sha256(b"A fox").hexdigest(),
        "path": "s3://clips/ä b/900-1.mp4",
        "bytes": 10,
        "sha256": "aa",
    }
    assert not {"A fox", "s3cret"} & set(json.dumps(said).split('"'))
    with_prompt = assets.describe(TASK, LANDED[0], 0, REQUEST, with_prompt=True)
    assert with_prompt == said | {"prompt": "A fox"}


def test_an_asset_among_the_outlets_gets_the_event() -> None:
    asset = Asset("s3://clips/fox")
    events = emit(asset, "something else")
    assert events[asset].extra == assets.describe(TASK, LANDED[0], 0, REQUEST)
    assert len(events) == 1


def test_of_several_videos_an_asset_tells_all() -> None:
    asset = Asset("s3://clips/fox")
    extra = emit(asset, count=2)[asset].extra
    assert extra["path"] == LANDED[0].path
    assert [video["path"] for video in extra["videos"]] == [landed.path for landed in LANDED]


def test_an_alias_gets_an_event_for_each_video_on_an_asset_of_its_own() -> None:
    alias = AssetAlias("clips")
    accessor = emit(alias, count=2)[alias]
    events = getattr(accessor, "asset_alias_events", None) or accessor.dataset_alias_events
    uris = [
        event["dest_dataset_uri"] if isinstance(event, dict) else event.dest_asset_key.uri for event in events
    ]
    assert uris == ["s3://clips/%C3%A4%20b/900-1.mp4", "file:///c/900-2.mp4"]
    said = [event["extra"] if isinstance(event, dict) else event.extra for event in events]
    assert [extra["sha256"] for extra in said] == ["aa", "bb"]


@pytest.mark.skipif(not AIRFLOW_3, reason="a dataset's name may be of any length when it is made")
def test_a_file_that_airflow_takes_for_no_asset_costs_its_event_and_no_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # Percent-encoded, each ä takes six characters: Airflow's limit is 1500.
    long = Landed(f"/clips/{'ä' * 120}/{'ä' * 120}/{'ä' * 120}/900.mp4", 10, "aa", fetched=True)
    alias, asset, events = AssetAlias("clips"), Asset("s3://clips/fox"), outlet_events()
    extras = [assets.describe(TASK, landed, 0, REQUEST) for landed in (long, LANDED[0])]
    assets.emit({"outlet_events": events}, [alias, asset], extras)
    assert f"No event on {alias} for {long.path}, going on" in caplog.text
    accessor = events[alias]
    assert len(getattr(accessor, "asset_alias_events", None) or accessor.dataset_alias_events) == 1
    assert events[asset].extra["path"] == long.path


def test_without_outlets_or_without_files_nothing_is_said() -> None:
    assert len(emit()) == 0
    assert len(emit(Asset("s3://clips/fox"), count=0)) == 0
    assets.emit({}, [Asset("s3://clips/fox")], [{"path": "/x"}])
    assets.emit({"outlet_events": outlet_events()}, None, [{"path": "/x"}])


@pytest.mark.parametrize(
    ("fields", "request_"),
    [
        ({"prompt": "A fox"}, ("kling-v2-6", "std", "A fox")),
        ({"prompt": "A fox", "model_name": "kling-v3", "mode": "pro"}, ("kling-v3", "pro", "A fox")),
        ({"prompt": "A fox", "model_name": "kling-v2-master"}, ("kling-v2-master", None, "A fox")),
        ({"prompt": "A fox", "model_name": "kling-v9"}, ("kling-v9", None, "A fox")),
        (
            {"multi_prompt": [{"prompt": "A fox"}, {"prompt": "A hare"}, 3]},
            ("kling-v2-6", "std", "A fox\nA hare"),
        ),
        ({"prompt": 2024}, ("kling-v2-6", "std", "2024")),
        ({"multi_prompt": "nonsense"}, ("kling-v2-6", "std", None)),
    ],
)
def test_what_was_asked_for_is_told_as_it_was_sent(fields: dict[str, Any], request_: tuple[Any, ...]) -> None:
    given = {"model_name": "kling-v2-6", "mode": None, "prompt": None, "multi_prompt": None} | fields
    assert assets.Request.of(**given) == assets.Request(*request_)
