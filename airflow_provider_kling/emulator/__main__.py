"""``python -m airflow_provider_kling.emulator``: the emulator on a port, with a connection to copy."""

from __future__ import annotations

import argparse
import ipaddress
import json
import math
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

from airflow_provider_kling.emulator.app import Emulator
from airflow_provider_kling.emulator.server import EmulatorServer
from airflow_provider_kling.emulator.settings import DEMO_API_KEY, Settings


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_kling.emulator",
        description="The Kling text-to-video API on this machine: no money, and no key but the one that it "
        "prints, which goes into the Airflow connection's password. For tests and demos.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=_port, default=8910, help="0 for any free one (default: %(default)s)")
    parser.add_argument("--api-key", help=f"key to accept (default, if no key is given: {DEMO_API_KEY})")
    parser.add_argument("--access-key", help="with --secret-key: accept JWTs of this AccessKey")
    parser.add_argument("--secret-key", help="with --access-key: what those JWTs are signed with")
    parser.add_argument("--concurrency", type=_tasks, default=5, help="tasks at once (default: %(default)s)")
    parser.add_argument(
        "--seconds-per-video",
        type=_seconds,
        default=5.0,
        help="how long a video takes; 0 for none (default: %(default)s)",
    )
    parser.add_argument(
        "--prefix", default="/kling", help='path in front of every route; "" for none (default: %(default)s)'
    )
    return parser


def _number(text: str, to: Callable[[str], float], least: float, most: float, what: str) -> float:
    try:
        value = to(text)
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
    return value


def _port(text: str) -> int:
    return int(_number(text, int, 0, 65535, "a port: a whole number from 0 to 65535"))


def _tasks(text: str) -> int:
    return int(_number(text, int, 1, math.inf, "a whole number from 1"))


def _seconds(text: str) -> float:
    return _number(text, float, 0, 86400, "a number of seconds from 0 to 86400")


def _is_loopback(host: str) -> bool:
    return ipaddress.ip_address(host.partition("%")[0]).is_loopback


def connection_lines(settings: Settings, url: str) -> list[str]:
    """Return the matching Airflow connections, ready to paste into a shell."""
    common: dict[str, Any] = {"conn_type": "kling", "host": url}
    if settings.dialect == "official":
        # It keeps external ids unique, as Kling's own hosts do; of others that has to be said.
        common["extra"] = {"external_task_ids": True}
    choices = []
    if settings.api_key is not None:
        choices.append({**common, "password": settings.api_key})
    if settings.access_key is not None:
        choices.append({**common, "login": settings.access_key, "password": settings.secret_key or ""})
    return [f"export AIRFLOW_CONN_KLING_DEFAULT={shlex.quote(json.dumps(choice))}" for choice in choices]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGTERM or Ctrl-C.

    :return: exit code: 0 after a clean stop, 2 if the address can't be had or the arguments are wrong.
    """
    parser = _parser()
    given = parser.parse_args(arguments)
    if bool(given.access_key) != bool(given.secret_key):
        parser.error("--access-key and --secret-key belong together")
    settings = Settings(
        api_key=given.api_key or (None if given.access_key else DEMO_API_KEY),
        access_key=given.access_key,
        secret_key=given.secret_key,
        prefix=given.prefix,
        concurrency=given.concurrency,
        seconds_per_video=given.seconds_per_video,
        progress="time" if given.seconds_per_video else "immediate",
    )
    try:
        server = EmulatorServer(Emulator(settings), given.host, given.port)
    except OSError as error:
        print(
            f"Can't listen on {given.host}:{given.port}: {error.strerror or error}. "
            "Stop what uses it, or choose another with --port (0 takes any free one).",
            file=sys.stderr,
            flush=True,
        )
        return 2
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    server.start()
    try:
        origin = server.url.removesuffix(settings.prefix)
        print(f"Kling emulator on {server.url} (Ctrl-C stops it). No real key, no money.", flush=True)
        if not _is_loopback(str(server.server_address[0])):
            print(
                f"Warning: {given.host or 'every address'} is not loopback: anybody on the network reaches "
                "this emulator, its controls and its ledger.",
                file=sys.stderr,
                flush=True,
            )
        print(f"What was bought: {origin}/_emulator/ledger", flush=True)
        for line in connection_lines(settings, server.url):
            print(line, flush=True)
        stop.wait()
    finally:
        server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
