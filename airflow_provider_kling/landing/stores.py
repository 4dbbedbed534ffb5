"""The storage that a place is in: this machine's disks, or what Airflow's object storage or fsspec reach."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from fsspec.spec import AbstractFileSystem

from airflow_provider_kling.exceptions import KlingError, KlingInputError, KlingOutputError
from airflow_provider_kling.landing.place import LOCAL, Place
from airflow_provider_kling.landing.receipt import MAX_BYTES
from airflow_provider_kling.landing.writers import (
    PART_BYTES,
    BlockWriter,
    DiskWriter,
    MovedWriter,
    UploadWriter,
    Writer,
    protocols,
    temporary_name,
)

#: What has to be installed for Airflow to know a storage, by the protocol in a path.
EXTRAS = {
    **dict.fromkeys(("s3", "s3a", "s3n"), "s3"),
    **dict.fromkeys(("gs", "gcs"), "gcs"),
    **dict.fromkeys(("abfs", "abfss", "adl", "az", "azure", "wasb", "wasbs"), "azure"),
}


class Store(Protocol):
    """What landing needs of a storage. Paths are those of :meth:`Place.path`."""

    def try_writing(self, folder: str) -> None:
        """Write something into a folder, look up what is not there, and leave nothing.

        Makes the folder where one must be made.
        """

    def size(self, path: str) -> int | None:
        """Bytes of a file; ``None`` if there is none."""

    def sha256(self, path: str) -> str:
        """Hash of a file, by reading it."""

    def read(self, path: str) -> str | None:
        """A small text file; ``None`` if there is none, or another kind of file."""

    def put(self, path: str, text: str) -> None:
        """Write a small text file."""

    def remove(self, path: str) -> None:
        """Remove a small file, if it is there."""

    def writer(self, path: str) -> Writer:
        """Begin a file."""


class DiskStore:
    """This machine's disks."""

    def try_writing(self, folder: str) -> None:
        """Make the folder and a file in it, and remove the file."""
        os.makedirs(folder, exist_ok=True)
        name = os.path.join(folder, temporary_name("write-test"))
        with open(name, "xb") as file:
            try:
                file.write(b"\0")
                file.flush()
            finally:
                os.unlink(name)

    def size(self, path: str) -> int | None:
        """Bytes of a file.

        :raises OSError: a directory has that name, or none can: it is too long.
        """
        try:
            found = os.stat(path)
        except FileNotFoundError:
            return None
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, "a directory has the file's name", path)
        return found.st_size

    def sha256(self, path: str) -> str:
        """Hash of a file."""
        with open(path, "rb") as file:
            return _sha256(file)

    def read(self, path: str) -> str | None:
        """A small text file."""
        try:
            with open(path, "rb") as file:
                return file.read(MAX_BYTES).decode("utf-8", "replace")
        except (FileNotFoundError, IsADirectoryError):
            return None

    def put(self, path: str, text: str) -> None:
        """Write a small text file, whole."""
        writer = self.writer(path)
        try:
            writer.write(text.encode())
            writer.commit()
        finally:
            writer.abort()

    def remove(self, path: str) -> None:
        """Remove a small file."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)

    def writer(self, path: str) -> Writer:
        """Begin a file. Another worker than the one that tried may be writing: its folder is made too."""
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return DiskWriter(path)


class ObjectStore:
    """Anything that fsspec reaches.

    :param fs: with the connection's credentials.
    """

    def __init__(self, fs: AbstractFileSystem) -> None:
        self._fs = fs

    def try_writing(self, folder: str) -> None:
        """Begin an upload and abort it, which needs the bucket and the right to write and makes no object.

        Where uploads can't be aborted: write an object and delete it. Then look it up: a key that may write
        and not read would land nothing, because what was landed is looked at before and after.
        """
        path = self._inside(f"{folder}/kling-write-test-{secrets.token_hex(4)}")
        if UploadWriter.suits(self._fs):
            file = self._fs.open(path, "wb", autocommit=False)
            try:
                file.write(b"\0")
                file.close()
            finally:
                file.discard()
                file.closed = True
        else:
            with contextlib.suppress(FileExistsError, NotImplementedError):
                self._fs.makedirs(self._inside(folder), exist_ok=True)
            self._fs.pipe_file(path, b"\0")
            self._fs.rm_file(path)
        self.size(path)

    def size(self, path: str) -> int | None:
        """Bytes of an object."""
        inside = self._inside(path)
        # Listings are cached, and something else may have written since.
        self._fs.invalidate_cache(self._fs._parent(inside))
        try:
            info: dict[str, Any] = self._fs.info(inside)
        except FileNotFoundError:
            return None
        return int(info["size"]) if info.get("type") == "file" else None

    def sha256(self, path: str) -> str:
        """Hash of an object, read in parts."""
        with self._fs.open(self._inside(path), "rb", block_size=PART_BYTES) as file:
            return _sha256(file)

    def read(self, path: str) -> str | None:
        """A small object."""
        try:
            with self._fs.open(self._inside(path), "rb") as file:
                return bytes(file.read(MAX_BYTES)).decode("utf-8", "replace")
        except (FileNotFoundError, IsADirectoryError):
            return None

    def put(self, path: str, text: str) -> None:
        """Write a small object: one request, whole or not."""
        self._fs.pipe_file(self._inside(path), text.encode())

    def remove(self, path: str) -> None:
        """Delete a small object."""
        with contextlib.suppress(FileNotFoundError):
            self._fs.rm_file(self._inside(path))

    def writer(self, path: str) -> Writer:
        """Begin an object."""
        for kind in (UploadWriter, BlockWriter):
            if kind.suits(self._fs):
                return kind(self._fs, self._inside(path))
        return MovedWriter(self._fs, self._inside(path))

    def _inside(self, path: str) -> str:
        protocol, _, rest = path.partition("://")
        # Airflow has more names for some storages than they have themselves: adl of Azure, say.
        return str(self._fs._strip_protocol(path if protocol in protocols(self._fs) else rest))


def _sha256(file: Any) -> str:
    digest = hashlib.sha256()
    while block := file.read(PART_BYTES):
        digest.update(block)
    return digest.hexdigest()


def open_store(place: Place) -> Store:
    """The storage of a place.

    :raises KlingInputError: no such connection, or nothing is installed for this kind of storage.
    :raises KlingOutputError: it can't be reached now.
    """
    with storage_errors(place):
        _check_connection(place)
        return DiskStore() if place.protocol == LOCAL else ObjectStore(_file_system(place))


def _check_connection(place: Place) -> None:
    """Some storages take a missing one for "use what the environment has": another account, perhaps.

    A disk needs none, but one that is named and missing was meant for something else.
    """
    from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

    if place.conn_id is None:
        return
    try:
        BaseHook.get_connection(place.conn_id)
    except AirflowNotFoundException as e:
        raise KlingInputError(
            f"object_storage_conn_id: there is no connection {place.conn_id!r}. Nothing was bought; create "
            "it, or correct the id."
        ) from e


def _file_system(place: Place) -> AbstractFileSystem:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    try:
        return ObjectStoragePath(f"{place.folder}/x", conn_id=place.conn_id).fs
    except ValueError:
        # Airflow has no provider for it. What fsspec knows by itself has no use for a connection.
        if place.conn_id is not None:
            raise
    import fsspec

    return fsspec.filesystem(place.protocol)


#: Errors that no retry mends: names that no file can have, and file systems that take none.
_LASTING = frozenset({errno.ENAMETOOLONG, errno.EISDIR, errno.EROFS})


@contextmanager
def storage_errors(place: Place) -> Iterator[None]:
    """Before anything is bought: the storage's own errors as ours, saying so."""
    try:
        yield
    except KlingError:
        raise
    except ImportError as e:
        raise KlingInputError(_not_installed(place, e)) from e
    except Exception as e:
        # Airflow's words, and fsspec's.
        if "registered for scheme" in str(e) or "Protocol not known" in str(e):
            raise KlingInputError(_not_installed(place, e)) from e
        known = (FileNotFoundError, PermissionError, NotADirectoryError, FileExistsError, ValueError)
        if isinstance(e, known) or (isinstance(e, OSError) and e.errno in _LASTING):
            raise KlingInputError(
                f"output_path: {place} can't be written to: {_words(e)}. Nothing was bought; create the "
                "folder or bucket, mend the permissions, or choose another name."
            ) from e
        raise KlingOutputError(
            f"output_path: {place} can't be reached: {_words(e)}. Nothing was bought; a retry may succeed."
        ) from e


def _not_installed(place: Place, error: Exception) -> str:
    extra = EXTRAS.get(place.protocol)
    advice = (
        f"pip install 'airflow-provider-kling[{extra}]'" if extra else "install Airflow's provider for it"
    )
    return (
        f"output_path: nothing is installed for {place.protocol}:// paths ({_words(error)}). Nothing was "
        f"bought; {advice}."
    )


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:500]
