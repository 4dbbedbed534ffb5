"""One video of a finished task, on its way to its file."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Protocol

from airflow_provider_kling.api.catalog import RETENTION_DAYS
from airflow_provider_kling.api.client import ClientSettings
from airflow_provider_kling.api.errors import check_ended_well
from airflow_provider_kling.api.tasks import GenerationTask
from airflow_provider_kling.exceptions import (
    KlingError,
    KlingLandingError,
    KlingTaskError,
    KlingTaskFailedError,
    KlingTaskNotFoundError,
)
from airflow_provider_kling.landing.download import Download, Downloaded, DownloadError
from airflow_provider_kling.landing.receipt import SUFFIX as RECEIPT
from airflow_provider_kling.landing.receipt import Receipt
from airflow_provider_kling.landing.stores import Store
from airflow_provider_kling.landing.writers import Writer

log = logging.getLogger(__name__)

_BEFORE_PURCHASE = re.compile(" (?:Nothing was bought|This call bought nothing)")


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
    :param kept: it is not known to be this video: another file of that name, which ``overwrite="skip"`` kept.
    """

    path: str
    size: int
    sha256: str
    fetched: bool
    kept: bool = False

    def xcom(self) -> dict[str, Any]:
        """What a video's entry in the XCom gains."""
        return {"path": self.path, "bytes": self.size, "sha256": self.sha256} | (
            {"kept": True} if self.kept else {}
        )


@dataclass
class Videos:
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
class Clip:
    """One of them, and its file.

    :param videos: of the task.
    :param number: which one, from 1.
    :param store: where it goes.
    :param path: under which name.
    :param overwrite: of :class:`~airflow_provider_kling.landing.landing.Landing`.
    """

    videos: Videos
    number: int
    store: Store
    path: str
    overwrite: str

    def land(self, settings: ClientSettings, sleep: Callable[[float], None]) -> Landed:
        """Fetch it, unless it is there.

        :raises KlingLandingError: it did not work out; nothing of it is left under its name.
        """
        task_id = self.videos.task.task_id
        try:
            return self._there() or self._fetch(settings, sleep)
        except KlingError:
            raise
        except DownloadError as e:
            raise self._failed(e) from e
        except Exception as e:
            # The storage's. Each kind has its own.
            raise KlingLandingError(
                f"Video {self.number} of task {task_id} could not be written to {self.path}: "
                f"{type(e).__name__}: {e}. {still_there(self.videos.task)}",
                task_id=task_id,
            ) from e

    def _there(self) -> Landed | None:
        """The file if it is there and is to stay; ``None`` if it is to be fetched."""
        task_id, watermark = self.videos.task.task_id, self.videos.watermark
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
        if self.overwrite == "replace":
            return None
        if self.overwrite == "skip":
            log.warning("Kept the file that was at %s; it is not known to be this video.", self.path)
            return Landed(self.path, size, sha256 or self.store.sha256(self.path), fetched=False, kept=True)
        what = "was landed by this task and has changed since" if ours else "is not known to be this video"
        raise KlingLandingError(
            f"There is a file at {self.path} already, which {what}. Nothing was overwritten. "
            f"{still_there(self.videos.task)} Move the file, or set overwrite='skip' or 'replace', and clear "
            "this Airflow task.",
            task_id=task_id,
            hopeless=True,
        )

    def _fetch(self, settings: ClientSettings, sleep: Callable[[float], None]) -> Landed:
        started = time.monotonic()
        video = Download(
            self.videos.url(self.number), lambda: self.videos.fresh_url(self.number), settings, sleep
        )
        writer = self.store.writer(self.path)
        try:
            got = video.into(writer)
            # Again: meanwhile a zombie of this task may have landed it, or another task its own.
            landed = self._there() or self._commit(writer, got)
        finally:
            writer.abort()
        if landed.fetched:
            log.info(
                "Landed: video %s of task %s at %s (%s bytes, sha256 %s, %.1f MB/s).",
                self.number,
                self.videos.task.task_id,
                self.path,
                f"{got.size:,}",
                got.sha256,
                got.size / 1e6 / max(time.monotonic() - started, 1e-3),
            )
        return landed

    def _commit(self, writer: Writer, got: Downloaded) -> Landed:
        """Write the receipt, then give the file its name: whoever finds it finds what it has to be."""
        beside, task_id = self.path + RECEIPT, self.videos.task.task_id
        receipt = Receipt(task_id, self.number, self.videos.watermark, got.size, got.sha256)
        mine = receipt.text(self.path.rpartition("/")[2])
        before = self.store.read(beside)
        try:
            self.store.put(beside, mine)
            writer.commit(exclusive=self.overwrite != "replace")
        except Exception as e:
            writer.abort()
            if (there := self._after_all(got)) is not None:
                return there
            self._put_back(mine, before)
            if isinstance(e, FileExistsError) and (there := self._there()) is not None:
                return there
            raise
        if (size := self.store.size(self.path)) != got.size:
            raise OSError(f"the storage has {size} bytes of it, {got.size} were written")
        if self.store.read(beside) != mine:
            # A rival for the same name, which lost, had written its own.
            self.store.put(beside, mine)
        return Landed(self.path, got.size, got.sha256, fetched=True)

    def _after_all(self, got: Downloaded) -> Landed | None:
        """The file if it is there though its commit failed: a zombie's, or only the answer was lost."""
        if self.store.size(self.path) != got.size or self.store.sha256(self.path) != got.sha256:
            return None
        log.info("Already landed: %s (%s bytes, the same video).", self.path, f"{got.size:,}")
        return Landed(self.path, got.size, got.sha256, fetched=False)

    def _put_back(self, mine: str, before: str | None) -> None:
        """The file is what it was, so its receipt has to be too; a rival's is left alone."""
        beside = self.path + RECEIPT
        if before == mine or self.store.read(beside) != mine:
            return
        if before is None:
            self.store.remove(beside)
        else:
            self.store.put(beside, before)

    def _failed(self, error: DownloadError) -> KlingLandingError:
        task = self.videos.task
        if error.expired and task.expires_at is not None and task.expires_at < datetime.now(timezone.utc):
            return cleared(task)
        return KlingLandingError(
            f"Video {self.number} of task {task.task_id} could not be downloaded: {error}. "
            f"{still_there(task)}",
            task_id=task.task_id,
        )


@contextmanager
def paid_for(task: GenerationTask) -> Iterator[None]:
    """Once a video is there: whatever goes wrong, the error says that it is, and leaves the retries.

    :raises KlingLandingError: for anything that is not a ``KlingTaskError`` already.
    """
    try:
        yield
    except KlingTaskError:
        raise
    except Exception as e:
        # The rest of such a message is for the time before a purchase: it says that nothing was bought, and
        # perhaps that a retry will not help.
        said = _BEFORE_PURCHASE.split(str(e))[0] if isinstance(e, KlingError) else ""
        raise KlingLandingError(
            f"The video of task {task.task_id} could not be landed: {said or f'{type(e).__name__}: {e}.'} "
            f"{still_there(task)}",
            task_id=task.task_id,
        ) from e


def still_there(task: GenerationTask) -> str:
    """What a message about a video that is not landed ends with."""
    until = f" until {task.expires_at:%Y-%m-%d %H:%M} UTC" if task.expires_at else ""
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
