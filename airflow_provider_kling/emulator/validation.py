"""What the text2video create call refuses, in the service's manner (1200 for shape, 1201 for values).

The real service is said to take some of this more loosely (integers as ``duration``, for one, are reported
both to pass and to be refused): the emulator is strict, so that what passes here passes there.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from airflow_provider_kling.api import catalog
from airflow_provider_kling.api.catalog import Model
from airflow_provider_kling.emulator.messages import refusal

#: The service's own default, although it is discontinued: a create without ``model_name`` is refused.
SERVICE_DEFAULT_MODEL = "kling-v1"

_TYPES: dict[str, tuple[type, ...]] = {
    "model_name": (str,),
    "prompt": (str,),
    "negative_prompt": (str,),
    "mode": (str,),
    "duration": (str,),
    "aspect_ratio": (str,),
    "sound": (str,),
    "shot_type": (str,),
    "callback_url": (str,),
    "external_task_id": (str,),
    "cfg_scale": (int, float),
    "multi_shot": (bool,),
    "camera_control": (dict,),
    "watermark_info": (dict,),
    "multi_prompt": (list,),
    "voice_list": (list,),
}


def validate_text2video(body: dict[str, Any], discontinued: Collection[str]) -> dict[str, Any]:
    """Check a create body.

    :return: the body with the service's defaults filled in and nulls gone.
    :raises Refusal: what the service would answer.
    """
    body = validate_shape(body)
    model = _model(body.setdefault("model_name", SERVICE_DEFAULT_MODEL), discontinued)
    _check_prompts(body)
    _check_frame(body, model)
    _check_sound(body, model)
    _check_cfg_scale(body, model)
    _check_camera(body, model)
    _check_shots(body, model)
    return body


def validate_shape(body: dict[str, Any]) -> dict[str, Any]:
    """Check what the create calls of all kinds have in common: types, and the fields that aren't the video's.

    :return: the body without its nulls.
    """
    body = {name: value for name, value in body.items() if value is not None}
    for name, types in _TYPES.items():
        if name in body:
            _check_type(name, body[name], types)
    if not body.get("duration", "5").isdecimal():
        raise _invalid("duration", body["duration"])
    enabled = body.get("watermark_info", {}).get("enabled")
    if not isinstance(enabled, bool | None):
        raise _invalid("watermark_info.enabled", enabled)
    callback = body.get("callback_url", "")
    if callback and not callback.startswith(("http://", "https://")):
        raise _invalid("callback_url", callback)
    return body


def _invalid(name: str, value: Any) -> Exception:
    shown = str(value)
    return refusal(1201, f"{name} value '{shown if len(shown) <= 80 else shown[:80] + '...'}' is invalid")


def _check_type(name: str, value: Any, types: tuple[type, ...]) -> None:
    # bool is an int to Python, not to JSON.
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        if name == "duration":
            raise _invalid(name, value)
        raise refusal(1200, f"{name} has the wrong type: {type(value).__name__}")


def _model(name: str, discontinued: Collection[str]) -> Model:
    if name in discontinued:
        raise refusal(1201, f"The model '{name}' has been discontinued and is no longer available.")
    model = catalog.MODELS.get(name)
    if model is None:
        raise refusal(1203, f"model_name '{name}' does not exist")
    if not model.text2video:
        raise _invalid("model_name", name)
    return model


def _check_prompts(body: dict[str, Any]) -> None:
    for name, limit in (
        ("prompt", catalog.PROMPT_MAX_CHARS),
        ("negative_prompt", catalog.NEGATIVE_PROMPT_MAX_CHARS),
    ):
        if len(body.get(name, "")) > limit:
            raise refusal(1201, f"{name} length can not be greater than {limit}")
    needed = not body.get("multi_shot") or body.get("shot_type") == "intelligence"
    if needed and not body.get("prompt", "").strip():
        raise refusal(1201, "prompt cannot be empty")


def _check_frame(body: dict[str, Any], model: Model) -> None:
    if "mode" in body and body["mode"] not in model.modes:
        raise _invalid("mode", body["mode"])
    if model.modes:
        body.setdefault("mode", "std")
    if body.setdefault("duration", "5") not in {str(seconds) for seconds in model.durations}:
        raise _invalid("duration", body["duration"])
    if body.setdefault("aspect_ratio", "16:9") not in catalog.ASPECT_RATIOS:
        raise _invalid("aspect_ratio", body["aspect_ratio"])


def _check_sound(body: dict[str, Any], model: Model) -> None:
    sound = body.setdefault("sound", "off")
    if sound not in ("on", "off") or (sound == "on" and not model.sound_modes):
        raise _invalid("sound", sound)
    if sound == "on" and body.get("mode") not in model.sound_modes:
        raise refusal(1201, f"sound is not supported by {model.name} in mode {body.get('mode')}")
    voices = body.get("voice_list", [])
    if len(voices) > catalog.VOICES_MAX:
        raise refusal(1201, f"voice_list can not have more than {catalog.VOICES_MAX} items")
    if voices and sound != "on":
        raise refusal(1201, "voice_list needs sound to be on")
    for voice in voices:
        voice_id = voice.get("voice_id") if isinstance(voice, dict) else None
        if not isinstance(voice_id, str) or not voice_id:
            raise _invalid("voice_list", voice)


def _check_cfg_scale(body: dict[str, Any], model: Model) -> None:
    if "cfg_scale" not in body:
        return
    if not model.cfg_scale:
        raise refusal(1201, f"cfg_scale is not supported by {model.name}")
    if not 0 <= body["cfg_scale"] <= 1:
        raise _invalid("cfg_scale", body["cfg_scale"])


def _check_camera(body: dict[str, Any], model: Model) -> None:
    camera = body.get("camera_control")
    if camera is None:
        return
    where = (body.get("mode"), body["duration"])
    if not model.camera_control or where != (catalog.CAMERA_MODE, str(catalog.CAMERA_DURATION)):
        # The live service's words, seen in KlingAIResearch/ComfyUI-KLingAI-API issue 14.
        message = "camera_control is only supported in std mode with 5s duration and kling-v1"
        raise refusal(1201, message)
    kind, config = camera.get("type"), camera.get("config")
    if kind not in catalog.CAMERA_TYPES:
        raise _invalid("camera_control.type", kind)
    if kind != "simple":
        if config is not None:
            raise refusal(1201, f"camera_control.config must be empty for type {kind}")
        return
    if not isinstance(config, dict):
        raise refusal(1201, "camera_control.config is required for type simple")
    moved = 0
    for axis, value in config.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if axis not in catalog.CAMERA_AXES or not number or abs(value) > catalog.CAMERA_LIMIT:
            raise _invalid(f"camera_control.config.{axis}", value)
        moved += value != 0
    if moved != 1:
        raise refusal(1201, "camera_control.config must have exactly one non-zero value")


def _check_shots(body: dict[str, Any], model: Model) -> None:
    if not body.get("multi_shot"):
        return
    if not model.multi_shot:
        raise refusal(1201, f"multi_shot is not supported by {model.name}")
    if body.get("shot_type") not in ("customize", "intelligence"):
        raise _invalid("shot_type", body.get("shot_type"))
    if body["shot_type"] == "intelligence":
        return
    shots = body.get("multi_prompt", [])
    if not 1 <= len(shots) <= catalog.SHOTS_MAX:
        raise refusal(1201, f"multi_prompt must have 1 to {catalog.SHOTS_MAX} items")
    total = 0
    for shot in shots:
        prompt = shot.get("prompt") if isinstance(shot, dict) else None
        if not isinstance(prompt, str) or not prompt.strip() or len(prompt) > catalog.SHOT_PROMPT_MAX_CHARS:
            raise _invalid("multi_prompt.prompt", prompt)
        index, seconds = shot.get("index"), shot.get("duration")
        if not isinstance(index, int) or isinstance(index, bool):
            raise _invalid("multi_prompt.index", index)
        if not isinstance(seconds, str) or not (seconds.isascii() and seconds.isdigit()) or int(seconds) < 1:
            raise _invalid("multi_prompt.duration", seconds)
        total += int(seconds)
    if total != int(body["duration"]):
        raise refusal(1201, f"the durations of multi_prompt must add up to {body['duration']}, not {total}")
