"""Land the videos of a task: where they belong, once, whole, with their hashes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from airflow_provider_kling.api.errors import check_ended_well
from airflow_provider_kling.api.tasks import GenerationTask
from airflow_provider_kling.exceptions import KlingInputError
from airflow_provider_kling.landing.clip import Clip, Landed, Source, Videos, paid_for
from airflow_provider_kling.landing.place import Place
from airflow_provider_kling.landing.receipt import SUFFIX as RECEIPT
from airflow_provider_kling.landing.stores import open_store, storage_errors

Overwrite = Literal["error", "skip", "replace"]
OVERWRITES = ("error", "skip", "replace")


class NothingToBuyError(KlingInputError):
    """``overwrite="skip"``, and a file has the video's name before there is a video. Nothing was bought."""


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
        """Before anything is asked of Kling: the place can be written to, and can hold a file of that name.

        :raises KlingInputError: it can't, and a retry would not change that.
        :raises KlingOutputError: it can't be reached now.
        """
        store = open_store(self.place)
        with storage_errors(self.place):
            store.try_writing(self.place.folder)
            if self.place.stem:
                # Looking is enough to find a name too long, or a directory that has it.
                path = self.place.path(self.place.names("", 1)[0])
                for name in (path, path + RECEIPT):
                    store.size(name)

    def check_free(self) -> None:
        """When a video is about to be bought: no file has the name that it is to have.

        A name that the author gave may be another run's, take's or map index's. The video does not exist
        yet, so whatever lies there is not it, and with ``error`` could never give way to it. To be asked no
        sooner: a retry that finds its video may well find the file of it too.

        :raises KlingInputError: there is one, and ``overwrite="error"``.
        :raises NothingToBuyError: there is one, and ``overwrite="skip"``.
        :raises KlingOutputError: the storage can't be reached now.
        """
        if not self.place.stem or self.overwrite == "replace":
            return
        store = open_store(self.place)
        paths = [self.place.path(self.place.names("", count)[0]) for count in (1, 2)]
        with storage_errors(self.place):
            taken = next((path for path in paths if store.size(path) is not None), None)
        if taken is None:
            return
        if self.overwrite == "skip":
            raise NothingToBuyError(
                f"output_path: there is a file at {taken} already, and overwrite='skip' keeps it. Nothing "
                "was bought, the task is skipped; for a video, choose another name or overwrite='replace'."
            )
        raise KlingInputError(
            f"output_path: there is a file at {taken} already. Nothing was bought; choose another name, "
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
        names = self.place.names(task.task_id, len(task.videos), watermark=self.watermark)
        videos = Videos(task, source, self.watermark)
        with paid_for(task):
            store = open_store(self.place)
            settings = source.read_connection().client
            return [
                Clip(videos, number, store, self.place.path(name), self.overwrite).land(settings, sleep)
                for number, name in enumerate(names, start=1)
            ]
