"""Writing a file that is there whole or not at all. One way for each kind of storage.

- A disk: a temporary file in the same folder, renamed when it is complete.
- S3 and Google Cloud Storage: an upload that becomes an object only when it is completed, so the final name
  is used from the start. Mind that fsspec's ``with fs.open(...)`` completes it also when an error passes.
- The rest: an object with a temporary name, copied to the final one.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from typing import Any, Protocol

from fsspec.asyn import AsyncFileSystem
from fsspec.spec import AbstractBufferedFile, AbstractFileSystem

#: Bytes of one part of an upload; S3 takes up to 10,000 of them. Some three are in memory at once.
PART_BYTES = 8 * 2**20


class Writer(Protocol):
    """A file in the making. End it with ``commit`` or ``abort``."""

    def write(self, data: bytes) -> None:
        """Append."""

    def restart(self) -> None:
        """Throw away what was written, and begin again."""

    def commit(self) -> None:
        """Give it its name, whole."""

    def abort(self) -> None:
        """Leave nothing behind. Harmless after ``commit``."""


def temporary_name(name: str) -> str:
    """Another one for each attempt: two at once (a zombie and its successor) must not mix their bytes."""
    return f".{name}.{secrets.token_hex(4)}.part"


class DiskWriter:
    """A file on this machine's disks, network drives included."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._folder, self._name = os.path.split(path)
        self._temporary = os.path.join(self._folder, temporary_name(self._name))
        self._file = open(self._temporary, "xb", buffering=0)  # noqa: SIM115 - closed by commit and abort

    def write(self, data: bytes) -> None:
        """Append; a disk that is nearly full takes a part of it first."""
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]

    def restart(self) -> None:
        """Empty the temporary file."""
        self._file.seek(0)
        self._file.truncate()

    def commit(self) -> None:
        """Rename it, and remove what earlier attempts at the same file left when they were killed."""
        # Without it a power cut could leave the new name with nothing in it.
        os.fsync(self._file.fileno())
        self._file.close()
        os.replace(self._temporary, self._path)
        for entry in os.scandir(self._folder):
            if entry.name.startswith(f".{self._name}.") and entry.name.endswith(".part"):
                with contextlib.suppress(OSError):
                    os.unlink(entry.path)

    def abort(self) -> None:
        """Remove the temporary file."""
        with contextlib.suppress(OSError):
            self._file.close()
        with contextlib.suppress(OSError):
            os.unlink(self._temporary)


class UploadWriter:
    """An upload that is completed or aborted (``commit`` and ``discard`` of fsspec)."""

    def __init__(self, fs: AbstractFileSystem, path: str) -> None:
        self._fs = fs
        self._path = path
        self._file = self._open()

    def _open(self) -> Any:
        return self._fs.open(self._path, "wb", autocommit=False, block_size=PART_BYTES)

    @staticmethod
    def suits(fs: AbstractFileSystem) -> bool:
        """Whether this storage's files can be discarded."""
        protocol = (fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol
        return bool({"s3", "gs"} & set(protocol))

    def write(self, data: bytes) -> None:
        """Append; a part is sent when one is full."""
        self._file.write(data)

    def restart(self) -> None:
        """Abort the upload, and begin another."""
        self.abort()
        self._file = self._open()

    def commit(self) -> None:
        """Send the last part, then complete the upload: only now there is an object."""
        self._file.close()
        self._file.commit()
        self._file = None
        self._fs.invalidate_cache(self._fs._parent(self._path))

    def abort(self) -> None:
        """Abort the upload. What it had sent is gone with it."""
        file, self._file = self._file, None
        if file is None:
            return
        with contextlib.suppress(Exception):
            file.discard()
        # Else Python's garbage collection would close it, and with that try to send the rest.
        file.closed = True


class MovedWriter:
    """An object with a temporary name, then copied within the storage."""

    def __init__(self, fs: AbstractFileSystem, path: str) -> None:
        self._fs = fs
        self._path = path
        folder, _, name = path.rpartition("/")
        self._temporary = f"{folder}/{temporary_name(name)}"
        self._file = fs.open(self._temporary, "wb")
        self._done = False

    def write(self, data: bytes) -> None:
        """Append."""
        self._file.write(data)

    def restart(self) -> None:
        """Remove it, and begin another."""
        self.abort()
        self._done = False
        self._file = self._fs.open(self._temporary, "wb")

    def commit(self) -> None:
        """Close, move, and look no different from a file that was always there."""
        self._file.close()
        if type(self._fs).mv in (AbstractFileSystem.mv, AsyncFileSystem.mv):
            # Those would read *, ? and [ in a name as patterns.
            self._fs.cp_file(self._temporary, self._path)
            self._fs.rm_file(self._temporary)
        else:
            self._fs.mv(self._temporary, self._path)
        self._done = True
        self._fs.invalidate_cache(self._fs._parent(self._path))

    def abort(self) -> None:
        """Remove what there is."""
        if self._done:
            return
        self._done = True
        if isinstance(self._file, AbstractBufferedFile):
            # Closing it would send the rest.
            self._file.closed = True
        with contextlib.suppress(Exception):
            self._fs.rm_file(self._temporary)
