"""What each model and host takes: errors for what is certain, warnings otherwise; and the table."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_kling.api import catalog
from airflow_provider_kling.api.catalog import MODELS, TaskKind, estimate_units
from airflow_provider_kling.api.requests import HostLimits, Text2VideoRequest, check_capabilities
from airflow_provider_kling.exceptions import KlingInputError

RELAY = HostLimits(official=False)
CAMERA = {"type": "simple", "config": {"zoom": 5}}


def check(model: str | None, limits: Any = None, **fields: Any) -> list[str]:
    request = Text2VideoRequest(**{"prompt": "A fox", "model_name": model, **fields})
    return check_capabilities(request, limits or HostLimits())


def complaint(model: str, limits: HostLimits | None = None, **fields: Any) -> str:
    with pytest.raises(KlingInputError, match="Nothing was bought") as caught:
        check(model, limits, **fields)
    return str(caught.value)


def test_the_default_model_is_current_and_makes_a_plain_request_without_a_word() -> None:
    assert check(catalog.DEFAULT_MODEL) == check(None) == []


@pytest.mark.parametrize("model", [m for m in MODELS.values() if m.text2video], ids=lambda m: m.name)
def test_every_mode_and_duration_of_a_model_passes(model: catalog.Model) -> None:
    for mode in (None, *model.modes):
        for duration in model.durations:
            assert len(check(model.name, mode=mode, duration=duration)) == bool(model.retired)


@pytest.mark.parametrize(
    ("model", "fields", "said"),
    [
        ("kling-v2-6", {"duration": 7}, "duration: '7' is not accepted by kling-v2-6 (allowed: 5, 10)"),
        ("kling-v3", {"duration": 16}, "duration: '16' is not accepted by kling-v3 (allowed: 3 to 15)"),
        ("kling-v2-6", {"mode": "4k"}, "mode: '4k' is not accepted by kling-v2-6 (allowed: std, pro)"),
        (
            "kling-v2-master",
            {"mode": "std"},
            "mode: kling-v2-master takes no mode; leave it out",
        ),
        (
            "kling-v2-6",
            {"cfg_scale": 0.5},
            "cfg_scale: kling-v2-6 takes no cfg_scale; leave it out",
        ),
        ("kling-v3", {"cfg_scale": 0}, "cfg_scale: kling-v3 takes no cfg_scale"),
        (
            "kling-v2-6",
            {"sound": "on"},
            "sound: 'on' is not accepted by kling-v2-6 (allowed: 'on' with mode pro)",
        ),
        (
            "kling-v2-5-turbo",
            {"sound": "on", "mode": "pro"},
            "sound: 'on' is not accepted by kling-v2-5-turbo",
        ),
        (
            "kling-v2-6",
            {"aspect_ratio": "4:3"},
            "aspect_ratio: '4:3' is not accepted by kling-v2-6 (allowed: 16:9",
        ),
        ("kling-v2-6", {"camera_control": CAMERA}, "(allowed: only kling-v1 with mode std and duration 5)"),
        (
            "kling-v1",
            {"camera_control": CAMERA, "mode": "pro"},
            "camera_control: {'type': 'simple', 'config'",
        ),
        ("kling-v1", {"camera_control": CAMERA, "duration": 10}, "is not accepted by kling-v1"),
        (
            "kling-v2-6",
            {"multi_shot": True, "shot_type": "intelligence"},
            "multi_shot: kling-v2-6 takes no multi_shot; leave it out",
        ),
    ],
)
def test_what_a_known_model_does_not_take_is_an_error_that_names_it(
    model: str, fields: dict[str, Any], said: str
) -> None:
    assert said in complaint(model, **fields)
    assert said in complaint(model, RELAY, **fields)


def test_all_that_a_model_does_not_take_is_said_at_once() -> None:
    text = complaint("kling-v2-6", duration=7, mode="4k", cfg_scale=1)
    assert all(f"{field}: " in text for field in ("duration", "mode", "cfg_scale"))


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        ("kling-v2-6", {"sound": "on", "mode": "pro"}),
        ("kling-v2-6", {"sound": "off"}),
        ("kling-v3", {"sound": "on", "mode": "4k", "duration": 3}),
        ("kling-v3", {"multi_shot": True, "shot_type": "intelligence"}),
        ("kling-v2-6", {"multi_shot": False, "negative_prompt": "blur", "aspect_ratio": "1:1"}),
    ],
)
def test_what_a_model_takes_passes_without_a_word(model: str, fields: dict[str, Any]) -> None:
    assert check(model, **fields) == []


def test_the_camera_moves_where_it_can() -> None:
    (warning,) = check("kling-v1", camera_control=CAMERA, cfg_scale=0.5)
    assert "retired" in warning


def test_an_unknown_model_passes_with_a_warning_and_unchecked() -> None:
    (warning,) = check("kling-v9", duration=60, mode="8k", cfg_scale=1, camera_control=CAMERA)
    assert "'kling-v9' is not one this version knows" in warning
    assert "kling-v2-6" in warning


@pytest.mark.parametrize("typed", ["kling-v2.6", "Kling-V2-6", "kling_v2_6", "kling-2-6", "klingv26"])
def test_a_misspelt_model_is_told_what_was_meant(typed: str) -> None:
    (warning,) = check(typed)
    assert warning.endswith("sending it unchecked; did you mean 'kling-v2-6'?")


@pytest.mark.parametrize("newer", ["kling-v9", "kling-v2-7", "kling-v3-1", "sora"])
def test_a_model_of_tomorrow_is_not_taken_for_a_misspelling(newer: str) -> None:
    assert "did you mean" not in check(newer)[0]


@pytest.mark.parametrize(
    ("model", "since"),
    [("kling-v1", "2026-09"), ("kling-v1-6", "2026-09-15"), ("kling-v2-1-master", "2026-09-15")],
)
def test_a_retired_model_is_warned_about_with_its_date(model: str, since: str) -> None:
    (warning,) = check(model)
    assert f"model '{model}' is retired since {since}" in warning


@pytest.mark.parametrize("model", ["kling-v1-5", "kling-v2-1"])
def test_a_model_for_images_only_is_an_error_at_kling_and_a_warning_at_a_relay(model: str) -> None:
    assert f"model_name: Kling's documentation has '{model}' for image2video only" in complaint(model)
    warnings = check(model, RELAY)
    assert "image2video only" in warnings[0]


# Lengths


@pytest.mark.parametrize(("field", "usual"), [("prompt", 500), ("negative_prompt", 200)])
def test_a_relays_usual_limit_is_a_warning_and_klings_own_host_gives_none(field: str, usual: int) -> None:
    assert check("kling-v2-6", RELAY, **{field: "狐" * usual}) == []
    (warning,) = check("kling-v2-6", RELAY, **{field: "狐" * (usual + 1)})
    assert f"{field} has {usual + 1} characters; many relays take at most {usual}" in warning
    assert f"{field}_max_chars" in warning
    assert check("kling-v2-6", **{field: "狐" * 2500}) == []


@pytest.mark.parametrize("official", [True, False])
@pytest.mark.parametrize("field", ["prompt", "negative_prompt"])
def test_the_connections_limit_is_an_error_and_silences_the_warning(field: str, official: bool) -> None:
    limits = HostLimits(official=official, **{f"{field}_max_chars": 600})
    assert check("kling-v2-6", limits, **{field: "🦊" * 600}) == []
    text = complaint("kling-v2-6", limits, **{field: "🦊" * 601})
    assert f"{field}: 601 characters, the connection's {field}_max_chars allows 600" in text


# The table


def test_every_model_is_listed_under_its_name_and_priced_for_all_it_takes() -> None:
    for name, model in MODELS.items():
        assert name == model.name
        if not model.text2video:
            continue
        for mode in model.modes or (None,):
            assert estimate_units(name, mode=mode, sound=None, duration=5), (name, mode)
        for mode in model.sound_modes:
            assert estimate_units(name, mode=mode, sound="on", duration=5), (name, mode)


@pytest.mark.parametrize(
    ("model", "mode", "sound", "duration", "units"),
    [
        ("kling-v2-6", None, None, 5, "1.5"),
        ("kling-v2-6", "pro", "on", 10, "10.0"),
        ("kling-v3", "4k", "off", 15, "45.0"),
        ("kling-v2-master", None, None, 5, "10"),
        ("kling-v2-6", "std", "on", 5, None),
        ("kling-v9", None, None, 5, None),
    ],
)
def test_a_price_is_known_or_said_not_to_be(
    model: str, mode: str | None, sound: str | None, duration: int, units: str | None
) -> None:
    estimate = estimate_units(model, mode=mode, sound=sound, duration=duration)
    assert estimate == (None if units is None else Decimal(units))


def test_each_kind_has_its_path() -> None:
    assert TaskKind.TEXT2VIDEO.path == "/v1/videos/text2video"
    assert TaskKind.LIP_SYNC.path == "/v1/videos/advanced-lip-sync"
    assert TaskKind.AVATAR.path == "/v1/videos/avatar/image2video"
    assert len({kind.path for kind in TaskKind}) == len(TaskKind)
