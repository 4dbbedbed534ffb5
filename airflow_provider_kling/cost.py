"""What a video will cost, before it is bought; what was spent, as a metric."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from airflow_provider_kling import version_compat
from airflow_provider_kling.api import catalog
from airflow_provider_kling.api.requests import Text2VideoRequest
from airflow_provider_kling.exceptions import KlingInputError

log = logging.getLogger(__name__)

#: Counters: units of resource packs, and videos. Tags: ``dag_id``, ``model``.
UNITS_METRIC = "kling.units"
VIDEOS_METRIC = "kling.videos"

#: In the task state store: the task whose cost has been counted.
COUNTED_KEY = "kling_counted"


def estimate(request: Text2VideoRequest) -> Decimal | None:
    """Units that a request should cost at list price, or ``None`` where no price is known.

    :param request: with its model.
    """
    return catalog.estimate_units(
        request.model_name or "",
        mode=request.mode,
        sound=request.sound,
        duration=request.seconds,
        voice=bool(request.voice_list),
    )


def check_budget(request: Text2VideoRequest, max_units: Any = None) -> Decimal | None:
    """Log the estimate, and refuse what is above the limit. To be called before anything is bought.

    :param request: as it will be sent, with its model.
    :param max_units: number or text (a template renders to text); ``None`` or empty for no limit.
    :return: the estimate.
    :raises KlingInputError: the estimate is above the limit, or there is none and a limit was set.
    """
    limit = _limit(max_units)
    units = estimate(request)
    what = f"{request.model_name}, mode {request.mode or 'default'}, {request.seconds} s"
    if units is None:
        if limit is not None:
            raise KlingInputError(
                f"max_units: {limit} is the most that may be spent, and no price is known for {what}. "
                "Nothing was bought. Leave max_units out, or choose a model with a known price: "
                f"{', '.join(name for name, model in catalog.MODELS.items() if model.units_per_second)}."
            )
        log.info("Cost: no price is known for %s.", what)
        return None
    listed = f"list price of {catalog.MODELS[request.model_name or ''].prices_of}"
    log.info("Cost: some %s units (%s; %s).", units, what, listed)
    if limit is not None and units > limit:
        raise KlingInputError(
            f"max_units: {what} should cost {units} units ({listed}), and at most {limit} "
            "may be spent. Nothing was bought; ask for less or raise max_units."
        )
    if limit is not None and request.extra_body:
        log.warning("max_units: what extra_body asks for may cost more, its price is not known here.")
    return units


def _limit(max_units: Any) -> Decimal | None:
    if max_units is None or (isinstance(max_units, str) and not max_units.strip()):
        return None
    try:
        limit = Decimal(str(max_units).strip())
    except InvalidOperation:
        limit = Decimal("NaN")
    if isinstance(max_units, bool) or not limit.is_finite() or limit < 0:
        raise KlingInputError(
            f"max_units: it must be a number of units, 0 or more, got {max_units!r}. Nothing was bought."
        )
    return limit


def count(
    context: Mapping[str, Any],
    summary: Mapping[str, Any],
    *,
    model: str,
    already_landed: bool = False,
) -> None:
    """Add a finished task to the counters, once: neither a retry nor a clear that found it adds it again.

    Below Airflow 3.3 there is nothing to remember that in but the landed file: without ``output_path``, a
    clear that finds its video counts it anew there.

    :param summary: of the task, as in the XCom.
    :param already_landed: every video was found where it was to be landed.
    """
    store = version_compat.task_state_store(context)
    try:
        if store is None:
            counted = already_landed
        else:
            counted = store.get(COUNTED_KEY) == summary["task_id"]
            store.set(COUNTED_KEY, summary["task_id"], retention=version_compat.never_expire())
        if counted:
            return
        stats = version_compat.stats()
        tags = {"dag_id": context["ti"].dag_id, "model": model}
        stats.incr(VIDEOS_METRIC, len(summary["videos"]), tags=tags)
        if summary["units"] is not None:
            units = Decimal(summary["units"])
            stats.incr(UNITS_METRIC, int(units) if units == int(units) else float(units), tags=tags)
    except Exception as e:
        # A metric is never worth a video.
        log.warning("Could not count the cost of task %s, going on: %s", summary.get("task_id"), e)
