"""Many tasks, few requests; and what a host does not offer is found out once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from airflow_provider_kling.api.catalog import TaskKind
from airflow_provider_kling.api.client import KlingClient
from airflow_provider_kling.api.looking import LIST_REST, Offers, look
from airflow_provider_kling.emulator import Emulator, ManualClock
from airflow_provider_kling.emulator.transport import EmulatorTransport
from airflow_provider_kling.exceptions import KlingAuthenticationError, KlingServerError
from tests.api.conftest import settings_of

KIND = TaskKind.TEXT2VIDEO
LIST, TASKS = "GET /v1/videos/text2video", "GET /tasks"


class Looker:
    """Looks at the emulator and remembers what was seen."""

    def __init__(self, emulator: Emulator, clock: ManualClock) -> None:
        emulator.settings.progress = "immediate"
        self.emulator = emulator
        self.offers = Offers()
        self.seen: list[str] = []
        self.client = KlingClient(
            settings_of(emulator), transport=EmulatorTransport(emulator), sleep=clock.advance
        )

    def tasks(self, count: int) -> list[str]:
        return [self.emulator.add_task(prompt=f"A fox {n}").task_id for n in range(count)]

    def look(self, ids: list[str], **more: object) -> list[str]:
        self.seen.clear()
        flow = look(ids, KIND, self.offers, lambda task: self.seen.append(task.task_id), **more)  # type: ignore[arg-type]  # forwarded as they are
        return self.client.run(flow)

    def asked(self) -> dict[str, int]:
        return dict(self.emulator.ledger()["requests"])


@pytest.fixture
def looker(emulator: Emulator, clock: ManualClock) -> Iterator[Looker]:
    made = Looker(emulator, clock)
    yield made
    made.client.close()


def test_one_task_is_left_to_its_own_query(looker: Looker) -> None:
    ids = looker.tasks(1)
    assert looker.look(ids) == ids
    assert looker.asked() == {}


def test_a_few_tasks_are_one_request(looker: Looker) -> None:
    ids = looker.tasks(20)
    assert looker.look(ids) == []
    assert looker.asked() == {TASKS: 1}
    assert sorted(looker.seen) == ids


@pytest.mark.parametrize(("count", "pages"), [(21, 1), (500, 1), (1000, 2)])
def test_many_tasks_are_a_page_for_each_five_hundred(looker: Looker, count: int, pages: int) -> None:
    ids = looker.tasks(count)
    assert looker.look(ids) == []
    assert looker.asked() == {LIST: pages}
    assert len(set(looker.seen)) == count


def test_external_ids_are_found_as_well(looker: Looker) -> None:
    names = [f"af-{n}" for n in range(25)]
    for name in names:
        looker.emulator.add_task(prompt="A fox", external_task_id=name)
    assert looker.look(names) == []


def test_a_task_that_is_not_on_the_pages_is_asked_for_by_its_id(looker: Looker) -> None:
    old = looker.tasks(30)
    looker.tasks(1500)
    assert looker.look(old) == []
    assert looker.asked() == {LIST: 2, TASKS: 2}


def test_a_list_that_holds_little_of_what_is_wanted_is_left_alone_for_a_while(looker: Looker) -> None:
    old = looker.tasks(30)
    looker.tasks(1500)
    for _ in range(LIST_REST + 1):
        looker.look(old)
    assert looker.asked()[LIST] == 2
    looker.look(old)
    assert looker.asked()[LIST] == 4


@pytest.mark.parametrize("offered", [(True, False), (False, True), (False, False)])
def test_what_is_not_offered_is_found_out_once(looker: Looker, offered: tuple[bool, bool]) -> None:
    looker.emulator.settings.update({"list_route": offered[0], "tasks_route": offered[1]})
    ids = looker.tasks(5 if offered == (True, False) else 25)
    for _ in range(3):
        left = looker.look(ids)
    assert (looker.offers.list_route, looker.offers.tasks_route) != (True, True)
    assert left == ([] if any(offered) else ids)
    refused = looker.emulator.ledger()["refused_reads"]
    assert sum(refused.values()) <= 2


def test_a_key_that_is_refused_says_nothing_about_what_the_host_offers(looker: Looker) -> None:
    ids = looker.tasks(25)
    looker.emulator.settings.api_key = "another"
    with pytest.raises(KlingAuthenticationError):
        looker.look(ids)
    assert looker.offers == Offers()


def test_trouble_on_the_way_is_told_and_unlearns_nothing(looker: Looker) -> None:
    ids = looker.tasks(1000)
    looker.emulator.faults.add("GET", "list", {"kind": "status", "status": 502}, after=1)
    with pytest.raises(KlingServerError):
        looker.look(ids)
    assert len(looker.seen) == 500
    assert replace(looker.offers, unfinished=None) == Offers()


def test_the_list_tells_how_many_tasks_have_not_ended(looker: Looker) -> None:
    looker.tasks(3)
    looker.emulator.settings.progress = "time"
    looker.tasks(4)
    assert looker.look([], count=True) == []
    assert looker.offers.unfinished == 4
    looker.emulator.settings.list_route = False
    looker.look([], count=True)
    assert looker.offers.unfinished is None


def test_tasks_that_are_welcome_cost_nothing_more(looker: Looker) -> None:
    ids = looker.tasks(60)
    looker.look(ids[:30], also=ids)
    assert sorted(looker.seen) == ids
    assert looker.asked() == {LIST: 1}
