"""Random crashes, faults, retries and zombies: at most one video that is not failed, and none that is lost.

2,000 cases with ``HYPOTHESIS_PROFILE=ci`` (or ``--hypothesis-profile=ci``), 200 without.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from airflow_provider_kling.api.catalog import TaskKind
from airflow_provider_kling.api.client import KlingClient
from airflow_provider_kling.api.flows import Flow, Outcome, Send, Sleep
from airflow_provider_kling.api.lookup import Books
from airflow_provider_kling.api.submission import Submission, submit
from airflow_provider_kling.emulator import Emulator, Fault, ManualClock, Settings
from airflow_provider_kling.emulator.transport import EmulatorTransport
from airflow_provider_kling.exceptions import KlingError
from airflow_provider_kling.identity import Identity
from tests.api.conftest import settings_of


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> Iterator[None]:
    """Thousands of warnings are expected here."""
    logger = logging.getLogger("airflow_provider_kling")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(level)


IDENTITY = Identity("af-x")
#: More than any flow needs: 5 creates, each with two look-ups of 4 attempts, and the pauses between.
STEPS_MAX = 150

CREATE_FAULTS = st.one_of(
    st.builds(
        Fault,
        kind=st.sampled_from(["drop", "reset", "hang", "html", "empty", "garbage", "truncated", "cut"]),
        accepted=st.booleans(),
    ),
    st.builds(
        Fault,
        kind=st.just("status"),
        status=st.sampled_from([408, 499, 500, 502, 503, 504]),
        accepted=st.booleans(),
    ),
    st.builds(Fault, kind=st.just("kling"), code=st.sampled_from([5000, 5001, 5002]), accepted=st.booleans()),
    st.builds(Fault, kind=st.just("kling"), code=st.sampled_from([1002, 1102, 1301, 1302, 1303])),
    st.builds(Fault, kind=st.just("connect")),
    # It reaches the service long after the client has given up.
    st.builds(Fault, kind=st.just("delay"), accepted=st.just(False), seconds=st.sampled_from([61.0, 90.0])),
)
QUERY_FAULTS = st.one_of(
    st.builds(Fault, kind=st.sampled_from(["drop", "hang", "html", "empty", "truncated", "cut", "connect"])),
    st.builds(Fault, kind=st.just("status"), status=st.sampled_from([404, 500, 502, 504])),
    st.builds(Fault, kind=st.just("kling"), code=st.sampled_from([1002, 1302, 5000, 5001])),
)
RULES = st.one_of(
    st.tuples(st.just("POST"), st.just("create"), CREATE_FAULTS, st.integers(1, 3), st.integers(0, 2)),
    st.tuples(st.just("GET"), st.just("query"), QUERY_FAULTS, st.integers(1, 5), st.integers(0, 4)),
)


@dataclass(frozen=True)
class Try:
    """One attempt at the task.

    :param crash_after: steps after which its process dies: what it asked for was done, nobody saw the answer.
    :param zombie: it does not die then, but goes on beside its successors.
    :param pause: seconds until the next try.
    """

    crash_after: int | None
    zombie: bool
    pause: float


TRIES = st.lists(
    st.builds(
        Try,
        crash_after=st.none() | st.integers(0, 12),
        zombie=st.booleans(),
        pause=st.sampled_from([0.0, 0.5, 4.0, 30.0, 400.0]),
    ),
    max_size=7,
)


@dataclass(eq=False)
class Zombie:
    """An attempt that Airflow has given up and that still runs."""

    flow: Flow[Submission]
    outcome: Outcome


class World:
    """The service, a clock, and whoever is submitting."""

    def __init__(self, prompt: str, lag: float, seconds_per_video: float) -> None:
        self.clock = ManualClock()
        settings = Settings(visibility_lag=lag, seconds_per_video=seconds_per_video, concurrency=3)
        self.emulator = Emulator(settings, clock=self.clock)
        self.client = KlingClient(
            settings_of(self.emulator), transport=EmulatorTransport(self.emulator), sleep=self.clock.advance
        )
        self.body = {"model_name": "kling-v2-6", "prompt": prompt}
        self.zombies: list[Zombie] = []

    def flow(self, first: bool) -> Flow[Submission]:
        return submit(
            self.body,
            Books(TaskKind.TEXT2VIDEO, keeps_ids=True),
            IDENTITY.external_task_id,
            look_up_first=not first,
            now=self.clock.time(),
        )

    def do(self, step: Send | Sleep) -> Outcome:
        def once() -> Flow[Outcome]:
            return (yield step)

        outcome = self.client.run(once())
        self.check()
        return outcome

    def check(self) -> None:
        """The promise, after each single step."""
        creates = self.emulator.ledger()["creates"]
        assert all(create["status"] == "failed" for create in creates[:-1]), creates
        names = [create["external_task_id"] for create in creates]
        assert names == [IDENTITY.external_task_id(n) for n in range(len(names))]

    def walk(self, one: Try, first: bool) -> Submission | None:
        """Run one attempt; ``None`` if it crashed, raised or became a zombie."""
        flow, outcome, steps = self.flow(first), None, 0
        try:
            while True:
                step = flow.send(outcome)
                steps += 1
                assert steps <= STEPS_MAX, "it does not end"
                outcome = self.do(step)
                if steps == one.crash_after:
                    if one.zombie:
                        self.zombies.append(Zombie(flow, outcome))
                    else:
                        flow.close()
                    return None
                self.stir()
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        except KlingError as e:
            event(type(e).__name__)
            return None

    def stir(self) -> None:
        """Each zombie does one step, too."""
        for zombie in list(self.zombies):
            try:
                zombie.outcome = self.do(zombie.flow.send(zombie.outcome))
            except (StopIteration, KlingError):
                self.zombies.remove(zombie)


@given(
    prompt=st.sampled_from(["A fox", "A fox", "[fail-1] A fox", "[fail-2] A fox"]),
    lag=st.sampled_from([0.0, 0.0, 3.0, 8.0]),
    seconds_per_video=st.sampled_from([0.0, 2.0, 300.0]),
    rules=st.lists(RULES, max_size=6),
    tries=TRIES,
)
def test_never_two_videos_never_a_lost_one_always_an_end(
    prompt: str, lag: float, seconds_per_video: float, rules: list[Any], tries: list[Try]
) -> None:
    world = World(prompt, lag, seconds_per_video)
    for method, path, fault, times, after in rules:
        world.emulator.faults.add(method, path, fault, times=times, after=after)
    first = True
    for one in tries:
        world.walk(one, first)
        first = False
        world.clock.advance(one.pause)
        world.check()
    # The storm is over. The author retries until it works, as the DAG's retries would.
    world.emulator.faults.clear()
    calm = Try(crash_after=None, zombie=False, pause=0)
    for _ in range(6):
        world.clock.advance(1000)
        submission = world.walk(calm, first)
        first = False
        assert submission is not None, "nothing is in the way any more"
        world.clock.advance(1000)
        (*failed, last) = world.emulator.ledger()["creates"]
        assert submission.task.task_id == last["task_id"], "what is handed back is what was bought"
        if last["status"] != "failed":
            break
    else:
        raise AssertionError("it never ended well")
    assert world.emulator.ledger()["charged_tasks"] == 1
    assert len(failed) == {"A": 0, "[fail-1]": 1, "[fail-2]": 2}[prompt.split(maxsplit=1)[0]]
