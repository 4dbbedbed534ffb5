"""Writing a file that is there whole or not at all. One way for each kind of storage.

- A disk: a temporary file in the same folder, renamed when it is complete.
- S3 and Google Cloud Storage: an upload that becomes an object only when it is completed, so the final name
  is used from the start. Mind that fsspec's ``with fs.open(...)`` completes it also when an error passes.
- Azure: blocks, which become a blob when their list is committed; likewise under the final name.
- The rest: an object with a temporary name, copied to the final one.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import secrets
from typing import Any, Protocol

from fsspec.asyn import AsyncFileSystem, sync
from fsspec.spec import AbstractBufferedFile, AbstractFileSystem

#: Bytes of one part of an upload; S3 takes up to 10,000 of them. Some three are in memory at once.
PART_BYTES = 8 * 2**20


class Writer(Protocol):
    """A file in the making. End it with ``commit`` or ``abort``."""

    def write(self, data: bytes) -> None:
        """Append."""

    def restart(self) -> None:
        """Throw away what was written, and begin again."""

    def commit(self, *, exclusive: bool = False) -> None:
        """Give it its name, whole.

        :param exclusive: unless another file has it by now. Only disks can tell that in one step.
        :raises FileExistsError: another file has it.
        """

    def abort(self) -> None:
        """Leave nothing behind. Harmless after ``commit``."""


def temporary_name(name: str) -> str:
    """Another one for each attempt: two at once (a zombie and its successor) must not mix their bytes.

    Short, whatever the name is: a name that a disk just takes has no room for more.
    """
    return f"{_temporary_prefix(name)}{secrets.token_hex(4)}.part"


def _temporary_prefix(name: str) -> str:
    return f".kling-{hashlib.sha256(os.fsencode(name)).hexdigest()[:12]}."


def protocols(fs: AbstractFileSystem) -> set[str]:
    """What a storage calls itself: ``s3`` and ``s3a``, say."""
    return {fs.protocol} if isinstance(fs.protocol, str) else set(fs.protocol)


class DiskWriter:
    """A file on this machine's disks, network drives included.

    While it is written it is locked, by which others know it from what a killed attempt left.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._folder, self._name = os.path.split(path)
        self._temporary = os.path.join(self._folder, temporary_name(self._name))
        self._file = open(self._temporary, "xb", buffering=0)  # noqa: SIM115 - closed by commit and abort
        _lock(self._file)

    def write(self, data: bytes) -> None:
        """Append; a disk that is nearly full takes a part of it first."""
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]

    def restart(self) -> None:
        """Empty the temporary file."""
        self._file.seek(0)
        self._file.truncate()

    def commit(self, *, exclusive: bool = False) -> None:
        """Rename it, and remove what earlier attempts at the same file left when they were killed."""
        # Without it a power cut could leave the new name with nothing in it.
        os.fsync(self._file.fileno())
        if not (exclusive and self._linked()):
            os.replace(self._temporary, self._path)
        # Not before: unlocked and with its old name, it would be taken for a leftover.
        self._file.close()
        self._remove_leftovers()

    def _linked(self) -> bool:
        """Give it a second name, which fails where there is a file, and take the first; a rename does not.

        :return: ``False`` where there are no hard links (FAT, SMB, many FUSE drives).
        """
        try:
            os.link(self._temporary, self._path)
        except OSError as e:
            # Else a link that leads nowhere may have the name. That is no file.
            if os.path.exists(self._path):
                raise FileExistsError(errno.EEXIST, "another file has the name by now", self._path) from e
            return False
        os.unlink(self._temporary)
        return True

    def _remove_leftovers(self) -> None:
        prefix = _temporary_prefix(self._name)
        # The video is there, whatever comes of this.
        with contextlib.suppress(OSError):
            for entry in os.scandir(self._folder):
                if entry.name.startswith(prefix) and entry.name.endswith(".part"):
                    # To be opened for writing: NFS gives the lock to nobody else.
                    with contextlib.suppress(OSError), open(entry.path, "r+b") as left:
                        if _lock(left):
                            os.unlink(entry.path)

    def abort(self) -> None:
        """Remove the temporary file."""
        with contextlib.suppress(OSError):
            self._file.close()
        with contextlib.suppress(OSError):
            os.unlink(self._temporary)


def _lock(file: Any) -> bool:
    """Whether nobody else has the lock, which goes with its process. ``False`` too where there are none."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


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
        return bool({"s3", "gs"} & protocols(fs))

    def write(self, data: bytes) -> None:
        """Append; a part is sent when one is full."""
        self._file.write(data)

    def restart(self) -> None:
        """Abort the upload, and begin another."""
        self.abort()
        self._file = self._open()

    def commit(self, *, exclusive: bool = False) -> None:
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


class BlockWriter:
    """Blocks of a blob (Azure), which nobody sees until their list is committed.

    Not adlfs's own file: older ones delete the blob that they are to replace before they have another, and
    number their blocks, so that those of two attempts mix. And a copy, as below, may still be under way when
    its source is deleted.
    """

    def __init__(self, fs: AbstractFileSystem, path: str) -> None:
        self._fs = fs
        self._path = path
        container, blob, _ = fs.split_path(path)
        self._blob = fs.service_client.get_blob_client(container, blob)
        self.restart()

    @staticmethod
    def suits(fs: AbstractFileSystem) -> bool:
        """Whether this storage is Azure's."""
        return bool({"abfs", "abfss", "az"} & protocols(fs))

    def write(self, data: bytes) -> None:
        """Append; a block is sent when one is full."""
        self._buffer += data
        while len(self._buffer) >= PART_BYTES:
            self._send(PART_BYTES)

    def restart(self) -> None:
        """Forget the blocks. Azure removes those that were not committed within a week."""
        self._buffer = bytearray()
        self._blocks: list[str] = []

    def commit(self, *, exclusive: bool = False) -> None:
        """Send the last block, then the list of all: only now there is a blob."""
        from azure.storage.blob import BlobBlock  # type: ignore[import-not-found, unused-ignore]

        if self._buffer:
            self._send(len(self._buffer))
        blocks = [BlobBlock(block) for block in self._blocks]
        sync(self._fs.loop, self._blob.commit_block_list, blocks)
        self._fs.invalidate_cache(self._fs._parent(self._path))

    def abort(self) -> None:
        """Forget the blocks."""
        self.restart()

    def _send(self, size: int) -> None:
        data, block = bytes(self._buffer[:size]), secrets.token_hex(16)
        sync(self._fs.loop, self._blob.stage_block, block, data, length=len(data))
        self._blocks.append(block)
        del self._buffer[:size]


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

    def commit(self, *, exclusive: bool = False) -> None:
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
