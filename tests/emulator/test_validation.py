"""What a create is refused for, and that a refused create buys nothing."""

from __future__ import annotations

import pytest

CAMERA = {"model_name": "kling-v1", "duration": "5", "mode": "std"}
V3 = {"model_name": "kling-v3", "multi_shot": True, "shot_type": "customize", "duration": "5"}


def simple(**config):
    return {"type": "simple", "config": config}


def shot(seconds="5", prompt="x", index=1):
    return {"index": index, "prompt": prompt, "duration": seconds}


REFUSED = [
    ({"prompt": ...}, 1201, "prompt cannot be empty"),
    ({"prompt": " \n"}, 1201, "prompt cannot be empty"),
    ({"prompt": None}, 1201, "prompt cannot be empty"),
    ({"prompt": "x" * 2501}, 1201, "prompt length can not be greater than 2500"),
    ({"prompt": 5}, 1200, "prompt has the wrong type: int"),
    ({"negative_prompt": "x" * 2501}, 1201, "negative_prompt length can not be greater than 2500"),
    ({"model_name": "kling-v99"}, 1203, "model_name 'kling-v99' does not exist"),
    ({"model_name": "kling-v1-5"}, 1201, "model_name value 'kling-v1-5' is invalid"),
    ({"duration": "99"}, 1201, "duration value '99' is invalid"),
    ({"duration": "7"}, 1201, "duration value '7' is invalid"),
    ({"duration": 5}, 1201, "duration value '5' is invalid"),
    ({"duration": "five"}, 1201, "duration value 'five' is invalid"),
    ({"mode": "4k"}, 1201, "mode value '4k' is invalid"),
    ({"model_name": "kling-v2-master", "mode": "std"}, 1201, "mode value 'std' is invalid"),
    ({"aspect_ratio": "4:3"}, 1201, "aspect_ratio value '4:3' is invalid"),
    ({"sound": "yes"}, 1201, "sound value 'yes' is invalid"),
    ({"sound": "on"}, 1201, "sound is not supported by kling-v2-6 in mode std"),
    ({"model_name": "kling-v1-6", "sound": "on"}, 1201, "sound value 'on' is invalid"),
    ({"voice_list": [{"voice_id": "v"}]}, 1201, "voice_list needs sound to be on"),
    ({"voice_list": [{}, {}, {}]}, 1201, "voice_list can not have more than 2 items"),
    ({"mode": "pro", "sound": "on", "voice_list": ["v"]}, 1201, "voice_list value 'v' is invalid"),
    ({"voice_list": "v"}, 1200, "voice_list has the wrong type: str"),
    ({"cfg_scale": 0.5}, 1201, "cfg_scale is not supported by kling-v2-6"),
    ({"model_name": "kling-v1-6", "cfg_scale": 1.5}, 1201, "cfg_scale value '1.5' is invalid"),
    ({"model_name": "kling-v1-6", "cfg_scale": True}, 1200, "cfg_scale has the wrong type: bool"),
    ({"watermark_info": {"enabled": "yes"}}, 1201, "watermark_info.enabled value 'yes' is invalid"),
    ({"callback_url": "ftp://x"}, 1201, "callback_url value 'ftp://x' is invalid"),
    ({"external_task_id": 5}, 1200, "external_task_id has the wrong type: int"),
    ({"multi_shot": True}, 1201, "multi_shot is not supported by kling-v2-6"),
    (
        {"camera_control": simple(zoom=5)},
        1201,
        "camera_control is only supported in std mode with 5s duration and kling-v1",
    ),
    (
        {**CAMERA, "mode": "pro", "camera_control": simple(zoom=5)},
        1201,
        "camera_control is only supported in std mode with 5s duration and kling-v1",
    ),
    ({**CAMERA, "camera_control": {"type": "spin"}}, 1201, "camera_control.type value 'spin' is invalid"),
    (
        {**CAMERA, "camera_control": {"type": "simple"}},
        1201,
        "camera_control.config is required for type simple",
    ),
    (
        {**CAMERA, "camera_control": {"type": "down_back", "config": {"zoom": 1}}},
        1201,
        "camera_control.config must be empty for type down_back",
    ),
    (
        {**CAMERA, "camera_control": simple(zoom=1, pan=1)},
        1201,
        "camera_control.config must have exactly one non-zero value",
    ),
    (
        {**CAMERA, "camera_control": simple(zoom=0)},
        1201,
        "camera_control.config must have exactly one non-zero value",
    ),
    ({**CAMERA, "camera_control": simple(zoom=11)}, 1201, "camera_control.config.zoom value '11' is invalid"),
    ({**CAMERA, "camera_control": simple(spin=1)}, 1201, "camera_control.config.spin value '1' is invalid"),
    ({**V3, "shot_type": "random"}, 1201, "shot_type value 'random' is invalid"),
    ({**V3, "shot_type": "intelligence", "prompt": ""}, 1201, "prompt cannot be empty"),
    ({**V3}, 1201, "multi_prompt must have 1 to 6 items"),
    ({**V3, "multi_prompt": [shot()] * 7}, 1201, "multi_prompt must have 1 to 6 items"),
    (
        {**V3, "multi_prompt": [shot("2"), shot("2")]},
        1201,
        "the durations of multi_prompt must add up to 5, not 4",
    ),
    ({**V3, "multi_prompt": [shot(prompt="")]}, 1201, "multi_prompt.prompt value '' is invalid"),
    ({**V3, "multi_prompt": [shot(index="1")]}, 1201, "multi_prompt.index value '1' is invalid"),
    ({**V3, "multi_prompt": [shot(seconds=5)]}, 1201, "multi_prompt.duration value '5' is invalid"),
]


@pytest.mark.parametrize(("fields", "code", "message"), REFUSED)
def test_a_bad_request_is_refused_in_the_services_words_and_buys_nothing(
    caller, emulator, fields, code, message
):
    emulator.settings.discontinued = frozenset()
    answer = caller.create(**fields)
    assert answer.json()["message"] == message
    assert (answer.status_code, answer.json()["code"]) == (404 if code == 1203 else 400, code)
    assert "data" not in answer.json()
    assert emulator.ledger()["accepted"] == 0
    assert emulator.ledger()["refused"] == {str(code): 1}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"prompt": "狐" * 2500},
        {"external_task_id": ""},
        {"mode": "pro", "sound": "on", "voice_list": [{"voice_id": "v1"}], "duration": "10"},
        {"model_name": "kling-v3", "mode": "4k", "duration": "15", "aspect_ratio": "9:16"},
        {"model_name": "kling-v2-master"},
        {"model_name": "kling-v1-6", "cfg_scale": 1, "negative_prompt": "blur"},
        {**CAMERA, "cfg_scale": 0.5, "camera_control": simple(zoom=-10, pan=0)},
        {**CAMERA, "camera_control": {"type": "forward_up"}},
        {**V3, "prompt": ..., "multi_prompt": [shot("2"), shot("3")]},
        {**V3, "shot_type": "intelligence"},
        {"watermark_info": {"enabled": True}, "mode": None, "a_field_of_tomorrow": 1},
    ],
)
def test_a_good_request_is_accepted(caller, emulator, fields):
    emulator.settings.discontinued = frozenset()
    assert caller.create(**fields).json()["code"] == 0
    assert emulator.ledger()["accepted"] == 1


def test_the_services_default_model_is_discontinued(caller):
    message = "The model 'kling-v1' has been discontinued and is no longer available."
    assert caller.create(model_name=...).json()["message"] == message
    assert caller.create(model_name="kling-v1").json()["code"] == 1201


@pytest.mark.parametrize("content", [b"", b"not json", b"[1]", b"[" * 100_000])
def test_a_body_that_is_no_json_object_is_1200(caller, content):
    answer = caller.http.post("/v1/videos/text2video", content=content)
    assert (answer.status_code, answer.json()["code"]) == (400, 1200)


def test_half_an_emoji_does_not_break_an_answer(caller):
    answer = caller.http.post(
        "/v1/videos/text2video",
        content=rb'{"model_name": "kling-v2-6", "prompt": "\ud83d", "external_task_id": "\ud83d"}',
    )
    assert answer.json()["code"] == 0


def test_other_kinds_are_taken_with_a_check_of_shape_only(caller, emulator):
    path = "/v1/videos/image2video"
    body = {"model_name": "kling-v2-6", "image": "aGk=", "external_task_id": "af-1"}
    task_id = caller.http.post(path, json=body).json()["data"]["task_id"]
    assert caller.http.get(f"{path}/af-1").json()["data"]["task_id"] == task_id
    assert caller.query(task_id).json()["code"] == 1201, "of another kind"
    assert caller.http.post(path, json={"duration": "long"}).json()["code"] == 1201
