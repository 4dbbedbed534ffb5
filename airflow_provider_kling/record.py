"""What Airflow remembers of a submission across tries (3.3 and later).

The computed identity finds a task wherever the service knows external ids. This record finds it also where a
relay drops them. It is never trusted for another request: it must carry an id of the same identity.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from airflow_provider_kling.identity import Identity
from airflow_provider_kling.version_compat import never_expire, task_state_store

log = logging.getLogger(__name__)

#: Key in the task state store; deleting it by hand makes Airflow forget, and Kling's ids still protect.
KEY = "kling_submission"


@dataclass(frozen=True)
class SubmissionRecord:
    """One accepted create.

    :param task_id: Kling's id.
    :param external_task_id: ours, with the generation.
    :param fingerprint: of the request.
    :param submitted_at: seconds since the epoch.
    """

    task_id: str
    external_task_id: str
    fingerprint: str
    submitted_at: float


def recall(context: Mapping[str, Any], identity: Identity, fingerprint: str) -> SubmissionRecord | None:
    """The record of an earlier try of the same request, if there is one.

    An unreadable store raises: taking it for empty could buy twice.
    """
    store = task_state_store(context)
    stored = store.get(KEY) if store is not None else None
    if not isinstance(stored, dict):
        return None
    try:
        record = SubmissionRecord(**stored)
        mine = identity.generation(record.external_task_id) is not None
    except (TypeError, AttributeError):
        return None
    return record if mine and record.task_id and record.fingerprint == fingerprint else None


def remember(context: Mapping[str, Any], record: SubmissionRecord) -> None:
    """Write the record. The video is bought: trouble here must not fail the task."""
    store = task_state_store(context)
    if store is None:
        return
    try:
        store.set(KEY, asdict(record), retention=never_expire())
    except Exception as e:
        log.warning("Could not store the id of task %s, going on: %s", record.task_id, e)
