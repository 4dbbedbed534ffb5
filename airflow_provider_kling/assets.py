"""A landed video as an asset event, for DAGs that are scheduled by it.

Airflow 2.11 has datasets instead: the same, under the names of that version.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_kling.api import catalog
from airflow_provider_kling.api.tasks import GenerationTask
from airflow_provider_kling.landing.clip import Landed
from airflow_provider_kling.landing.place import uri

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """What was asked for, as far as it is known: nothing of it for a video that was made elsewhere.

    :param model: as it was sent.
    :param mode: ``std``, ``pro``, …; ``None`` where the model has none.
    :param prompt: rendered; the shots' prompts, one a line, where it is a prompt of several shots.
    """

    model: str | None = None
    mode: str | None = None
    prompt: str | None = None

    @classmethod
    def of(cls, *, model_name: Any, mode: Any, prompt: Any, multi_prompt: Any) -> Request:
        """From an operator's fields. They are not checked again: the video is bought, this must not fail."""
        model = str(model_name)
        known = catalog.MODELS.get(model)
        standard = "std" if known is not None and known.modes else None
        text = str(prompt) if prompt else None
        if not text and isinstance(multi_prompt, list):
            text = "\n".join(str(shot.get("prompt", "")) for shot in multi_prompt if isinstance(shot, dict))
        return cls(model, str(mode) if mode else standard, text)


def describe(
    task: GenerationTask, landed: Landed, number: int, request: Request, *, with_prompt: bool = False
) -> dict[str, Any]:
    """What an event says of a video: JSON, nothing secret, the prompt only as its hash.

    :param number: which of the task's videos, from 0.
    :param with_prompt: the author wants the prompt itself in it too.
    """
    prompt = request.prompt
    said: dict[str, Any] = {
        "task_id": task.task_id,
        "model": request.model,
        "mode": request.mode,
        "duration": task.videos[number].duration,
        "units": None if task.units is None else str(task.units),
        "prompt_sha256": None if prompt is None else hashlib.sha256(prompt.encode()).hexdigest(),
        **landed.xcom(),
    }
    if with_prompt:
        said["prompt"] = prompt
    return said


def emit(context: Mapping[str, Any], outlets: Iterable[Any] | None, extras: Sequence[dict[str, Any]]) -> None:
    """Say it to Airflow. The events are recorded when the task has succeeded.

    An ``AssetAlias`` gets an event for every video, each on an asset of its own: the file. An ``Asset`` has
    one event for a task, as Airflow has it: of several videos it tells the first, and all in ``videos``.

    :param outlets: of the operator.
    :param extras: of :func:`describe`, one for each landed video.
    """
    from airflow.providers.common.compat.sdk import Asset, AssetAlias

    events = context.get("outlet_events")
    if events is None or not extras:
        return
    for outlet in outlets or ():
        if isinstance(outlet, AssetAlias):
            for said in extras:
                try:
                    events[outlet].add(Asset(uri=uri(said["path"])), extra=said)
                except ValueError as e:
                    # Too long a name, for one. It would be refused on every retry, and is not worth a video.
                    log.warning("No event on %s for %s, going on: %s", outlet, said["path"], e)
        elif isinstance(outlet, Asset):
            several = {"videos": list(extras)} if len(extras) > 1 else {}
            events[outlet].extra.update(extras[0] | several)
