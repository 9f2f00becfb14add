"""One run of a test, attempted until it has an answer: submitted, followed, judged, tried again where that helps."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from env.lifecycle.judgement import Judgement, judge_evaluation, judge_training, out_of_memory
from env.lifecycle.plan import PlannedRun, halved, on_gpus, owner, spec
from env.lifecycle.progress import MetricsTail, Progress
from env.lifecycle.reference import Reference
from env.lifecycle.selfreport import gap_note, slow_note, start_note, steps_note
from env.lifecycle.turns import Turns, ask
from env.store.model import Run, Session, Status, Test
from runner.inside.names import AGENT_AT_FAULT, WE_AT_FAULT
from runner.protocol import Exit, ExitReason, Phase, Runner, RunnerError, RunSpec, RunState
from runner.text import useful_end
from tasks.model import Stage

log = logging.getLogger("ringfence.lifecycle")
POLL_S = 0.05
POLL_MAX_S = 0.5
POLL_SHARE = 0.01
"""In between, this share of the time the run has taken: no run is noticed to be over later than that."""
TRIES = 2
"""Of a run that the infrastructure lost."""
HALVINGS = 2
"""Of the micro-batch, when the GPU's memory does not hold it."""
DIVERGED_GRACE_S = 3.0
"""How long a run that reported a non-finite loss may take to end by itself, which leaves the better message."""
OUTPUT_CHARS = 6000


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A run that is over: as its host saw it, as we judge it, and the end of its output if it failed."""

    state: RunState
    judged: Judgement
    output: str = ""


class Attempts:
    """Runs on one runner."""

    def __init__(self, runner: Runner, turns: Turns | None = None) -> None:
        """`turns` are those of all runs on the host; by default nobody waits for anybody."""
        self._runner = runner
        self._turns = turns or Turns(runner, apart=False)

    async def run(
        self,
        session: Session,
        test: Test,
        item: PlannedRun,
        live: Progress,
        news: Callable[[], None],
        reference: Reference | None = None,
    ) -> Run:
        """The run's outcome. `news` is called whenever `live` has changed; `reference` is what exams are sat beside.

        Attempts are numbered in the order they are made: after a restart the same ones are found in the same order.
        """
        scale = session.size_of(test)
        upstream = None if item.upstream is None else test.runs[item.upstream]
        lost = halvings = 0
        spent_s = 0.0
        while True:
            settings = halved(scale.settings, halvings)
            assert settings is not None
            wanted = spec(
                session.task,
                scale,
                test,
                item,
                settings,
                lost + halvings,
                upstream.run_id if upstream else None,
                reference,
                spent_s,
            )
            live.attempt = 1 + lost + halvings
            ended = await self.take(wanted, live, news, evaluates=item.evaluates)
            if ended.judged.status is Status.INFRA_FAILED and lost < TRIES - 1:
                log.warning("run %s: %s", wanted.run_id, ended.judged.reason)
                lost += 1
            elif (
                ended.judged.status is Status.FAILED
                and not item.evaluates
                and on_gpus(scale)
                and halvings < HALVINGS
                and out_of_memory(ended.output)
                and halved(scale.settings, halvings + 1) is not None
            ):
                halvings += 1
                spent_s += ended.state.elapsed_s or 0.0  # one time limit for all that its code makes of it
            else:
                run = Run(
                    run_id=wanted.run_id,
                    position=item.position,
                    label=item.stage.label,
                    script=item.stage.script,
                    status=ended.judged.status,
                    started_at=ended.state.started_at,
                    ended_at=ended.state.ended_at,
                    reason=ended.judged.reason,
                    output=ended.output,
                    series=() if item.evaluates else tuple(live.tail.series),
                    metrics=ended.judged.metrics,
                    evaluation=ended.judged.evaluation,
                    cpu_s=ended.state.cpu_s,
                    paused_s=ended.state.paused_s,
                    no_exam=ended.state.no_exam if item.exam else None,
                )
                notes = (_halved_note(settings, halvings), *_notes(run, upstream, item.stage, settings))
                return replace(run, note=" ".join(filter(None, notes)))

    async def take(
        self, wanted: RunSpec, live: Progress, news: Callable[[], None], *, evaluates: bool, brief: bool = False
    ) -> Ended:
        """One attempt, from submission to judgement. Trouble of the runner is a judgement as well. A `brief` one is
        never frozen, so that others wait for its end.
        """
        live.tail = MetricsTail()
        name = wanted.run_id
        try:
            async with self._turns.submitted(wanted, brief=brief):
                state = await self._follow(name, live, news)
            judged = await self._judge(name, evaluates, state, live)
            output = await self._output(wanted, judged.status, state)
        except RunnerError as error:
            with contextlib.suppress(RunnerError):
                await ask(self._runner.cancel, name)  # it may still run, on the devices of the next attempt
            return Ended(state=RunState(Phase.UNKNOWN), judged=Judgement(Status.INFRA_FAILED, str(error)))
        return Ended(state=state, judged=judged, output=output)

    async def remove_where(self, unwanted: Callable[[tuple[str, int]], bool]) -> None:
        """Removes the runs of every test, by session and number, that is `unwanted`."""
        for name in await self._runs_where(unwanted):
            await self.remove(name)

    async def stop_where(self, unwanted: Callable[[tuple[str, int]], bool]) -> None:
        """Stops them instead, and keeps what they left. Trouble is only logged."""
        for name in await self._runs_where(unwanted):
            try:
                await ask(self._runner.cancel, name)
            except Exception:
                log.exception("run %s cannot be stopped", name)

    async def _runs_where(self, wanted: Callable[[tuple[str, int]], bool]) -> list[str]:
        try:
            return [name for name in await ask(self._runner.run_ids) if wanted(owner(name))]
        except Exception:
            log.exception("runs cannot be listed")
            return []

    async def remove(self, name: str) -> None:
        """Has the runner stop and forget a run. Trouble is only logged."""
        try:
            await ask(self._runner.remove, name)
        except Exception:
            # Nobody's result depends on it, and the next start tries again.
            log.exception("run %s cannot be removed", name)

    async def _follow(self, name: str, live: Progress, news: Callable[[], None]) -> RunState:
        """Reads the run's output as it comes until the run is over; passes cancellations on."""
        offset, told_to_stop = 0, False
        diverged_at: float | None = None
        loop = asyncio.get_running_loop()
        began = loop.time()
        while True:
            state = await ask(self._runner.poll, name)
            changed = (live.started_at, live.queued) != (state.started_at, state.queued)
            live.started_at, live.queued = state.started_at, state.queued
            while chunk := await ask(self._runner.log, name, "stdout", offset):
                offset += len(chunk)
                changed = live.tail.feed(chunk) or changed
            if changed:
                news()
            if state.phase is Phase.ENDED:
                return state
            if state.phase is Phase.UNKNOWN:
                raise RunnerError(f"run {name} is not known to the {self._runner.name} runner any more")
            if live.tail.diverged and diverged_at is None:
                diverged_at = loop.time()
            overdue = diverged_at is not None and loop.time() - diverged_at > DIVERGED_GRACE_S
            if (live.cancel_requested or overdue) and not told_to_stop:
                told_to_stop = True
                await ask(self._runner.cancel, name)
            await asyncio.sleep(min(max(POLL_S, POLL_SHARE * (loop.time() - began)), POLL_MAX_S))

    async def _judge(self, name: str, evaluates: bool, state: RunState, live: Progress) -> Judgement:
        ended = state.exit or Exit(ExitReason.LOST)
        if not evaluates:
            return judge_training(ended, live.tail.series, live.cancel_requested)
        metrics = await ask(self._runner.collect, name, "metrics.json")
        return judge_evaluation(ended, metrics, live.cancel_requested)

    async def _output(self, wanted: RunSpec, status: Status, state: RunState) -> str:
        """What helps of what the run printed: nothing where the judgement says it all.

        A run with workers shows the agent's code what nobody else may hear of. What is printed then stays in the logs,
        unless its exit status says that it has not come to that.
        """
        if status in (Status.SUCCEEDED, Status.REJECTED):
            return ""
        code = state.exit.code if state.exit is not None and state.exit.reason is ExitReason.EXITED else None
        if wanted.workers and code not in (AGENT_AT_FAULT, WE_AT_FAULT):
            return ""
        stdout, stderr = [await self._whole_log(wanted.run_id, stream) for stream in ("stdout", "stderr")]
        text = useful_end(stdout, stderr, OUTPUT_CHARS)
        if wanted.workers and code == AGENT_AT_FAULT:
            # Most workers fail in the same way, so one traceback is enough, wherever it is.
            errors = [await self._whole_log(worker.run_id, "stderr") for worker in wanted.workers]
            if said := useful_end(b"", b"\n".join(filter(None, errors)), OUTPUT_CHARS):
                text = f"{text}\n\nFrom the processes that ran the model:\n{said}".lstrip("\n")
        for path in {path for run in (wanted, *wanted.workers) for path in run.files}:
            # As the agent knows it, not where this host keeps it.
            text = re.sub(rf'File "[^"\n]*/{re.escape(path)}"', f'File "{path}"', text)
        return text

    async def _whole_log(self, name: str, stream: str) -> bytes:
        chunks: list[bytes] = []
        while chunk := await ask(self._runner.log, name, stream, sum(map(len, chunks))):
            chunks.append(chunk)
        return b"".join(chunks)


def _notes(run: Run, upstream: Run | None, stage: Stage, settings: Mapping[str, str]) -> Iterator[str]:
    """On a training, or on an evaluation of the run `upstream`. Empty texts among them."""
    if upstream is not None:
        yield gap_note(upstream.series, run.metrics)
        return
    yield start_note(run.series, settings)
    if run.status is Status.SUCCEEDED:
        yield steps_note(run.series, settings)
        yield slow_note(run.elapsed_s, stage)


def _halved_note(settings: Mapping[str, str], halvings: int) -> str:
    if not halvings:
        return ""
    return (
        f"CUDA out of memory: the micro-batch was halved {halvings} time(s), to {settings['BATCH_SIZE']} sequences "
        f"with {settings['GRAD_ACCUM']} accumulation steps. Tokens per step are the same."
    )
