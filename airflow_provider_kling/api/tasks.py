"""What comes back from Kling, in one canonical form whatever host it came from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any

from airflow_provider_kling.api.catalog import RETENTION_DAYS, TaskKind

#: Version of :meth:`GenerationTask.summary`; a reader that meets another one must not guess.
SUMMARY_SCHEMA = 1


class TaskStatus(str, Enum):
    """Where a task is. Kling's own words are ``submitted``, ``processing``, ``succeed``, ``failed``."""

    SUBMITTED = "submitted"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True)
class Video:
    """One finished clip.

    :param id: Kling's id of the clip; may be empty on relays.
    :param url: where it lies for 30 days.
    :param watermark_url: the variant with a watermark, empty unless ``watermark_info`` asked for it.
    :param duration: seconds, or ``None`` where the service does not say.
    """

    id: str
    url: str
    watermark_url: str = ""
    duration: float | None = None


#: What a summary says of a clip.
_VIDEO_KEYS = ("id", "url", "watermark_url", "duration")


@dataclass(frozen=True)
class GenerationTask:
    """A task at Kling.

    :param task_id: Kling's id.
    :param kind: what it makes.
    :param status: the last status seen.
    :param status_message: why it failed; empty otherwise.
    :param external_task_id: the id its creator gave it, empty if none or if a relay dropped it.
    :param videos: the clips, empty before success.
    :param units: resource-pack units deducted, ``None`` where the service does not say (yet).
    :param created_at: UTC, ``None`` where a relay does not say.
    :param updated_at: UTC, likewise.
    :param request_id: Kling's id of the call that brought this.
    """

    task_id: str
    kind: TaskKind
    status: TaskStatus
    status_message: str = ""
    external_task_id: str = ""
    videos: tuple[Video, ...] = ()
    units: Decimal | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    request_id: str = ""

    @property
    def ended(self) -> bool:
        """Whether the status is final."""
        return self.status in (TaskStatus.SUCCEEDED, TaskStatus.FAILED)

    def described(self) -> str:
        """One line for a log: where it is, and how long after the order it got there."""
        age = ""
        if self.created_at is not None and self.updated_at is not None:
            # The service's clocks need not agree.
            seconds = max(0.0, (self.updated_at - self.created_at).total_seconds())
            age = f" after {seconds:.0f} s" if self.ended else f", {seconds:.0f} s after it was ordered"
        if self.status is TaskStatus.SUBMITTED:
            age = ""
        return f"Kling task {self.task_id}: {self.status.value}{age}."

    @property
    def expires_at(self) -> datetime | None:
        """When Kling clears the videos."""
        return None if self.created_at is None else self.created_at + timedelta(days=RETENTION_DAYS)

    def summary(self) -> dict[str, Any]:
        """The task as the small plain dict that XComs and trigger events carry.

        Times are ISO 8601 strings in UTC, ``units`` is a decimal string (``"1.5"``), ``duration`` is
        float seconds; what is unknown is ``None``.
        """
        return {
            "schema": SUMMARY_SCHEMA,
            "kind": self.kind.value,
            "task_id": self.task_id,
            "external_task_id": self.external_task_id,
            "status": self.status.value,
            "status_message": self.status_message,
            "videos": [{key: getattr(video, key) for key in _VIDEO_KEYS} for video in self.videos],
            "units": None if self.units is None else str(self.units),
            "created_at": _iso(self.created_at),
            "updated_at": _iso(self.updated_at),
            "expires_at": _iso(self.expires_at),
        }

    @classmethod
    def from_summary(cls, summary: dict[str, Any]) -> GenerationTask:
        """Read :meth:`summary` back (``request_id`` is not in it).

        :raises ValueError: it is not a summary, or one of another version.
        """
        if not isinstance(summary, dict) or summary.get("schema") != SUMMARY_SCHEMA:
            raise ValueError(f"not a task summary of schema {SUMMARY_SCHEMA}: {str(summary)[:200]}")
        try:
            return cls(
                task_id=summary["task_id"],
                kind=TaskKind(summary["kind"]),
                status=TaskStatus(summary["status"]),
                status_message=summary["status_message"],
                external_task_id=summary["external_task_id"],
                # Landed ones say more.
                videos=tuple(Video(**{k: video[k] for k in _VIDEO_KEYS}) for video in summary["videos"]),
                units=None if summary["units"] is None else Decimal(summary["units"]),
                created_at=_time(summary["created_at"]),
                updated_at=_time(summary["updated_at"]),
            )
        except (KeyError, TypeError, ValueError, ArithmeticError) as e:
            raise ValueError(f"not a task summary of schema {SUMMARY_SCHEMA}: {e!r}") from e


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
