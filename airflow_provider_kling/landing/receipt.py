"""What was landed, written beside it: ``clip.mp4.sha256``, which ``sha256sum -c`` reads too.

XComs are gone when a task is tried again, and older Airflows remember nothing else. So the storage itself
says whether the file that lies there is this video, and whether it is still as it was.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

SUFFIX = ".sha256"
#: More than that is not one of ours.
MAX_BYTES = 4096

_LINES = re.compile(
    r"# kling task=(?P<task>\S+) video=(?P<number>\d+) watermark=(?P<watermark>yes|no) bytes=(?P<size>\d+)\n"
    r"(?P<sha256>[0-9a-f]{64})  (?P<name>[^\n]+)\n?"
)


@dataclass(frozen=True)
class Receipt:
    """One landed file.

    :param task_id: Kling's.
    :param number: which of the task's videos, from 1.
    :param watermark: whether it is the watermarked variant.
    :param size: bytes.
    :param sha256: hexadecimal.
    """

    task_id: str
    number: int
    watermark: bool
    size: int
    sha256: str

    def text(self, name: str) -> str:
        """The file's content; ``name`` is the video's."""
        mark = "yes" if self.watermark else "no"
        return (
            f"# kling task={self.task_id} video={self.number} watermark={mark} bytes={self.size}\n"
            f"{self.sha256}  {name}\n"
        )

    @classmethod
    def read(cls, text: str | None) -> Receipt | None:
        """Read it back; ``None`` for anything else."""
        found = _LINES.fullmatch(text or "")
        if found is None:
            return None
        return cls(
            found["task"],
            int(found["number"]),
            found["watermark"] == "yes",
            int(found["size"]),
            found["sha256"],
        )

    def is_of(self, task_id: str, number: int, watermark: bool) -> bool:
        """Whether it is about this video."""
        return (self.task_id, self.number, self.watermark) == (task_id, number, watermark)
