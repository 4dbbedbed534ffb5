"""Row 8, and row 9: relays that drop ``external_task_id``. What is protected there, and what is not."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_kling.emulator import Fault
from airflow_provider_kling.hooks.kling import KlingHook
from tests.chaos.lives import WAYS, Life, measure
from tests.chaos.report import Report
from tests.emulator_fixtures import Served
from tests.fakes import FakeStateStore

pytestmark = [pytest.mark.chaos, pytest.mark.usefixtures("fast")]


class KilledError(BaseException):
    """Stands for a process that is gone: nothing in the package can catch it."""


@pytest.fixture
def relay(kling: Served, connect: Callable[..., None]) -> Served:
    """A relay that neither keeps nor echoes ``external_task_id``."""
    kling.emulator.settings.dialect, kling.emulator.settings.progress = "relay_no_external_id", "immediate"
    connect(host=kling.url.replace("127.0.0.1", "localhost"), password="emulator-key")
    return kling


def killed_before_the_answer(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """Play a try in which the create is accepted, and the worker dies before it reads the answer."""
    submit = KlingHook.submit_or_adopt

    def dies(*given: object, **more: object) -> object:
        submit(*given, **more)  # type: ignore[arg-type]
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr(KlingHook, "submit_or_adopt", dies)
        with pytest.raises(KilledError):
            life.one_try()
    life.ti.again()


@pytest.mark.parametrize("way", WAYS)
def test_a_task_that_fails_at_kling_twice_is_charged_once(way: str, kling: Served, report: Report) -> None:
    life = Life(way, retries=2)
    for _ in range(3):
        try:
            measured = measure(kling, life.live(prompt="[fail-twice] A fox"))
            break
        except AirflowFailException:
            # A sensor can't buy: a person clears what submitted.
            assert way == "sensor"
            life.ti.again(cleared=True, retries=2)
    assert measured.delivered
    assert (measured.accepted, measured.charged) == (3, 1)
    assert len(life.errors) == 2
    report.add("8.sockets", measured)


@pytest.mark.parametrize("way", WAYS)
def test_a_lost_answer_of_a_relay_without_external_ids_stops_the_task_and_says_so(
    way: str, relay: Served, report: Report
) -> None:
    life = Life(way, FakeStateStore())
    relay.emulator.faults.add("POST", "create", Fault("drop", accepted=True))
    with pytest.raises(AirflowFailException, match="not known whether the video .* was bought"):
        life.live()
    measured = measure(relay, None)
    assert (measured.sent, measured.accepted) == (1, 1)
    # A person who clears it before looking is told again: the record outlives the clear.
    report.add("9.lost_in_try", measured)


@pytest.mark.parametrize("way", ["plain", "deferred"])
def test_below_airflow_3_3_a_retry_buys_again_from_a_relay_without_external_ids(
    way: str, relay: Served, report: Report
) -> None:
    life = Life(way)
    life.one_try()
    life.ti.again()
    measured = measure(relay, life.live())
    assert measured.accepted == 2, "if this is 1, the documentation promises too little"
    report.add("9.retry_without_store", measured)


@pytest.mark.parametrize("way", ["plain", "deferred"])
def test_below_airflow_3_3_a_worker_killed_before_the_answer_makes_the_retry_buy_again(
    way: str, relay: Served, report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = Life(way)
    killed_before_the_answer(life, monkeypatch)
    measured = measure(relay, life.live())
    assert measured.accepted == 2, "if this is 1, the documentation promises too little"
    report.add("9.lost_without_store", measured)


def test_a_clear_that_drops_the_state_store_makes_a_relay_without_external_ids_sell_again(
    relay: Served, report: Report
) -> None:
    life = Life("deferred", FakeStateStore())
    life.live()
    life.store = FakeStateStore()
    life.ti.again(cleared=True, retries=life.retries)
    measured = measure(relay, life.live())
    assert measured.accepted == 2, "if this is 1, the documentation promises too little"
    report.add("9.clear_drops_store", measured)


def test_a_relay_that_is_declared_to_keep_external_ids_and_does_not_sells_again(
    relay: Served, connect: Callable[..., None], report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = relay.url.replace("127.0.0.1", "localhost")
    connect(host=host, password="emulator-key", extra=json.dumps({"external_task_ids": True}))
    life = Life("deferred", FakeStateStore())
    killed_before_the_answer(life, monkeypatch)
    measured = measure(relay, life.live())
    assert measured.accepted == 2, "if this is 1, the documentation promises too little"
    report.add("9.false_claim", measured)
