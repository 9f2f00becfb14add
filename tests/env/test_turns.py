"""Whose turn it is: nobody's code beside a scorer of somebody else's, and nobody left frozen or waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from env.lifecycle.turns import Turns
from runner.fake.runner import FakeRunner
from runner.inside.names import EVALUATE, LANGUAGE_MODELLING
from runner.protocol import Phase, RunnerError, RunSpec

TRAINING = RunSpec("a-1-0-0", ("bash", "train.sh"), files={"x.py": "# fake: seconds=60\n"})
REHEARSAL = RunSpec("r-0-1-0", ("bash", "check.sh"), files={"x.py": "# fake: seconds=60\n"})


def evaluation(session: str) -> RunSpec:
    name = f"{session}-1-1-0"
    return RunSpec(name, (*EVALUATE, LANGUAGE_MODELLING), workers=(RunSpec(f"{name}.score-0", ("true",)),))


class Watched(FakeRunner):
    """Remembers who is frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen: set[str] = set()
        self.refuses: set[str] = set()

    def pause(self, run_id: str) -> None:
        if run_id in self.refuses:
            raise RunnerError("it cannot be frozen")
        super().pause(run_id)
        self.frozen.add(run_id)

    def resume(self, run_id: str) -> None:
        super().resume(run_id)
        self.frozen.discard(run_id)


def play(scene: Callable[[Turns, Watched], Awaitable[None]], *, apart: bool = True) -> Watched:
    runner = Watched()

    async def main() -> None:
        async with asyncio.timeout(20):
            await scene(Turns(runner, apart=apart), runner)

    asyncio.run(main())
    return runner


async def soon() -> None:
    await asyncio.sleep(0.2)


def test_a_training_is_frozen_while_another_test_is_evaluated() -> None:
    async def scene(turns: Turns, runner: Watched) -> None:
        async with turns.submitted(TRAINING, brief=False):
            async with turns.submitted(evaluation("b"), brief=False):
                assert runner.frozen == {TRAINING.run_id}
            assert runner.frozen == set()

    play(scene)


def test_neighbours_may_be_allowed() -> None:
    async def scene(turns: Turns, runner: Watched) -> None:
        async with (
            turns.submitted(TRAINING, brief=False),
            turns.submitted(evaluation("b"), brief=False),
            turns.submitted(evaluation("c"), brief=False),
            turns.submitted(REHEARSAL, brief=True),
        ):
            assert runner.frozen == set()
            assert len(runner.run_ids()) == 4

    play(scene, apart=False)


@pytest.mark.parametrize("other", [evaluation("c"), TRAINING, REHEARSAL], ids=["evaluation", "training", "rehearsal"])
def test_whoever_comes_during_an_evaluation_waits_for_its_end(other: RunSpec) -> None:
    async def scene(turns: Turns, runner: Watched) -> None:
        async def come() -> None:
            async with turns.submitted(other, brief=other is REHEARSAL):
                pass

        async with turns.submitted(evaluation("b"), brief=False):
            waiting = asyncio.create_task(come())
            await soon()
            assert runner.poll(other.run_id).phase is Phase.UNKNOWN
        await waiting
        assert runner.poll(other.run_id).phase is not Phase.UNKNOWN

    play(scene)


def test_rehearsals_end_before_an_evaluation_starts_and_no_later_one_overtakes_it() -> None:
    async def scene(turns: Turns, runner: Watched) -> None:
        order: list[str] = []

        async def come(wanted: RunSpec, *, brief: bool) -> None:
            async with turns.submitted(wanted, brief=brief):
                order.append(wanted.run_id)

        async with turns.submitted(REHEARSAL, brief=True):
            first = asyncio.create_task(come(evaluation("b"), brief=False))
            await soon()
            later = RunSpec("r-0-2-0", REHEARSAL.command)
            second = asyncio.create_task(come(later, brief=True))
            await soon()
            assert order == []
            assert runner.frozen == set()
        await asyncio.gather(first, second)
        assert order == [evaluation("b").run_id, later.run_id]

    play(scene)


def test_an_evaluation_that_fails_leaves_nobody_frozen_and_the_turn_free() -> None:
    async def scene(turns: Turns, runner: Watched) -> None:
        async with turns.submitted(TRAINING, brief=False):
            with pytest.raises(RunnerError):
                async with turns.submitted(evaluation("b"), brief=False):
                    raise RunnerError("the engine is gone")
            assert runner.frozen == set()
            unborn = RunSpec(
                "c-1-1-0", (*EVALUATE, LANGUAGE_MODELLING), upstream="nobody", workers=evaluation("c").workers[:0]
            )
            with pytest.raises(RunnerError):
                async with turns.submitted(unborn, brief=False):
                    pass
            async with turns.submitted(evaluation("d"), brief=False):
                assert TRAINING.run_id in runner.frozen

    play(scene)


def test_a_run_that_cannot_be_frozen_keeps_nobody_waiting() -> None:
    async def scene(turns: Turns, runner: Watched) -> None:
        runner.refuses.add(TRAINING.run_id)
        async with turns.submitted(TRAINING, brief=False), turns.submitted(evaluation("b"), brief=False):
            assert evaluation("b").run_id in runner.run_ids()

    play(scene)


def test_a_service_that_leaves_thaws_nobody_and_the_next_takes_everybody_up() -> None:
    async def scene(turns: Turns, runner: Watched) -> None:
        async def evaluate() -> None:
            async with turns.submitted(evaluation("b"), brief=False):
                await asyncio.sleep(60)

        runner.submit(TRAINING)
        worker = RunSpec("b-1-1-0.score-0", ("true",), files={"x.py": "# fake: evaluate.hang\n"})
        endless = RunSpec("b-1-1-0", (*EVALUATE, LANGUAGE_MODELLING), workers=(worker,))
        runner.submit(endless)
        under_way = asyncio.create_task(evaluate())
        await soon()
        under_way.cancel()
        with pytest.raises(asyncio.CancelledError):
            await under_way
        assert runner.frozen == {TRAINING.run_id}

        after = Turns(runner, apart=True)
        assert await after.take_up() == {("a", 1), ("b", 1)}
        assert runner.frozen == {TRAINING.run_id, endless.run_id}
        async with after.submitted(evaluation("b"), brief=False):
            assert runner.frozen == {TRAINING.run_id}
        async with after.submitted(TRAINING, brief=False):
            assert runner.frozen == set()

    play(scene)


def test_a_service_that_allows_neighbours_thaws_what_an_earlier_one_froze() -> None:
    async def scene(turns: Turns, runner: Watched) -> None:
        runner.submit(TRAINING)
        runner.pause(TRAINING.run_id)
        assert await turns.take_up() == {("a", 1)}
        async with turns.submitted(TRAINING, brief=False):
            assert runner.frozen == set()

    play(scene, apart=False)
