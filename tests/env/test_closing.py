"""Sessions that nobody ends: closed by the clock, with their best result submitted for them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from env.service.call import A, Call
from env.service.opening import Wanted
from env.service.served import LATE_S, ServedTime
from env.service.service import Service, build
from env.service.settings import ServiceSettings
from env.store.model import Step
from env.store.trajectory import each_step
from env.store.unfinished import unfinished
from leaderboard import reading
from leaderboard.table import TableQuery
from ringfence.api.arguments import EditArguments, SubmitArguments, ViewArguments
from ringfence.api.arguments import TestArguments as NoArguments
from ringfence.api.refusal import Kind
from ringfence.api.tools import Edited, Submitted, TurnedDown
from runner.fake.runner import FakeRunner
from runner.pool import Host, Pool
from tasks.load import load_tasks
from tests.support.service import TASK

HOUR = timedelta(hours=1)


class ServiceWithClock:
    """In this process, with a clock that only moves when told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
        self.monotonic = 0.0
        self.service = self._build()

    def _build(self) -> Service:
        pool = Pool.of_slots(2)
        self.served = ServedTime(lambda: self.monotonic)
        settings = ServiceSettings(db=f"sqlite:///{self.folder / 'ringfence.db'}", state_dir=self.folder)
        host = Host(pool, pool, lambda _: False)
        return build(settings, load_tasks(), FakeRunner(), host, clock=lambda: self.now, served=self.served)

    def restart(self) -> None:
        self.service.engine.dispose()
        self.service = self._build()

    def look_after(self, time: timedelta) -> int:
        """How many sessions the last look closes, after a time of service that begins with a look."""
        self.service.closing.look()
        self.now += time
        for _ in range(int(time.total_seconds() / LATE_S)):
            self.monotonic += LATE_S
            self.served.tick()
        return self.service.closing.look()

    def last_step(self, bearer: str | None, session_id: str) -> Step:
        """The last one of those that the caller may see."""
        _, seq = self.service.views.trajectory(bearer, session_id)
        with self.service.engine.connect() as conn:
            [step] = each_step(conn, session_id, first=seq, last=seq)
        return step

    def stopped_for(self, time: timedelta) -> None:
        """As by SIGSTOP, or asleep."""
        self.now += time
        self.monotonic += time.total_seconds()
        self.served.tick()

    def open(self) -> Player:
        opened = self.service.opening.open_session(Wanted(bearer=None, task=TASK, agent="tester", scale="smoke"))
        return Player(self, opened.session_id, opened.token)

    def rows(self) -> list[tuple[int, bool]]:
        """Test and label of what is submitted."""
        with self.service.engine.begin() as conn:
            found = reading.rows(conn, TASK, TableQuery()).rows
        return [(int(str(row["test"])), bool(row["auto_submitted"])) for row in found]


class Player:
    def __init__(self, service: ServiceWithClock, session_id: str, token: str) -> None:
        self.service, self.id, self.token = service, session_id, token

    def call(self, arguments: A) -> Call[A]:
        return Call(bearer=self.token, session_id=self.id, arguments=arguments)

    def edit(self, comment: str) -> Edited | TurnedDown:
        edit = EditArguments(start_line=246, end_line=246, content=f"    # {comment}")
        return self.service.service.tools.edit(self.call(edit))

    def buy(self, comment: str) -> None:
        assert self.edit(comment).ok
        assert self.service.service.tools.test(self.call(NoArguments())).ok

    def test(self, *comments: str) -> None:
        """A test of each, run to its end."""
        asyncio.run(self._run(comments))

    async def _run(self, comments: tuple[str, ...]) -> None:
        service = self.service.service
        loop = asyncio.create_task(service.lifecycle.loop.run())
        for comment in comments:
            self.buy(comment)
            await service.lifecycle.wait(self.id, len(self.seen()["tests"]), 20)
        await service.lifecycle.settled()
        loop.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await loop

    def submit(self, n: int) -> Submitted | TurnedDown:
        return self.service.service.tools.submit(self.call(SubmitArguments(n=n)))

    def seen(self) -> dict[str, Any]:
        return self.service.service.views.session(self.token, self.id).to_dict()

    def losses(self) -> dict[int, Any]:
        tests = [self.service.service.views.test(self.token, self.id, test["n"]) for test in self.seen()["tests"]]
        return {t.n: t.metrics["val_loss_gpt-smoke"] for t in tests if t.status == "succeeded"}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[ServiceWithClock]:
    service = ServiceWithClock(tmp_path)
    yield service
    service.service.engine.dispose()


def test_a_spent_budget_is_submitted_with_its_best_test(service: ServiceWithClock) -> None:
    player = service.open()
    player.test("one", "fake: exit=1", "three")
    assert service.look_after(timedelta(minutes=59)) == 0
    assert player.seen()["state"] == "open"
    assert service.look_after(timedelta(minutes=1)) == 1
    losses = player.losses()
    best = min(losses, key=lambda n: losses[n])
    assert sorted(losses) == [1, 3]
    seen = player.seen()
    assert (seen["state"], seen["submission"]["n"], seen["submission"]["auto_submitted"]) == ("submitted", best, True)
    assert seen["closed"]["reason"] == "the budget was spent and nothing was submitted for 1 h"
    assert service.rows() == [(best, True)]
    assert service.look_after(100 * HOUR) == 0


def test_the_trajectory_says_so(service: ServiceWithClock) -> None:
    player = service.open()
    player.test("one", "two", "three")
    service.look_after(HOUR)
    last = service.last_step(None, player.id)
    n = player.seen()["submission"]["n"]
    assert (last.tool, last.input, last.test, last.ok) == ("auto_submit", {"n": n}, n, True)
    assert last.observation.startswith(
        "[auto_submit] The budget was spent and nothing was submitted for 1 h: submitting its best result, of test "
        f"#{n}, as final.\n"
    )
    assert "Final metrics (gpt-smoke): val_loss_gpt-smoke=" in last.observation


def closed(service: ServiceWithClock) -> Player:
    player = service.open()
    player.test("one")
    assert service.look_after(24 * HOUR) == 1
    return player


@pytest.mark.parametrize("again", [lambda _: None, ServiceWithClock.restart], ids=["at once", "after a restart"])
def test_whoever_comes_late_is_told(service: ServiceWithClock, again: Callable[[ServiceWithClock], None]) -> None:
    player = closed(service)
    again(service)
    for answer in (player.submit, lambda _: player.edit("late")):
        with pytest.raises(Exception, match=r"closed: no call came for 24 h; test #1 was submitted for it\.") as late:
            answer(1)
        assert (late.value.kind, late.value.code) == (Kind.CONFLICT, "session_closed")  # type: ignore[attr-defined]
    assert service.rows() == [(1, True)]


def test_without_a_test_that_succeeded_nothing_is_submitted(service: ServiceWithClock) -> None:
    untested, failed = service.open(), service.open()
    failed.test("fake: exit=1", "fake: exit=1", "fake: exit=1")
    assert service.look_after(HOUR) == 1
    assert [player.seen()["state"] for player in (untested, failed)] == ["open", "closed"]
    assert service.look_after(22 * HOUR) == 0
    assert service.look_after(HOUR) == 1
    for player in (untested, failed):
        seen = player.seen()
        assert (seen["state"], seen["submission"]) == ("closed", None)
        last = service.last_step(player.token, player.id)
        assert last.tool == "close"
        assert last.observation.endswith("and no test has succeeded: closed without a submission.")
    assert service.rows() == []


def test_who_has_tests_left_is_given_a_day(service: ServiceWithClock) -> None:
    player = service.open()
    player.test("one")
    assert service.look_after(23 * HOUR) == 0
    assert service.service.tools.view(player.call(ViewArguments())).ok
    assert service.look_after(23 * HOUR) == 0
    assert service.look_after(HOUR) == 1
    assert service.rows() == [(1, True)]


def test_a_session_whose_test_waits_is_left_alone(service: ServiceWithClock) -> None:
    player = service.open()
    player.buy("waits for a loop that does not run")
    assert service.look_after(1000 * HOUR) == 0
    assert player.seen()["state"] == "open"


def test_what_the_agent_submitted_stays(service: ServiceWithClock) -> None:
    player = service.open()
    player.test("one", "two")
    assert player.submit(2).ok
    assert service.look_after(1000 * HOUR) == 0
    assert service.rows() == [(2, False)]
    seen = player.seen()
    assert (seen["closed"], seen["submission"]["auto_submitted"]) == (None, False)


def test_the_time_that_the_service_was_away_gives_no_offence_at_once(service: ServiceWithClock) -> None:
    player = service.open()
    player.test("one")
    service.now += 48 * HOUR
    service.restart()
    assert service.look_after(timedelta(minutes=59)) == 0
    assert player.edit("back again").ok
    assert service.look_after(HOUR) == 0
    assert player.seen()["state"] == "open"


def test_nothing_but_time_of_service_counts(service: ServiceWithClock) -> None:
    player = service.open()
    player.test("one")
    assert service.look_after(23 * HOUR) == 0
    for _ in range(3):
        service.stopped_for(48 * HOUR)
        assert service.service.closing.look() == 0
    service.now -= 1000 * HOUR  # the clock is set back
    service.restart()
    assert service.look_after(timedelta(minutes=50)) == 0
    assert service.look_after(timedelta(minutes=10)) == 1


def test_tests_are_ordered_by_their_number_when_the_clock_is_set_back(service: ServiceWithClock) -> None:
    player = service.open()
    player.test("first")
    service.now -= 10 * HOUR
    player.buy("second")
    service.now -= 10 * HOUR
    other = service.open()
    other.buy("third")
    assert [test["n"] for test in player.seen()["tests"]] == [1, 2]
    with service.service.engine.begin() as conn:
        assert [one.key for one in unfinished(conn)] == [(player.id, 2), (other.id, 1)]
