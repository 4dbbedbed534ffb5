"""Make a virtual environment with this project in it: ``python3 demo/make_venv.py .venv-demo``.

Runs before anything is installed, so it needs nothing but Python's standard library: it uses ``uv`` if
there is one, and fetches it from the package index if not. A second call does nothing as long as
``pyproject.toml`` and the arguments stay as they were.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

#: Where uv goes if this machine has none. Shared by all environments of this checkout.
OWN_UV = ROOT / ".demo" / "uv"

#: The first uv whose ``pip install`` knows ``--group``.
UV_NEEDED = (0, 7)


def run(*command: str | Path) -> None:
    """Run a command, its output to ours.

    :raises SystemExit: if it fails, with what it was.
    """
    environment = {
        **os.environ,
        # The machine's certificates, as pip does: a company's proxy has its own there.
        "UV_SYSTEM_CERTS": os.environ.get("UV_SYSTEM_CERTS", "true"),
        # A caller's active environment or project settings must not be changed or mixed in.
        "UV_NO_CONFIG": "1",
    }
    environment.pop("VIRTUAL_ENV", None)
    done = subprocess.run([str(part) for part in command], env=environment, check=False)  # noqa: S603 - our own commands
    if done.returncode:
        raise SystemExit(f"failed with exit code {done.returncode}: {' '.join(str(p) for p in command)}")


def find_uv() -> Path:
    """A uv that is new enough, fetched if need be."""
    found = shutil.which("uv")
    if found:
        said = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S603 - found on PATH
        version = re.search(r"(\d+)\.(\d+)", said)
        if version and (int(version[1]), int(version[2])) >= UV_NEEDED:
            return Path(found)
    uv = OWN_UV / "bin" / "uv"
    if not uv.exists():
        print("fetching uv from the package index …", flush=True)
        try:
            run(sys.executable, "-m", "venv", "--clear", OWN_UV)
        except SystemExit as error:
            raise SystemExit(
                f"{error}\nPython's venv module does not work here. On Debian: apt install python3-venv"
                "\nOr install uv (https://docs.astral.sh/uv/), which needs none of it."
            ) from None
        run(OWN_UV / "bin" / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check", "uv>=0.7")
    return uv


def main() -> None:
    """Make or refresh the environment named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--with", dest="requirements", action="append", default=[], metavar="REQUIREMENT")
    parser.add_argument("--group", action="append", default=[], help="a dependency group of pyproject.toml")
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    groups = [word for group in arguments.group for word in ("--group", f"{ROOT / 'pyproject.toml'}:{group}")]

    wanted = repr((sys.version, str(ROOT), arguments.requirements, groups))
    wanted += (ROOT / "pyproject.toml").read_text()
    fingerprint = hashlib.sha256(wanted.encode()).hexdigest()
    # Written last: an installation that was interrupted has none and is made anew.
    stamp = folder / "made-from"
    if stamp.exists() and stamp.read_text() == fingerprint:
        return
    started = time.monotonic()
    uv = find_uv()
    print(f"making the virtual environment {folder} …", flush=True)
    run(uv, "venv", "-q", "--clear", "--python", sys.executable, folder)
    python = folder / "bin" / "python"
    run(uv, "pip", "install", "-q", "--python", python, "-e", ROOT, *groups, *arguments.requirements)
    stamp.write_text(fingerprint)
    print(f"made {folder} in {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
