"""Facts about the Kling API as data: hosts, task kinds and their paths, models and what each accepts.

Source of a fact, where not said otherwise: the "text to video" page and the capability map of the
official API reference (https://app.klingai.com/global/dev/document-api), legacy paths (``/v1/…``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum

#: Used when neither the operator nor the connection names a model. The service's own default
#: (``kling-v1``) is discontinued, so a model is always sent.
DEFAULT_MODEL = "kling-v2-6"

#: Where a connection without a host goes (accounts outside mainland China).
DEFAULT_BASE_URL = "https://api-singapore.klingai.com"

#: Kling's own hosts. Everything else is treated as a relay with habits of its own.
OFFICIAL_HOSTS = frozenset({"api-singapore.klingai.com", "api-beijing.klingai.com", "api.klingai.com"})

#: Kling clears a finished video after this many days.
RETENTION_DAYS = 30

#: Characters, counted as Python counts them. Official since 2024-09-19.
PROMPT_MAX_CHARS = 2500
NEGATIVE_PROMPT_MAX_CHARS = 2500

#: What relays document (Kling's own limits before 2024-09-19).
RELAY_PROMPT_MAX_CHARS = 500
RELAY_NEGATIVE_PROMPT_MAX_CHARS = 200

#: Of one shot in ``multi_prompt``.
SHOT_PROMPT_MAX_CHARS = 512
SHOTS_MAX = 6
VOICES_MAX = 2

ASPECT_RATIOS = ("16:9", "9:16", "1:1")
CAMERA_TYPES = ("simple", "down_back", "forward_up", "right_turn_forward", "left_turn_forward")
CAMERA_AXES = ("horizontal", "vertical", "pan", "tilt", "roll", "zoom")
CAMERA_LIMIT = 10

#: The only mode and duration in which ``camera_control`` works, on the models that have it.
CAMERA_MODE = "std"
CAMERA_DURATION = 5

#: Kling documents neither length nor characters; this is a set that was seen to work.
EXTERNAL_TASK_ID_PATTERN = r"[A-Za-z0-9_-]{1,64}"

#: When a price was the official one ("Pricing, video"), and for families that are no longer listed there:
#: theirs are from the list before it, which was per clip.
PRICES_OF = "2026-09"
OLDER_PRICES = "before 2026-09"

#: ``pageSize`` of the list call.
PAGE_SIZE_MAX = 500


class TaskKind(str, Enum):
    """What a task makes; decides the path it is created and looked up under."""

    TEXT2VIDEO = "text2video"
    IMAGE2VIDEO = "image2video"
    MULTI_IMAGE2VIDEO = "multi-image2video"
    OMNI_VIDEO = "omni-video"
    VIDEO_EXTEND = "video-extend"
    EFFECTS = "effects"
    MOTION_CONTROL = "motion-control"
    LIP_SYNC = "lip-sync"
    AVATAR = "avatar"

    @property
    def path(self) -> str:
        """Path below the base URL, e.g. ``/v1/videos/text2video``."""
        return f"/v1/videos/{_PATH_OF.get(self, self.value)}"


_PATH_OF = {TaskKind.LIP_SYNC: "advanced-lip-sync", TaskKind.AVATAR: "avatar/image2video"}


@dataclass(frozen=True)
class Model:
    """What one ``model_name`` accepts on the text2video path, and what it costs."""

    name: str
    #: Empty: the model has no ``mode`` parameter.
    modes: tuple[str, ...]
    #: Seconds.
    durations: tuple[int, ...]
    #: Modes in which ``sound="on"`` is accepted; empty: never.
    sound_modes: tuple[str, ...] = ()
    camera_control: bool = False
    cfg_scale: bool = False
    multi_shot: bool = False
    #: False: Kling's own documentation has the model for image2video only.
    text2video: bool = True
    #: Since when the model is gone, and who says so.
    retired: str = ""
    #: Units per second of video by (mode, sound), where sound is "off", "on", or "voice" for sound with a
    #: voice of one's own. A model without modes has "".
    units_per_second: Mapping[tuple[str, str], Decimal] = field(default_factory=dict)
    #: When that was the list price.
    prices_of: str = PRICES_OF


def _units(**prices: str) -> dict[tuple[str, str], Decimal]:
    """``std="0.3", pro_on="1.0"`` -> ``{("std", "off"): 0.3, ("pro", "on"): 1.0}``; ``any`` is no mode."""
    table = {}
    for key, price in prices.items():
        mode, _, sound = key.partition("_")
        table["" if mode == "any" else "4k" if mode == "uhd" else mode, sound or "off"] = Decimal(price)
    return table


_FIVE_OR_TEN = (5, 10)
_THIRD_PARTY_EOL = "2026-09-15, according to Comfy's documentation"

MODELS: Mapping[str, Model] = {
    model.name: model
    for model in (
        Model(
            "kling-v1",
            ("std", "pro"),
            _FIVE_OR_TEN,
            camera_control=True,
            cfg_scale=True,
            retired="2026-09 (the service answers that it has been discontinued)",
            units_per_second=_units(std="0.2", pro="0.7"),
            prices_of=OLDER_PRICES,
        ),
        Model(
            "kling-v1-5",
            ("std", "pro"),
            _FIVE_OR_TEN,
            cfg_scale=True,
            text2video=False,
            retired=_THIRD_PARTY_EOL,
        ),
        Model(
            "kling-v1-6",
            ("std", "pro"),
            _FIVE_OR_TEN,
            cfg_scale=True,
            retired=_THIRD_PARTY_EOL,
            units_per_second=_units(std="0.4", pro="0.7"),
            prices_of=OLDER_PRICES,
        ),
        Model("kling-v2-master", (), _FIVE_OR_TEN, units_per_second=_units(any="2"), prices_of=OLDER_PRICES),
        Model("kling-v2-1", ("std", "pro"), _FIVE_OR_TEN, text2video=False, retired=_THIRD_PARTY_EOL),
        Model(
            "kling-v2-1-master",
            (),
            _FIVE_OR_TEN,
            retired=_THIRD_PARTY_EOL,
            units_per_second=_units(any="2"),
            prices_of=OLDER_PRICES,
        ),
        Model(
            "kling-v2-5-turbo",
            ("std", "pro"),
            _FIVE_OR_TEN,
            units_per_second=_units(std="0.3", pro="0.5"),
        ),
        Model(
            "kling-v2-6",
            ("std", "pro"),
            _FIVE_OR_TEN,
            sound_modes=("pro",),
            units_per_second=_units(std="0.3", pro="0.5", pro_on="1.0", pro_voice="1.2"),
        ),
        Model(
            "kling-v3",
            ("std", "pro", "4k"),
            tuple(range(3, 16)),
            sound_modes=("std", "pro", "4k"),
            multi_shot=True,
            units_per_second=_units(
                std="0.6", pro="0.8", uhd="3.0", std_on="0.9", pro_on="1.2", uhd_on="3.0"
            ),
        ),
    )
}


def estimate_units(
    model_name: str, *, mode: str | None, sound: str | None, duration: int, voice: bool = False
) -> Decimal | None:
    """What a video should cost in resource-pack units, or ``None`` where no price is known.

    :param duration: seconds.
    :param voice: with voices of one's own, which some models charge for.
    """
    model = MODELS.get(model_name)
    if model is None:
        return None
    key = (mode or "std") if model.modes else ""
    rate = model.units_per_second.get((key, sound or "off"))
    if voice:
        rate = model.units_per_second.get((key, "voice"), rate)
    return None if rate is None else rate * duration
