"""What is refused, by whom, and what it costs: nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from tests.emulator_fixtures import Served
from tests.fakes import FakeTaskInstance, context_of
from tests.operators.running import bought, make, posts

pytestmark = pytest.mark.usefixtures("fast")


def test_a_content_policy_failure_after_acceptance_uses_up_no_retry(
    kling: Served, ti: FakeTaskInstance
) -> None:
    with pytest.raises(AirflowFailException, match="Change the prompt"):
        make(prompt="[policy-after] a fox").execute(context_of(ti))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"prompt": ""}, "prompt: it must not be empty"),
        ({"prompt": "x" * 2501}, "at most 2500 characters, got 2501"),
        ({"prompt": None}, "got None after rendering"),
        ({"prompt": "None"}, "got 'None' after rendering"),
        ({"duration": 7}, r"duration: '7' is not accepted by kling-v2-6 \(allowed: 5, 10\)"),
        ({"mode": "4k"}, r"mode: '4k' is not accepted by kling-v2-6 \(allowed: std, pro\)"),
        ({"cfg_scale": 1.5}, "cfg_scale: .* 1"),
        (
            {"camera_control": {"type": "simple", "config": {"pan": 1, "zoom": 1}}},
            "exactly one of .* must be non-zero",
        ),
        ({"camera_control": {"type": "down_back"}}, "camera_control: .* only kling-v1"),
        ({"voice_list": "v1"}, "voice_list: .* list, got 'v1'"),
        ({"external_task_id": "a b"}, "external_task_id"),
        ({"external_task_id": "a" * 200}, "external_task_id"),
    ],
)
def test_bad_input_fails_at_once_and_buys_nothing(
    kling: Served, ti: FakeTaskInstance, arguments: dict[str, Any], says: str
) -> None:
    with pytest.raises(AirflowFailException, match=says) as error:
        make(**arguments).execute(context_of(ti))
    assert "Nothing was bought" in str(error.value)
    assert (bought(kling), posts(kling)) == (0, 0)


@pytest.mark.parametrize(
    ("state", "code"), [("arrears", 1101), ("exhausted", 1102), ("forbidden", 1103), ("ip", 1304)]
)
def test_a_hopeless_refusal_uses_up_no_retry_and_names_the_code(
    kling: Served, ti: FakeTaskInstance, state: str, code: int
) -> None:
    kling.emulator.settings.account_state = state
    with pytest.raises(AirflowFailException, match=f"^{code}: .*bought nothing.*request_id \\w"):
        make().execute(context_of(ti))
    assert (bought(kling), posts(kling)) == (0, 1)


def test_a_prompt_that_the_content_policy_refuses_buys_nothing(kling: Served, ti: FakeTaskInstance) -> None:
    with pytest.raises(AirflowFailException, match=r"^1301: .*Change the prompt"):
        make(prompt="[policy-before] a fox").execute(context_of(ti))
    assert bought(kling) == 0


def test_without_a_connection_the_message_names_it(monkeypatch: pytest.MonkeyPatch, ti: Any) -> None:
    with pytest.raises(AirflowException, match="^kling_conn_id: there is no connection 'nowhere'") as error:
        make(kling_conn_id="nowhere").execute(context_of(ti))
    assert not isinstance(error.value, AirflowFailException)


def test_a_connection_without_a_key_says_where_it_goes(
    emulator_server: Served, connect: Callable[..., None], ti: FakeTaskInstance
) -> None:
    connect(host=emulator_server.url)
    with pytest.raises(AirflowFailException, match="'kling_default' has no key. Nothing was bought"):
        make().execute(context_of(ti))


def test_an_unknown_host_is_told_as_such(connect: Callable[..., None], ti: FakeTaskInstance) -> None:
    connect(host="kling.invalid", password="emulator-key")
    with pytest.raises(AirflowException, match="could not be reached.*bought nothing"):
        make().execute(context_of(ti))


def test_a_relay_that_answers_html_is_told_as_such(
    kling: Served, connect: Callable[..., None], ti: FakeTaskInstance
) -> None:
    connect(host=kling.url.removesuffix("/kling") + "/elsewhere", password="emulator-key")
    with pytest.raises(AirflowFailException, match="HTTP 404: the host does not know this address"):
        make().execute(context_of(ti))
    assert bought(kling) == 0


@pytest.mark.parametrize(
    "arguments", [{"poll_interval": 0}, {"timeout": timedelta(0)}, {"on_clear": "sometimes"}]
)
def test_arguments_that_make_no_sense_fail_when_the_dag_is_parsed(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        make(**arguments)
