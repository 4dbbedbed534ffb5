"""What Airflow remembers of a submission across tries (3.3 and later).

The computed identity finds a task wherever the service knows external ids. This record finds it also where a
relay drops them, and tells there whether an earlier try was about to buy. It is never trusted for another
request: it must carry an id of the same identity.
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
    """One create, accepted or about to be sent.

    :param task_id: Kling's id; empty while the create is about to be sent.
    :param external_task_id: ours, with the generation.
    :param fingerprint: of the request.
    :param submitted_at: seconds since the epoch.
    :param try_number: of the Airflow task that sent it.
    :param clears: how far clears had moved that task.
    """

    task_id: str
    external_task_id: str
    fingerprint: str
    submitted_at: float
    try_number: int = 0
    clears: int = 0

    def is_of(self, identity: Identity, fingerprint: str) -> bool:
        """Whether it stands for this request."""
        return identity.generation(self.external_task_id) is not None and self.fingerprint == fingerprint


def recall(context: Mapping[str, Any]) -> SubmissionRecord | None:
    """The record that an earlier try left, of whatever request.

    An unreadable store raises: taking it for empty could buy twice.
    """
    store = task_state_store(context)
    stored = store.get(KEY) if store is not None else None
    if not isinstance(stored, dict):
        return None
    try:
        record = SubmissionRecord(**stored)
    except TypeError:
        return None
    texts = (record.task_id, record.external_task_id, record.fingerprint)
    return record if all(isinstance(text, str) for text in texts) else None


def announce(context: Mapping[str, Any], record: SubmissionRecord) -> None:
    """Write that a create is about to be sent. Trouble here stops it: nothing is bought yet."""
    store = task_state_store(context)
    if store is not None:
        store.set(KEY, asdict(record), retention=never_expire())


def withdraw(context: Mapping[str, Any]) -> None:
    """Take an announcement back: it is certain that nothing was bought."""
    store = task_state_store(context)
    if store is not None:
        store.delete(KEY)


def remember(context: Mapping[str, Any], record: SubmissionRecord) -> None:
    """Write what was accepted. The video is bought: trouble here must not fail the task."""
    try:
        announce(context, record)
    except Exception as e:
        log.warning("Could not store the id of task %s, going on: %s", record.task_id, e)
