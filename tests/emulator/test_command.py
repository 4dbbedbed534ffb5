"""``python -m airflow_provider_kling.emulator``, as a user runs it."""

from __future__ import annotations

import json
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from airflow_provider_kling.emulator.__main__ import connection_lines, main
from airflow_provider_kling.emulator.settings import Settings

COMMAND = [sys.executable, "-m", "airflow_provider_kling.emulator"]


@contextmanager
def started(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """Run it on a free port; give the process and the connection it prints."""
    process = subprocess.Popen(
        [*COMMAND, "--port", "0", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        try:
            for line in process.stdout:
                if line.startswith("export AIRFLOW_CONN_KLING_DEFAULT="):
                    _, word = shlex.split(line)
                    break
            yield process, json.loads(word.partition("=")[2])
        finally:
            if process.poll() is None:
                process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_prints_a_connection_that_works_and_stops_cleanly(number):
    with started() as (process, connection):
        assert connection["conn_type"] == "kling"
        headers = {"Authorization": f"Bearer {connection['password']}"}
        answer = httpx.get(f"{connection['host']}/v1/videos/text2video/x", headers=headers)
        assert answer.json()["code"] == 1201
        process.send_signal(number)
        assert process.wait(10) == 0
        assert process.stderr.read() == ""


def test_arguments_reach_the_service():
    arguments = [
        "--access-key",
        "ak",
        "--secret-key",
        "it's secret",
        "--prefix",
        "",
        "--seconds-per-video",
        "0",
    ]
    with started(*arguments) as (_, connection):
        assert (connection["login"], connection["password"]) == ("ak", "it's secret")
        assert connection["host"].count("/") == 2
        url = f"{connection['host']}/v1/videos/text2video/x"
        demo_key = httpx.get(url, headers={"Authorization": "Bearer emulator-key"})
        assert demo_key.json()["code"] == 1002, "no key but the given ones"


def test_a_busy_port_is_one_clear_message_and_exit_code_2(capsys):
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        assert main(["--port", str(port)]) == 2
    error = capsys.readouterr().err
    assert f"Can't listen on 127.0.0.1:{port}" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--port", "70000"], "'70000' is not a port: a whole number from 0 to 65535"),
        (["--port", "x"], "'x' is not a port: a whole number from 0 to 65535"),
        (["--concurrency", "0"], "'0' is not a whole number from 1"),
        (["--concurrency", "some"], "'some' is not a whole number from 1"),
        (["--seconds-per-video", "-1"], "'-1' is not a number of seconds from 0 to 86400"),
        (["--seconds-per-video", "nan"], "'nan' is not a number of seconds"),
        (["--access-key", "alone"], "belong together"),
    ],
)
def test_wrong_arguments_are_exit_code_2_and_said_in_words(arguments, says, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert "usage:" in error
    assert says in error


def test_help_says_where_the_key_goes(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "goes into the Airflow connection's password" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("host", ["0.0.0.0", ""])
def test_a_host_that_others_reach_is_warned_about(host):
    with started("--host", host) as (process, _):
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        warning = process.stderr.read()
    assert warning.startswith(f"Warning: {host or 'every address'} is not loopback: anybody on the network")
    assert warning.count("\n") == 1


def test_the_printed_line_can_be_pasted_into_a_shell():
    (line,) = connection_lines(Settings(api_key="it's a key"), "http://127.0.0.1:1/kling")
    show = f"{line}\nsh -c 'printenv AIRFLOW_CONN_KLING_DEFAULT'"
    done = subprocess.run(["/bin/sh", "-c", show], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["password"] == "it's a key"


def test_an_account_with_both_kinds_of_keys_has_a_line_for_each():
    settings = Settings(api_key="k", access_key="a", secret_key="s")
    common = {
        "conn_type": "kling",
        "host": "http://127.0.0.1:1/kling",
        "extra": {"external_task_ids": True},
    }
    lines = connection_lines(settings, "http://127.0.0.1:1/kling")
    assert [json.loads(shlex.split(line)[1].partition("=")[2]) for line in lines] == [
        {**common, "password": "k"},
        {**common, "login": "a", "password": "s"},
    ]


def test_it_needs_neither_airflow_nor_the_client():
    code = (
        "import sys, airflow_provider_kling.emulator.__main__\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('airflow', 'pydantic', 'httpx', 'jwt')"
        " or name.startswith('airflow_provider_kling.api.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['airflow_provider_kling.api.catalog']"
