"""What a caller may ask for: shapes and ranges, refused before a cent is spent."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_kling.api.catalog import CAMERA_AXES
from airflow_provider_kling.api.requests import CameraConfig, CameraControl, Shot, Text2VideoRequest
from airflow_provider_kling.exceptions import KlingInputError

NOTHING_BOUGHT = "Nothing was bought; correct the value, retrying will not help."


def body(**fields: Any) -> dict[str, Any]:
    return Text2VideoRequest(**{"prompt": "A fox", **fields}).body()


def complaint(**fields: Any) -> str:
    with pytest.raises(KlingInputError) as caught:
        Text2VideoRequest(**{"prompt": "A fox", **fields})
    text = str(caught.value)
    assert text.endswith(f". {NOTHING_BOUGHT}")
    assert caught.value.__cause__ is None
    return text.removesuffix(f". {NOTHING_BOUGHT}")


def test_all_sixteen_fields_are_sent_under_klings_names() -> None:
    fields: dict[str, Any] = {
        "model_name": "kling-v3",
        "prompt": "A fox",
        "negative_prompt": "blur",
        "cfg_scale": 0.5,
        "mode": "pro",
        "camera_control": {"type": "simple", "config": {"zoom": 5}},
        "aspect_ratio": "9:16",
        "duration": "10",
        "callback_url": "https://me.example/hook",
        "external_task_id": "mine-1",
        "sound": "on",
        "voice_list": [{"voice_id": "v1"}],
        "watermark_info": {"enabled": True},
        "multi_shot": True,
        "shot_type": "customize",
        "multi_prompt": [
            {"index": 1, "prompt": "a", "duration": "4"},
            {"index": 2, "prompt": "b", "duration": "6"},
        ],
    }
    assert body(**fields) == fields
    assert set(Text2VideoRequest.model_fields) == {*fields, "extra_body"}


def test_what_is_not_given_is_not_sent() -> None:
    assert body() == {"prompt": "A fox"}


@pytest.mark.parametrize("duration", [5, "5", 5.0])
def test_a_duration_is_sent_as_text(duration: object) -> None:
    assert body(duration=duration)["duration"] == "5"
    assert Text2VideoRequest(**{"prompt": "A fox", "duration": duration}).seconds == 5


@pytest.mark.parametrize(
    "duration", [0, -5, 5.5, "05", "five", "\uff15", "5s", " 5", 1000, True, [5], float("nan")]
)
def test_a_duration_that_is_no_whole_number_is_refused(duration: object) -> None:
    assert complaint(duration=duration).startswith("duration: must be a whole number of seconds, got ")


def test_a_video_of_unsaid_length_has_five_seconds() -> None:
    assert Text2VideoRequest(prompt="A fox").seconds == 5


@pytest.mark.parametrize(("given", "sent"), [(2024, "2024"), (3.5, "3.5"), ("2024", "2024")])
def test_a_prompt_that_native_rendering_made_a_number_is_text_again(given: object, sent: str) -> None:
    assert body(prompt=given)["prompt"] == sent


@pytest.mark.parametrize(("given", "sent"), [(True, "on"), (False, "off"), ("on", "on")])
def test_yaml_on_and_off_are_understood(given: object, sent: str) -> None:
    assert body(sound=given)["sound"] == sent


@pytest.mark.parametrize(
    "field",
    [
        "model_name",
        "cfg_scale",
        "mode",
        "aspect_ratio",
        "duration",
        "callback_url",
        "external_task_id",
        "sound",
        "shot_type",
        "multi_shot",
    ],
)
@pytest.mark.parametrize("nothing", ["", "  ", None])
def test_a_template_that_renders_to_nothing_leaves_the_field_out(field: str, nothing: str | None) -> None:
    assert body(**{field: nothing}) == {"prompt": "A fox"}


@pytest.mark.parametrize("prompt", [None, "", "  \n", "None", " None "])
def test_an_empty_prompt_is_refused(prompt: str | None) -> None:
    assert complaint(prompt=prompt) == f"prompt: it must not be empty, got {prompt!r} after rendering"


@pytest.mark.parametrize("prompt", [True, ["A fox"], {"a": 1}, b"\xff", "\ud800"])
def test_a_prompt_that_is_no_text_is_refused(prompt: object) -> None:
    assert complaint(prompt=prompt) == f"prompt: must be text, got {prompt!r}"


@pytest.mark.parametrize("character", ["a", "狐", "🦊", "é", "\n"])
@pytest.mark.parametrize("field", ["prompt", "negative_prompt"])
def test_2500_characters_of_any_script_pass_and_2501_do_not(field: str, character: str) -> None:
    # A line break alone would be an empty prompt.
    assert len(body(**{field: "x" + character * 2499})[field]) == 2500
    assert complaint(**{field: "x" + character * 2500}) == (
        f"{field}: String should have at most 2500 characters, got 2501"
    )


@pytest.mark.parametrize("value", [-0.01, 1.01, 1.5, float("nan"), float("inf"), "much", [0.5]])
def test_a_cfg_scale_outside_0_to_1_is_refused(value: object) -> None:
    assert complaint(cfg_scale=value).startswith("cfg_scale")
    assert {body(cfg_scale=edge)["cfg_scale"] for edge in (0, 1, "0.5")} == {0, 1, 0.5}


@pytest.mark.parametrize("url", ["ftp://x", "me.example/hook", "https://me example", "javascript:1"])
def test_a_callback_url_that_is_no_web_address_is_refused(url: str) -> None:
    assert complaint(callback_url=url) == f"callback_url: must be an http(s) address, got {url!r}"


@pytest.mark.parametrize("name", ["a b", "a" * 65, "a" * 200, "a/b", "a\n", "ä", "a?b", "..", "a.b", "²"])
def test_an_external_task_id_that_is_not_safe_in_a_path_is_refused(name: str) -> None:
    text = complaint(external_task_id=name)
    assert text.startswith("external_task_id: must be letters, digits, - and _, at most 64, got ")


def test_a_long_value_is_quoted_in_part() -> None:
    assert len(complaint(external_task_id="a" * 5000)) < 250


@pytest.mark.parametrize("name", ["a", "A-b_9", "a" * 64, 12345])
def test_a_safe_external_task_id_is_sent_as_it_is(name: object) -> None:
    assert body(external_task_id=name)["external_task_id"] == str(name)


@pytest.mark.parametrize("value", ["loud", "ON", 1, "yes"])
def test_a_sound_that_is_neither_on_nor_off_is_refused(value: object) -> None:
    assert complaint(sound=value).startswith("sound: Input should be 'on' or 'off', got ")


@pytest.mark.parametrize(
    ("field", "due"),
    [
        ("voice_list", "list"),
        ("multi_prompt", "list"),
        ("camera_control", "dict"),
        ("watermark_info", "dict"),
        ("extra_body", "dict"),
    ],
)
def test_a_bare_string_where_more_is_due_is_explained(field: str, due: str) -> None:
    text = complaint(**{field: "x"})
    assert text.startswith(f"{field}: must be a {due}, got ")
    assert "'x' (a template renders to text unless the DAG sets render_template_as_native_obj=True)" in text


def test_an_unknown_field_is_refused_by_its_name() -> None:
    assert complaint(promt="x").startswith("promt: Extra inputs are not permitted")


def test_several_mistakes_are_named_at_once() -> None:
    text = complaint(cfg_scale=2, sound="loud")
    assert "cfg_scale: " in text
    assert "; sound: " in text


# Voices, watermark


def test_voices_need_sound() -> None:
    assert complaint(voice_list=[{"voice_id": "v"}]) == "voice_list: it needs sound='on', got sound=None"
    assert "sound='off'" in complaint(voice_list=[{"voice_id": "v"}], sound="off")


def test_two_voices_pass_and_three_do_not() -> None:
    assert len(body(voice_list=[{"voice_id": "v"}] * 2, sound="on")["voice_list"]) == 2
    assert complaint(voice_list=[{"voice_id": "v"}] * 3, sound="on").startswith("voice_list: ")


@pytest.mark.parametrize("voice", [{}, {"voice_id": ""}, {"voice": "v"}])
def test_a_voice_without_its_id_is_named_by_its_place(voice: object) -> None:
    assert complaint(voice_list=[{"voice_id": "v"}, voice], sound="on").startswith("voice_list.1.voice_id: ")


def test_watermark_info_is_an_object_with_one_switch() -> None:
    assert complaint(watermark_info={}).startswith("watermark_info.enabled: Field required")
    assert complaint(watermark_info=[True]).startswith("watermark_info: ")


# Camera


@pytest.mark.parametrize("axis", CAMERA_AXES)
@pytest.mark.parametrize("value", [-10, -0.5, 10])
def test_one_axis_in_range_is_a_movement(axis: str, value: float) -> None:
    others = dict.fromkeys(set(CAMERA_AXES) - {axis}, 0)
    assert (
        body(camera_control={"type": "simple", "config": {axis: value, **others}})["camera_control"][
            "config"
        ][axis]
        == value
    )


@pytest.mark.parametrize("config", [{}, {"pan": 0}, {"pan": 1, "tilt": 1}, dict.fromkeys(CAMERA_AXES, -10)])
def test_none_or_two_axes_are_refused(config: dict[str, float]) -> None:
    text = complaint(camera_control={"type": "simple", "config": config})
    assert text.startswith(
        "camera_control.config: exactly one of horizontal, vertical, pan, tilt, roll, zoom"
    )


@pytest.mark.parametrize("value", [10.01, -11, float("nan"), float("inf"), "far"])
def test_an_axis_out_of_range_is_named(value: object) -> None:
    text = complaint(camera_control={"type": "simple", "config": {"pan": value}})
    assert text.startswith("camera_control.config.pan: Input should be ")


@pytest.mark.parametrize("preset", ["down_back", "forward_up", "right_turn_forward", "left_turn_forward"])
def test_a_preset_goes_without_config(preset: str) -> None:
    assert body(camera_control={"type": preset})["camera_control"] == {"type": preset}
    text = complaint(camera_control={"type": preset, "config": {"zoom": 1}})
    assert text.startswith("camera_control.config: it goes with type 'simple' only")
    assert text.endswith(f"got type {preset!r} with config {{'zoom': 1.0}}")


def test_simple_needs_a_config() -> None:
    text = complaint(camera_control={"type": "simple"})
    assert text == "camera_control.config: type 'simple' needs one, got type 'simple' with config None"


def test_an_unknown_movement_is_told_which_there_are() -> None:
    text = complaint(camera_control={"type": "dolly"})
    assert text.startswith("camera_control.type: Input should be 'simple', 'down_back', ")
    assert text.endswith("got 'dolly'")


def test_models_may_be_given_ready_made() -> None:
    control = CameraControl(type="simple", config=CameraConfig(zoom=2))
    assert body(camera_control=control)["camera_control"] == {"type": "simple", "config": {"zoom": 2.0}}
    with pytest.raises(KlingInputError, match="config: type 'simple' needs one"):
        CameraControl(type="simple")


# Shots


def shots(*durations: object) -> list[dict[str, object]]:
    return [{"index": n, "prompt": f"shot {n}", "duration": d} for n, d in enumerate(durations, 1)]


def test_customized_shots_need_no_prompt() -> None:
    sent = body(prompt=None, multi_shot=True, shot_type="customize", duration=6, multi_prompt=shots(2, "4"))
    assert "prompt" not in sent
    assert [shot["duration"] for shot in sent["multi_prompt"]] == ["2", "4"]


@pytest.mark.parametrize("durations", [(5,), (2, 3), (1, 1, 1, 1, 2)])
def test_shots_must_add_up(durations: tuple[int, ...]) -> None:
    text = complaint(multi_shot=True, shot_type="customize", duration=10, multi_prompt=shots(*durations))
    assert text.endswith(f"must add up to duration 10, got {sum(durations)}")


@pytest.mark.parametrize("multi_prompt", [None, []])
def test_customized_shots_must_be_there(multi_prompt: object) -> None:
    assert complaint(multi_shot=True, shot_type="customize", multi_prompt=multi_prompt).startswith(
        "multi_prompt: "
    )


def test_six_shots_pass_and_seven_do_not() -> None:
    arguments: dict[str, Any] = {"multi_shot": True, "shot_type": "customize"}
    assert len(body(**arguments, duration=6, multi_prompt=shots(*[1] * 6))["multi_prompt"]) == 6
    assert "multi_prompt" in complaint(**arguments, duration=7, multi_prompt=shots(*[1] * 7))


@pytest.mark.parametrize(
    "shot", [{"prompt": "x" * 513}, {"prompt": ""}, {"index": 0}, {"index": 7}, {"duration": 0}]
)
def test_a_bad_shot_is_named_by_its_place_and_not_as_the_prompt_of_the_video(shot: dict[str, object]) -> None:
    bad = {**shots(5)[0], **shot}
    (field,) = shot
    text = complaint(multi_shot=True, shot_type="customize", duration=5, multi_prompt=[bad])
    assert text.startswith(f"multi_prompt.0.{field}: ")
    assert field != "duration" or "must be a whole number of seconds, got '0'" in text


def test_a_shot_of_512_characters_passes() -> None:
    assert Shot(index=1, prompt="狐" * 512, duration="5").duration == "5"


def test_multi_shot_needs_a_type_and_intelligence_needs_a_prompt() -> None:
    assert complaint(multi_shot=True).startswith("shot_type: multi_shot needs 'customize' or 'intelligence'")
    assert complaint(multi_shot=True, shot_type="intelligence", prompt="").startswith("prompt: ")
    assert body(multi_shot=True, shot_type="intelligence")["shot_type"] == "intelligence"


# Fields of tomorrow


def test_extra_body_is_sent_as_it_is() -> None:
    extra = {"seed": 7, "nested": {"a": [1, None, True]}}
    assert body(extra_body=extra) == {"prompt": "A fox", **extra}


def test_extra_body_may_not_override_an_argument() -> None:
    text = complaint(extra_body={"prompt": "x", "mode": "pro", "seed": 1})
    assert text == "extra_body: mode, prompt has an argument of its own"


@pytest.mark.parametrize("value", [object(), float("nan"), {1, 2}, b"x", "\ud800", {1: "a", "b": 2}])
def test_extra_body_that_json_cannot_carry_is_refused_before_it_costs(value: object) -> None:
    assert complaint(extra_body={"seed": value}).startswith("extra_body: it must be plain JSON (")


@settings(max_examples=150)
@given(
    st.dictionaries(
        st.sampled_from(sorted(Text2VideoRequest.model_fields)),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats()
            | st.text(max_size=8)
            | st.binary(max_size=4),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
            ),
            max_leaves=6,
        ),
    )
)
def test_any_arguments_are_a_request_or_an_input_error(fields: dict[str, Any]) -> None:
    with contextlib.suppress(KlingInputError):
        request = Text2VideoRequest(**fields)
        assert isinstance(request.body(), dict)
        assert request.seconds > 0
