"""What a connection may look like, in each of the forms that Airflow takes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import Connection

from airflow_provider_kling.api.auth import AccessKeyAuth, ApiKeyAuth
from airflow_provider_kling.exceptions import KlingInputError
from airflow_provider_kling.hooks.connection import KlingConnection


def read(**fields: Any) -> KlingConnection:
    if isinstance(fields.get("extra"), dict):
        fields["extra"] = json.dumps(fields["extra"])
    return KlingConnection.read(
        Connection(**{"conn_id": "kling_default", "conn_type": "kling", "password": "key-key"} | fields)
    )


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({}, "https://api-singapore.klingai.com"),
        ({"host": "api-beijing.klingai.com"}, "https://api-beijing.klingai.com"),
        ({"host": "https://relay.example/kling"}, "https://relay.example/kling"),
        ({"host": "https://relay.example/kling/"}, "https://relay.example/kling"),
        ({"host": "relay.example/kling"}, "https://relay.example/kling"),
        ({"host": "relay.example", "schema": "kling"}, "https://relay.example/kling"),
        ({"host": "relay.example", "schema": "http"}, "http://relay.example"),
        ({"host": "relay.example", "port": 8443}, "https://relay.example:8443"),
        ({"host": "http://relay.example:8080/a/b"}, "http://relay.example:8080/a/b"),
        ({"host": "127.0.0.1", "port": 8910, "schema": "kling"}, "http://127.0.0.1:8910/kling"),
        ({"host": "localhost:8910/kling"}, "http://localhost:8910/kling"),
        ({"host": "http://[::1]:8910"}, "http://[::1]:8910"),
        ({"host": "http"}, "https://http"),
    ],
)
def test_the_host_is_a_base_url_with_its_path(fields: dict[str, Any], url: str) -> None:
    assert read(**fields).client.base_url == url


@pytest.mark.parametrize(
    ("uri", "url"),
    [
        ("kling://:key-key@", "https://api-singapore.klingai.com"),
        ("kling://:key-key@relay.example/kling", "https://relay.example/kling"),
        ("kling://:key-key@https%3A%2F%2Frelay.example%2Fkling", "https://relay.example/kling"),
        ("kling://:key-key@127.0.0.1:8910/kling", "http://127.0.0.1:8910/kling"),
    ],
)
def test_a_uri_from_the_environment_is_read_alike(uri: str, url: str) -> None:
    if not hasattr(Connection, "from_uri"):  # Airflow 2: the constructor takes it
        connection = Connection(conn_id="kling_default", uri=uri)
    else:
        connection = Connection.from_uri(uri, conn_id="kling_default")
    read_back = KlingConnection.read(connection)
    assert read_back.client.base_url == url
    assert isinstance(read_back.client.auth, ApiKeyAuth)


@pytest.mark.parametrize(
    "host", ["ftp://relay.example", "https://", "https://user:pw@relay.example", "https://relay.example?x=1"]
)
def test_a_host_that_is_no_address_is_refused(host: str) -> None:
    with pytest.raises(KlingInputError, match="is not an address like"):
        read(host=host)


def test_password_alone_is_an_api_key_and_with_a_login_a_key_pair() -> None:
    assert isinstance(read(password=" key-key ").client.auth, ApiKeyAuth)
    assert isinstance(read(login="access", password="secret").client.auth, AccessKeyAuth)


@pytest.mark.parametrize("fields", [{"password": None}, {"password": "  "}, {"login": "a", "password": ""}])
def test_a_connection_without_a_key_says_where_it_goes(fields: dict[str, Any]) -> None:
    with pytest.raises(KlingInputError, match="'kling_default' has no key. Nothing was bought. Put"):
        read(**fields)


@pytest.mark.parametrize("key", ["a b", "a\nb", "schlüssel"])
def test_a_key_that_no_header_can_carry_is_refused_unseen(key: str) -> None:
    with pytest.raises(KlingInputError) as error:
        read(password=key)
    assert key not in str(error.value)


def test_extra_is_read() -> None:
    connection = read(
        extra={
            "model_name": "kling-v3",
            "prompt_max_chars": "500",
            "negative_prompt_max_chars": 200,
            "timeout": 5,
            "proxy": "http://proxy.example:3128",
            "verify": "false",
        }
    )
    assert connection.model_name == "kling-v3"
    assert connection.limits.prompt_max_chars == 500
    assert connection.limits.negative_prompt_max_chars == 200
    assert connection.client.timeout == 5
    assert connection.client.proxy == "http://proxy.example:3128"
    assert connection.client.verify is False


@pytest.mark.parametrize(
    ("given", "read_as"),
    [
        (None, True),
        ("", True),
        (True, True),
        ("true", True),
        (False, False),
        ("/etc/ca.pem", "/etc/ca.pem"),
    ],
)
def test_verify_is_a_switch_or_the_path_of_a_bundle(given: Any, read_as: Any) -> None:
    assert read(extra={"verify": given}).client.verify == read_as


def test_kling_is_told_from_a_relay() -> None:
    assert read().limits.official
    assert not read(host="https://relay.example").limits.official


@pytest.mark.parametrize("extra", [{"timeout": "soon"}, {"timeout": -1}, {"prompt_max_chars": 0}])
def test_an_extra_that_makes_no_sense_is_named(extra: dict[str, Any]) -> None:
    with pytest.raises(KlingInputError, match=next(iter(extra))):
        read(extra=extra)


@pytest.mark.parametrize(
    ("given", "keeps"),
    [
        (True, True),
        ("true", True),
        (" True ", True),
        (False, False),
        ("false", False),
        ("", False),
        (None, False),
    ],
)
def test_a_relay_is_trusted_with_ids_where_its_owner_says_true(given: Any, keeps: bool) -> None:
    connection = read(host="https://relay.example", extra={"external_task_ids": given})
    assert connection.keeps_ids is keeps
    assert read(extra={"external_task_ids": given}).keeps_ids


@pytest.mark.parametrize("host", ["https://relay.example", None])
@pytest.mark.parametrize("given", ["yes", "1", 1, 0, "on", []])
def test_another_word_for_true_does_not_silently_mean_false(given: Any, host: str | None) -> None:
    with pytest.raises(KlingInputError, match="'external_task_ids' must be true or false, got .*Nothing was"):
        read(host=host, extra={"external_task_ids": given})
