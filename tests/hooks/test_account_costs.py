"""What is left on the account, asked of the emulated service."""

from __future__ import annotations

from decimal import Decimal

from airflow_provider_kling.hooks.kling import KlingHook
from tests.emulator_fixtures import Served


def test_the_packs_say_what_is_left_of_them_and_the_rate_is_kept(kling: Served) -> None:
    kling.emulator.add_task("A fox")
    kling.emulator.tick()
    packs = [KlingHook().account_costs()[0], KlingHook().account_costs(resource_pack_name="Emulator")[0]]
    assert [(p.name, p.total, p.remaining, p.status) for p in packs] == [
        ("Emulator-Video-Pack", Decimal("1000.0"), Decimal("998.5"), "online")
    ] * 2
    # The second call waited its second: the emulator, like the service, refuses a faster one.
    ledger = kling.emulator.ledger()
    assert (ledger["requests"]["GET /account/costs"], ledger["refused_reads"]) == (2, {})


def test_a_retry_keeps_the_rate_too(kling: Served, fast: None) -> None:
    # No pause of the retry's own is longer than a blink here: what keeps them apart is the rate.
    kling.emulator.faults.add("GET", "account", {"kind": "status", "status": 503})
    assert KlingHook().account_costs()
    ledger = kling.emulator.ledger()
    assert (ledger["requests"]["GET /account/costs"], ledger["refused_reads"]) == (2, {})
