"""Where a video is to lie, checked as far as that goes without asking the storage."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from airflow_provider_kling.exceptions import KlingInputError

#: Of a path on this machine.
LOCAL = "file"
SUFFIX = ".mp4"

_SCHEME = re.compile(r"^([a-zA-Z][a-zA-Z0-9+.-]*)://")
_ADVICE = "Nothing was bought; correct output_path, retrying will not help."


@dataclass(frozen=True)
class Place:
    """A folder, or a file's name in one.

    :param protocol: ``file``, ``s3``, ``gs``, ``abfs``, ``memory``, …
    :param folder: without a slash at its end: an absolute path for ``file``, else ``s3://bucket/prefix``.
    :param stem: of the file's name, where the author named a file; empty: the task's id.
    :param conn_id: Airflow connection to the storage; ``None`` for what the environment has.
    """

    protocol: str
    folder: str
    stem: str = ""
    conn_id: str | None = None

    @classmethod
    def of(cls, output_path: Any, conn_id: str | None = None) -> Place:
        """Read an ``output_path`` as it was rendered.

        :param output_path: text or ``ObjectStoragePath``; ``s3://conn_id@bucket/…`` names a connection too.
        :param conn_id: goes before one in the path.
        :raises KlingInputError: it is empty, leads upwards, or a part of it was rendered to nothing.
        """
        text = "" if output_path is None else str(output_path).strip()
        if text in ("", "None"):
            raise KlingInputError(f"output_path: it is empty, got {output_path!r} after rendering. {_ADVICE}")
        found = _SCHEME.match(text)
        protocol = found[1].lower() if found else LOCAL
        rest = text[found.end() :] if found else text
        if protocol == "local":
            protocol = LOCAL
        if found:
            authority, slash, path = rest.partition("/")
            user, _, host = authority.rpartition("@")
            conn_id = conn_id or user or None
            if protocol == LOCAL and host.lower() not in ("", "localhost"):
                raise KlingInputError(
                    f"output_path: {host!r} is where a URI names a host, and files are of this one: "
                    f"{LOCAL}:///{host}/… names a folder, got {text!r}. {_ADVICE}"
                )
            rest = f"{'' if protocol == LOCAL else host}{slash}{path}"
        _check_parts(text, rest.removeprefix("/") if protocol == LOCAL else rest)
        folder, stem = rest, ""
        if not rest.endswith("/") and rest.lower().endswith(SUFFIX):
            folder, _, name = rest.rpartition("/")
            stem = name[: -len(SUFFIX)]
            if stem == "None":
                raise KlingInputError(
                    f"output_path: the name is 'None', got {text!r} after rendering. {_ADVICE}"
                )
            if not stem or (protocol != LOCAL and not folder):
                raise KlingInputError(f"output_path: no name before {SUFFIX!r}, got {text!r}. {_ADVICE}")
            folder = folder or ("/" if rest.startswith("/") else ".")
        if protocol == LOCAL:
            # The next task may run in another directory.
            return cls(LOCAL, os.path.abspath(os.path.expanduser(folder)), stem, conn_id)
        return cls(protocol, f"{protocol}://{folder.rstrip('/')}", stem, conn_id)

    def names(self, task_id: str, count: int, *, watermark: bool = False) -> list[str]:
        """The files' names: ``{task_id}.mp4``, or ``{task_id}-1.mp4``, … where there are several.

        The watermarked variant is ``{task_id}-watermark.mp4``. A name of the author's takes the place of the
        task's id, and has no ``-watermark`` added.
        """
        stem = self.stem or re.sub(r"[^A-Za-z0-9._-]", "_", task_id) + ("-watermark" if watermark else "")
        return [f"{stem}-{n}{SUFFIX}" if count > 1 else f"{stem}{SUFFIX}" for n in range(1, count + 1)]

    def path(self, name: str) -> str:
        """The file's address, as XComs have it: an absolute path on this machine, else a URI."""
        return f"{self.folder.rstrip('/')}/{name}"

    def __str__(self) -> str:
        return self.path(f"{self.stem}{SUFFIX}") if self.stem else self.folder


def uri(path: str) -> str:
    """An address as assets and lineage have it: ASCII, with ``file://`` before a path of this machine."""
    return quote(path if _SCHEME.match(path) else f"file://{path}", safe="/:@!$&'()*+,;=~")


def _check_parts(text: str, rest: str) -> None:
    parts = rest.split("/")
    if parts[-1] == "" and len(parts) > 1:
        parts.pop()
    for part in parts:
        if not part.strip():
            complaint = "a part of it is empty"
        elif part == "..":
            complaint = "it leads upwards ('..')"
        elif part == "None":
            complaint = "a part of it is 'None'"
        elif "{{" in part:
            complaint = "a part of it was not rendered"
        elif re.search(r"[\x00-\x1f\x7f]", part):
            complaint = "it has control characters"
        else:
            continue
        raise KlingInputError(f"output_path: {complaint}, got {text!r} after rendering. {_ADVICE}")
