"""Land the videos of a task: where they belong, once, whole, with their hashes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Literal, Protocol

from airflow_provider_kling.api.catalog import RETENTION_DAYS
from airflow_provider_kling.api.client import ClientSettings
from airflow_provider_kling.api.errors import check_ended_well
from airflow_provider_kling.api.tasks import GenerationTask
from airflow_provider_kling.exceptions import (
    KlingError,
    KlingInputError,
    KlingLandingError,
    KlingTaskFailedError,
    KlingTaskNotFoundError,
)
from airflow_provider_kling.landing.download import Download, Downloaded, DownloadError
from airflow_provider_kling.landing.place import Place
from airflow_provider_kling.landing.receipt import SUFFIX as RECEIPT
from airflow_provider_kling.landing.receipt import Receipt
from airflow_provider_kling.landing.stores import Store, open_store, storage_errors

log = logging.getLogger(__name__)

Overwrite = Literal["error", "skip", "replace"]
OVERWRITES = ("error", "skip", "replace")


class Source(Protocol):
    """Where videos come from: a ``KlingHook``. It is only asked to look, never to make anything."""

    def get_task(self, task_id: str, kind: str = ...) -> GenerationTask:
        """Look a task up."""

    def read_connection(self) -> Any:
        """Its ``client`` says how the network is reached."""


@dataclass(frozen=True)
class Landed:
    """One file.

    :param path: absolute on this machine, or a URI such as ``s3://bucket/key``.
    :param size: bytes.
    :param sha256: hexadecimal.
    :param fetched: by this call; otherwise it was there.
    """

    path: str
    size: int
    sha256: str
    fetched: bool

    def xcom(self) -> dict[str, Any]:
        """What a video's entry in the XCom gains."""
        return {"path": self.path, "bytes": self.size, "sha256": self.sha256}


@dataclass(frozen=True)
class Landing:
    """How the videos of one task are landed.

    :param place: where.
    :param overwrite: what to do about another file of the same name: ``error``, ``skip`` (keep it) or
        ``replace``.
    :param watermark: land the watermarked variants instead.
    """

    place: Place
    overwrite: Overwrite = "error"
    watermark: bool = False

    @classmethod
    def of(
        cls, output_path: Any, conn_id: str | None = None, overwrite: str = "error", watermark: bool = False
    ) -> Landing:
        """Read an operator's arguments, rendered.

        :raises KlingInputError: they make no sense.
        """
        if overwrite not in OVERWRITES:
            raise KlingInputError(
                f"overwrite: {overwrite!r} is not one of {', '.join(OVERWRITES)}. Nothing was bought."
            )
        return cls(Place.of(output_path, conn_id or None), overwrite, watermark)  # type: ignore[arg-type]

    def check(self) -> None:
        """Before anything is bought: the place can be written to.

        :raises KlingInputError: it can't, and a retry would not change that.
        :raises KlingOutputError: it can't be reached now.
        """
        store = open_store(self.place)
        with storage_errors(self.place):
            store.try_writing(self.place.folder)
            if not self.place.stem or self.overwrite != "error":
                return
            path = self.place.path(self.place.names("", 1)[0])
            taken = store.size(path) is not None and Receipt.read(store.read(path + RECEIPT)) is None
        if taken:
            raise KlingInputError(
                f"output_path: there is a file at {path} already. Nothing was bought; choose another name, "
                "or overwrite='skip' or 'replace'."
            )

    def land(
        self, task: GenerationTask, source: Source, *, sleep: Callable[[float], None] = time.sleep
    ) -> list[Landed]:
        """Land every video of a task that has succeeded.

        :param task: with its videos.
        :param source: is asked for a fresh address where one has expired.
        :raises KlingLandingError: it did not work out; nothing is left under a final name.
        """
        check_ended_well(task)
        videos = _Videos(task, source, self.watermark)
        names = self.place.names(task.task_id, len(task.videos), watermark=self.watermark)
        store = open_store(self.place)
        settings = source.read_connection().client
        return [
            _One(self, store, videos, number, self.place.path(name)).land(settings, sleep)
            for number, name in enumerate(names, start=1)
        ]


@dataclass
class _Videos:
    """The addresses of a task's videos, asked for again at most once."""

    task: GenerationTask
    source: Source
    watermark: bool
    asked_again: bool = False

    def url(self, number: int) -> str:
        """The address of the n-th video, from 1."""
        video = self.task.videos[number - 1]
        if not self.watermark:
            return video.url
        if not video.watermark_url:
            raise KlingLandingError(
                f"Task {self.task.task_id} has no watermarked variant: only watermark_info={{'enabled': "
                "True}} in the request makes one. The video without it is there; nothing is bought again.",
                task_id=self.task.task_id,
                hopeless=True,
            )
        return video.watermark_url

    def fresh_url(self, number: int) -> str:
        """Ask Kling again: its addresses expire before its videos do."""
        old = self.task
        try:
            if not self.asked_again:
                self.task = self.source.get_task(old.task_id, old.kind.value)
                self.asked_again = True
            check_ended_well(self.task)
        except (KlingTaskNotFoundError, KlingTaskFailedError) as e:
            raise cleared(old) from e
        if len(self.task.videos) < number:
            raise cleared(old)
        return self.url(number)


@dataclass
class _One:
    """One video of a task on its way to its file."""

    landing: Landing
    store: Store
    videos: _Videos
    number: int
    path: str

    def land(self, settings: ClientSettings, sleep: Callable[[float], None]) -> Landed:
        task_id = self.videos.task.task_id
        try:
            if (there := self._there()) is not None:
                return there
            started = time.monotonic()
            got = self._fetch(settings, sleep)
        except KlingError:
            raise
        except DownloadError as e:
            raise self._failed(e) from e
        except Exception as e:
            # The storage's. Each kind has its own.
            raise KlingLandingError(
                f"Video {self.number} of task {task_id} could not be written to {self.path}: "
                f"{type(e).__name__}: {e}. {self._left()}",
                task_id=task_id,
            ) from e
        seconds = max(time.monotonic() - started, 1e-3)
        log.info(
            "Landed: video %s of task %s at %s (%s bytes, sha256 %s, %.1f MB/s).",
            self.number,
            task_id,
            self.path,
            f"{got.size:,}",
            got.sha256,
            got.size / 1e6 / seconds,
        )
        return Landed(self.path, got.size, got.sha256, fetched=True)

    def _there(self) -> Landed | None:
        """The file if it is there and is to stay; ``None`` if it is to be fetched."""
        task_id, watermark = self.videos.task.task_id, self.landing.watermark
        size = self.store.size(self.path)
        if size is None:
            return None
        receipt = Receipt.read(self.store.read(self.path + RECEIPT))
        ours = receipt is not None and receipt.is_of(task_id, self.number, watermark)
        sha256 = ""
        if receipt is not None and ours and receipt.size == size:
            sha256 = self.store.sha256(self.path)
            if sha256 == receipt.sha256:
                log.info("Already landed: %s (%s bytes, hash as recorded).", self.path, f"{size:,}")
                return Landed(self.path, size, sha256, fetched=False)
        if self.landing.overwrite == "replace":
            return None
        if self.landing.overwrite == "skip":
            log.warning("Kept the file that was at %s; it is not known to be this video.", self.path)
            return Landed(self.path, size, sha256 or self.store.sha256(self.path), fetched=False)
        what = "was landed by this task and has changed since" if ours else "is not known to be this video"
        raise KlingLandingError(
            f"There is a file at {self.path} already, which {what}. Nothing was overwritten. {self._left()} "
            "Move the file, or set overwrite='skip' or 'replace', and clear this Airflow task.",
            task_id=task_id,
            hopeless=True,
        )

    def _fetch(self, settings: ClientSettings, sleep: Callable[[float], None]) -> Downloaded:
        video = Download(
            self.videos.url(self.number), lambda: self.videos.fresh_url(self.number), settings, sleep
        )
        writer = self.store.writer(self.path)
        try:
            got = video.into(writer)
            receipt = Receipt(
                self.videos.task.task_id, self.number, self.landing.watermark, got.size, got.sha256
            )
            # Before the file has its name: whoever finds the file finds what it has to be.
            self.store.put(self.path + RECEIPT, receipt.text(self.path.rpartition("/")[2]))
            writer.commit()
        finally:
            writer.abort()
        if (size := self.store.size(self.path)) != got.size:
            raise OSError(f"the storage has {size} bytes of it, {got.size} were written")
        return got

    def _failed(self, error: DownloadError) -> KlingLandingError:
        task = self.videos.task
        if error.expired and task.expires_at is not None and task.expires_at < datetime.now(timezone.utc):
            return cleared(task)
        return KlingLandingError(
            f"Video {self.number} of task {task.task_id} could not be downloaded: {error}. {self._left()}",
            task_id=task.task_id,
        )

    def _left(self) -> str:
        expires = self.videos.task.expires_at
        until = f" until {expires:%Y-%m-%d %H:%M} UTC" if expires else ""
        return f"Kling keeps it{until}; a retry or a clear lands it, nothing is bought again."


def cleared(task: GenerationTask) -> KlingLandingError:
    """The exception for a video that is gone."""
    since = f" (this one was made on {task.created_at:%Y-%m-%d %H:%M} UTC)" if task.created_at else ""
    return KlingLandingError(
        f"Kling has the video of task {task.task_id} no longer: it clears them after {RETENTION_DAYS} days"
        f"{since}. It can't be downloaded any more, retrying will not help; clear the task that made it, "
        "which buys a new one.",
        task_id=task.task_id,
        hopeless=True,
    )
