"""Which video a task instance stands for: the one place that decides who pays for what.

One video for each (run, task, map index, request, take). The id is computed, never stored, so a retry, a
crashed worker and a restarted scheduler all come to the same one, and Kling refuses to make it twice.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from airflow_provider_kling.exceptions import KlingInputError

#: Fields that do not change what is bought.
_NOT_BOUGHT = frozenset({"callback_url", "external_task_id"})


class TaskInstanceLike(Protocol):
    """What is read of an Airflow task instance."""

    dag_id: str
    task_id: str
    run_id: str
    map_index: int | None
    try_number: int
    max_tries: int


def _digest(*parts: object, size: int = 32) -> str:
    """Hash of the parts; JSON keeps ("ab", "c") apart from ("a", "bc")."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:size]


def fingerprint(base_url: str, body: Mapping[str, Any]) -> str:
    """What is bought, and where: the account's address and the request as it is sent.

    :param body: the JSON object, model included.
    """
    return _digest(base_url.rstrip("/"), {k: v for k, v in body.items() if k not in _NOT_BOUGHT})


def clears(ti: TaskInstanceLike, retries: int) -> int:
    """How far clearing has moved this task: Airflow raises ``max_tries`` on a clear, never on a retry."""
    return max(0, (ti.max_tries or 0) - retries)


@dataclass(frozen=True)
class Identity:
    """The external ids of one video.

    :param stem: what every generation's id starts with, or the author's own id.
    :param own: it is the author's own, which has no further generations.
    """

    stem: str
    own: bool = False

    @classmethod
    def of(
        cls, ti: TaskInstanceLike, request_fingerprint: str, *, take: str | int | None = None, epoch: int = 0
    ) -> Identity:
        """Compute it.

        :param take: the author's number of another version of the same prompt.
        :param epoch: moved by clears where each is to buy anew (``on_clear="regenerate"``).
        """
        map_index = -1 if ti.map_index is None else ti.map_index
        parts: list[object] = [ti.dag_id, ti.task_id, ti.run_id, map_index, request_fingerprint]
        parts.append("" if take is None else str(take))
        parts.append(epoch)
        return cls(f"af-{_digest(*parts)}")

    def external_task_id(self, generation: int = 0) -> str:
        """The id of the n-th generation; a generation ends only with a task that failed at Kling.

        :raises KlingInputError: the author's own id belongs to a failed task.
        """
        if not self.own:
            return f"{self.stem}-{generation}"
        if generation:
            raise KlingInputError(
                f"external_task_id {self.stem!r} belongs to a task that failed at Kling, and Kling takes an "
                "id only once. Nothing was bought. Choose another id, or leave external_task_id out."
            )
        return self.stem

    def generation(self, external_task_id: str) -> int | None:
        """Which generation an id is of; ``None`` if it is not of this identity."""
        if self.own:
            return 0 if external_task_id == self.stem else None
        stem, _, number = external_task_id.rpartition("-")
        return int(number) if stem == self.stem and re.fullmatch("0|[1-9][0-9]{0,8}", number) else None
