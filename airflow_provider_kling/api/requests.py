"""What a caller may ask for. Everything that can be refused here is refused before a cent is spent.

Shapes and ranges that hold for every model are checked when a request is made; what a model or a host
takes is checked by :func:`check_capabilities`, when both are known.
Source: Kling API reference, "Text to Video" (legacy path ``/v1/videos/text2video``).
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from airflow_provider_kling.api import catalog
from airflow_provider_kling.exceptions import KlingInputError

_ADVICE = "Nothing was bought; correct the value, retrying will not help."


def _as_duration(value: Any) -> Any:
    """5, 5.0, "5" -> "5": the service takes a string, templates and authors give either."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value


def _as_on_off(value: Any) -> Any:
    """YAML reads a bare ``on`` as ``True``."""
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else value


def _empty_is_none(value: Any) -> Any:
    """A template that renders to nothing leaves the field out."""
    return None if isinstance(value, str) and not value.strip() else value


#: In our words what pydantic would say with a pattern or a name of its own: by field, and by kind of mistake.
_MUST_OF_FIELD = {
    "duration": "must be a whole number of seconds",
    "callback_url": "must be an http(s) address",
    "external_task_id": "must be letters, digits, - and _, at most 64",
}
_MUST = {
    "string_type": "must be text",
    "string_unicode": "must be text",
    "dict_type": "must be a dict",
    "model_type": "must be a dict",
    "list_type": "must be a list",
}

Duration = Annotated[str, BeforeValidator(_as_duration), Field(pattern=r"^[1-9][0-9]{0,2}$")]
Axis = Annotated[float, Field(ge=-catalog.CAMERA_LIMIT, le=catalog.CAMERA_LIMIT)]
Word = Annotated[str | None, BeforeValidator(_empty_is_none)]


class _Input(BaseModel):
    """A pydantic model whose complaints are :class:`KlingInputError` and never show more than is needed."""

    # Native Jinja rendering turns a prompt such as "2024" into a number: read it back as text.
    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    def __init__(self, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as e:
            raise KlingInputError(
                f"{'; '.join(_complaint(error) for error in e.errors())}. {_ADVICE}"
            ) from None


def _complaint(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    if isinstance(inner := error.get("ctx", {}).get("error"), KlingInputError):
        # "prompt" of a shot must not read as the prompt of the request.
        said = str(inner).removesuffix(f". {_ADVICE}")
        return f"{where}{'.' if re.match('[a-z_.0-9]+: ', said) else ': '}{said}"
    if not where:
        return str(error["msg"]).removeprefix("Value error, ")
    kind, got, hint = error["type"], repr(error["input"]), ""
    said = _MUST.get(kind) or str(error["msg"]).removeprefix("Value error, ")
    if kind in ("string_type", "string_pattern_mismatch"):
        said = _MUST_OF_FIELD.get(where.rpartition(".")[2], said)
    if kind == "string_too_long":
        got = f"{len(error['input'])}"
    elif kind in ("list_type", "dict_type", "model_type") and isinstance(error["input"], str):
        hint = " (a template renders to text unless the DAG sets render_template_as_native_obj=True)"
    return f"{where}: {said}, got {got if len(got) <= 80 else got[:77] + '...'}{hint}"


class CameraConfig(_Input):
    """Six axes in [-10, 10]; exactly one of them is not zero."""

    horizontal: Axis | None = None
    vertical: Axis | None = None
    pan: Axis | None = None
    tilt: Axis | None = None
    roll: Axis | None = None
    zoom: Axis | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> CameraConfig:
        moved = {axis: value for axis in catalog.CAMERA_AXES if (value := getattr(self, axis))}
        if len(moved) != 1:
            raise ValueError(f"exactly one of {', '.join(catalog.CAMERA_AXES)} must be non-zero, got {moved}")
        return self


class CameraControl(_Input):
    """A camera movement: ``simple`` with a ``config``, or one of the presets without.

    :param type: ``simple``, ``down_back``, ``forward_up``, ``right_turn_forward``, ``left_turn_forward``.
    :param config: for ``simple`` only.
    """

    type: Literal["simple", "down_back", "forward_up", "right_turn_forward", "left_turn_forward"]
    config: CameraConfig | None = None

    @model_validator(mode="after")
    def _config_goes_with_simple(self) -> CameraControl:
        if (self.type == "simple") != (self.config is not None):
            rule = "type 'simple' needs one" if self.type == "simple" else "it goes with type 'simple' only"
            raise ValueError(f"config: {rule}, got type {self.type!r} with config {_shown(self.config)}")
        return self


class Shot(_Input):
    """One shot of a ``multi_prompt``.

    :param index: position, from 1.
    :param prompt: at most 512 characters.
    :param duration: whole seconds.
    """

    index: int = Field(ge=1, le=catalog.SHOTS_MAX)
    prompt: str = Field(min_length=1, max_length=catalog.SHOT_PROMPT_MAX_CHARS)
    duration: Duration


class Voice(_Input):
    """A voice from the custom-voices API (ids of the text-to-speech API do not work)."""

    voice_id: str = Field(min_length=1)


class WatermarkInfo(_Input):
    """Whether a second variant with a watermark is made."""

    enabled: bool


class Text2VideoRequest(_Input):
    """The body of ``POST /v1/videos/text2video``. Fields and defaults are Kling's; ``None`` is not sent.

    :param model_name: e.g. ``kling-v2-6``; see ``catalog.MODELS`` for what each accepts.
    :param prompt: what to show; at most 2500 characters.
    :param negative_prompt: what to avoid; at most 2500 characters.
    :param cfg_scale: how closely to follow the prompt, 0 to 1 (v1 models only).
    :param mode: ``std`` (720p), ``pro`` (1080p), ``4k``.
    :param camera_control: camera movement (kling-v1, ``std``, 5 s only).
    :param aspect_ratio: ``16:9``, ``9:16``, ``1:1``.
    :param duration: seconds, as number or text; sent as text.
    :param callback_url: where Kling POSTs status changes.
    :param external_task_id: the caller's own id, unique in the account.
    :param sound: ``on`` or ``off``.
    :param voice_list: at most two voices, with ``sound="on"``.
    :param watermark_info: ``{"enabled": true}``.
    :param multi_shot: several shots in one video (kling-v3).
    :param shot_type: ``customize`` (with ``multi_prompt``) or ``intelligence`` (with ``prompt``).
    :param multi_prompt: one to six shots whose durations add up to ``duration``.
    :param extra_body: fields this version does not know, sent as they are.
    :raises KlingInputError: names each field, the value and what is allowed.
    """

    model_name: Word = None
    prompt: str | None = Field(default=None, max_length=catalog.PROMPT_MAX_CHARS)
    negative_prompt: str | None = Field(default=None, max_length=catalog.NEGATIVE_PROMPT_MAX_CHARS)
    cfg_scale: Annotated[Annotated[float, Field(ge=0, le=1)] | None, BeforeValidator(_empty_is_none)] = None
    mode: Word = None
    camera_control: CameraControl | None = None
    aspect_ratio: Word = None
    duration: Annotated[Duration | None, BeforeValidator(_empty_is_none)] = None
    callback_url: Word = Field(default=None, pattern=r"^https?://\S+$")
    external_task_id: Word = Field(default=None, pattern=f"^{catalog.EXTERNAL_TASK_ID_PATTERN}$")
    sound: Annotated[
        Literal["on", "off"] | None, BeforeValidator(_as_on_off), BeforeValidator(_empty_is_none)
    ] = None
    voice_list: list[Voice] | None = Field(default=None, max_length=catalog.VOICES_MAX)
    watermark_info: WatermarkInfo | None = None
    multi_shot: Annotated[bool | None, BeforeValidator(_empty_is_none)] = None
    shot_type: Annotated[Literal["customize", "intelligence"] | None, BeforeValidator(_empty_is_none)] = None
    multi_prompt: list[Shot] | None = Field(default=None, min_length=1, max_length=catalog.SHOTS_MAX)
    extra_body: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _belongs_together(self) -> Text2VideoRequest:
        customized = bool(self.multi_shot) and self.shot_type == "customize"
        if not customized and (self.prompt is None or self.prompt.strip() in ("", "None")):
            raise ValueError(f"prompt: it must not be empty, got {self.prompt!r} after rendering")
        if self.multi_shot and self.shot_type is None:
            raise ValueError("shot_type: multi_shot needs 'customize' or 'intelligence', got None")
        if customized:
            if not self.multi_prompt:
                raise ValueError("multi_prompt: shot_type 'customize' needs one to six shots, got none")
            total = sum(int(shot.duration) for shot in self.multi_prompt)
            if total != self.seconds or any(int(shot.duration) < 1 for shot in self.multi_prompt):
                raise ValueError(
                    f"multi_prompt: the shots' durations (1 s or more each) must add up to duration "
                    f"{self.seconds}, got {total}"
                )
        if self.voice_list and self.sound != "on":
            raise ValueError(f"voice_list: it needs sound='on', got sound={self.sound!r}")
        try:
            json.dumps(self.extra_body, allow_nan=False, ensure_ascii=False, sort_keys=True).encode()
        except (TypeError, ValueError, RecursionError) as e:
            raise ValueError(f"extra_body: it must be plain JSON ({e})") from e
        if taken := sorted(set(self.extra_body or ()) & set(type(self).model_fields)):
            raise ValueError(f"extra_body: {', '.join(taken)} has an argument of its own")
        return self

    @property
    def seconds(self) -> int:
        """Length of the video asked for."""
        return int(self.duration or 5)

    def body(self) -> dict[str, Any]:
        """The JSON object to send."""
        named = self.model_dump(mode="json", exclude_none=True, exclude={"extra_body"})
        return named | dict(self.extra_body or {})


@dataclass(frozen=True)
class HostLimits:
    """What the host takes, beyond the model.

    :param official: it is one of Kling's own.
    :param prompt_max_chars: refuse a longer prompt.
    :param negative_prompt_max_chars: refuse a longer negative prompt.
    """

    official: bool = True
    prompt_max_chars: int | None = None
    negative_prompt_max_chars: int | None = None


def check_capabilities(request: Text2VideoRequest, limits: HostLimits) -> list[str]:
    """Check a request that names its model against what the model and the host take.

    :return: warnings: what may be refused, but not for certain.
    :raises KlingInputError: what a known model does not take, or what the connection forbids.
    """
    warnings = _check_lengths(request, limits)
    name = request.model_name or catalog.DEFAULT_MODEL
    model = catalog.MODELS.get(name)
    if model is None:
        known = ", ".join(catalog.MODELS)
        return [
            *warnings,
            f"model_name {name!r} is not one this version knows ({known}); sending it unchecked"
            f"{_did_you_mean(name)}",
        ]
    if not model.text2video:
        complaint = f"Kling's documentation has {name!r} for image2video only"
        if limits.official:
            raise KlingInputError(f"model_name: {complaint}. {_ADVICE}")
        warnings.append(f"{complaint}; the host may refuse it")
    if model.retired:
        warnings.append(f"model {name!r} is retired since {model.retired}; the service may refuse it")
    if refused := _refusals(request, model):
        raise KlingInputError(f"{'; '.join(refused)}. {_ADVICE}")
    return warnings


def _did_you_mean(name: str) -> str:
    """The known model of which this may be a misspelling: with other digits it is another version."""
    digits = re.sub(r"\D", "", name)
    alike = [known for known in catalog.MODELS if re.sub(r"\D", "", known) == digits]
    close = difflib.get_close_matches(name.lower(), alike, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _check_lengths(request: Text2VideoRequest, limits: HostLimits) -> list[str]:
    warnings = []
    for field, maximum, usual in (
        ("prompt", limits.prompt_max_chars, catalog.RELAY_PROMPT_MAX_CHARS),
        ("negative_prompt", limits.negative_prompt_max_chars, catalog.RELAY_NEGATIVE_PROMPT_MAX_CHARS),
    ):
        length = len(getattr(request, field) or "")
        if maximum is not None and length > maximum:
            raise KlingInputError(
                f"{field}: {length} characters, the connection's {field}_max_chars allows {maximum}. "
                f"{_ADVICE}"
            )
        if maximum is None and not limits.official and length > usual:
            warnings.append(
                f"{field} has {length} characters; many relays take at most {usual} "
                f"(set {field}_max_chars in the connection's extra to settle it)"
            )
    return warnings


def _refusals(request: Text2VideoRequest, model: catalog.Model) -> list[str]:
    """One complaint for each field that the model does not take; "" is allowed: nothing at all."""
    mode = request.mode or "std"
    camera_fits = (model.camera_control, mode, request.seconds) == (
        True,
        catalog.CAMERA_MODE,
        catalog.CAMERA_DURATION,
    )
    cameras = ", ".join(m.name for m in catalog.MODELS.values() if m.camera_control)
    checks: Mapping[str, tuple[bool, str]] = {
        "mode": (
            request.mode is None or request.mode in model.modes,
            ", ".join(model.modes),
        ),
        "duration": (request.seconds in model.durations, _seconds(model.durations)),
        "aspect_ratio": (
            request.aspect_ratio is None or request.aspect_ratio in catalog.ASPECT_RATIOS,
            ", ".join(catalog.ASPECT_RATIOS),
        ),
        "sound": (
            request.sound != "on" or mode in model.sound_modes,
            f"'on' with mode {', '.join(model.sound_modes)}" if model.sound_modes else "off",
        ),
        "cfg_scale": (request.cfg_scale is None or model.cfg_scale, ""),
        "camera_control": (
            request.camera_control is None or camera_fits,
            f"only {cameras} with mode {catalog.CAMERA_MODE} and duration {catalog.CAMERA_DURATION}",
        ),
        "multi_shot": (not request.multi_shot or model.multi_shot, ""),
    }
    return [
        f"{field}: {_shown(getattr(request, field))} is not accepted by {model.name} (allowed: {allowed})"
        if allowed
        else f"{field}: {model.name} takes no {field}; leave it out"
        for field, (fits, allowed) in checks.items()
        if not fits
    ]


def _shown(value: Any) -> str:
    return repr(value.model_dump(exclude_none=True) if isinstance(value, BaseModel) else value)


def _seconds(durations: tuple[int, ...]) -> str:
    if len(durations) > 2:
        return f"{durations[0]} to {durations[-1]}"
    return ", ".join(str(d) for d in durations)
