"""The texts an agent reads after a test or a submission."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

from env.api.sessions import TestView
from env.lifecycle.rejection import rejection
from env.store.model import MAX_INFRA_FAILURES, Run, Status, Test
from leaderboard.naming import elapsed_column, metric_column

LAST_STEPS = 5
_PASSED = "[check] Passed"


def tests_remaining(left: int) -> str:
    """How many tests are left, in words with the right number: `1 test remaining`."""
    return f"{left} test remaining" if left == 1 else f"{left} tests remaining"


def queued(n: int, left: int, result_call: str) -> str:
    """The answer to a test call that was accepted and is not over yet; `result_call` is how its result is asked for."""
    return f"[Test #{n}] queued ({tests_remaining(left)}). Its result: {result_call}, until the status is final."


def under_way(seen: TestView, result_call: str) -> str:
    """How a test stands that is not over; `result_call` is how its result is asked for."""
    progress = seen.progress
    parts = [f"[Test #{seen.n}] {seen.status}"]
    if progress.stage:
        parts.append(f"{progress.stage}{', being evaluated' if progress.evaluating else ''}")
    if (queue := progress.queue) is not None:
        told = (f"place {queue.place}", queue.reason, queue.expected_start and f"expected start {queue.expected_start}")
        parts.append(f"waiting on the cluster: {', '.join(filter(None, told))}")
    if progress.series:
        last = progress.series[-1]
        of = f" of {progress.total_steps}" if progress.total_steps else ""
        losses = (f"train_loss {_loss(last.train_loss)}", f"val_loss {_loss(last.val_loss)}")
        parts.append(", ".join((f"step {last.step}{of}", *losses)))
    if progress.eta_s and not progress.evaluating:
        parts.append(f"training ends in about {progress.eta_s:.0f} s")
    return f"{'; '.join(parts)}. Its result: {result_call}, until the status is final."


def tested(test: Test, budget: int, left: int) -> str:
    """The answer to a test that is over; `left` tests remain of `budget`."""
    parts = [
        f"[Test #{test.n}] ({tests_remaining(left)}; call submit(n=N) to choose which test result to submit as final)"
    ]
    if left == 0:
        parts.append(
            "[NOTE] This was your last test. You MUST now call submit(n=X) to choose which test result to submit as "
            "your final answer."
        )
    if test.refunded:
        parts.append(
            f"[NOTE] Test #{test.n} was not counted: {_why_refunded(test)} It does not reduce your budget of {budget}."
        )
    parts.append(results(test))
    if not test.refunded:
        parts.append(saved(test))
    return "\n\n".join(part for part in parts if part)


def given_up(n: int) -> str:
    """The answer to a test that the service itself could not take to its end."""
    return (
        f"[Test #{n}] [INFRASTRUCTURE FAILURE the service could not handle this test; its operator can read why in "
        f"the log]\n\n[NOTE] Test #{n} was not counted: the infrastructure failed, not your code."
    )


def checked(passed: bool, reason: str, output: str, metrics: Mapping[str, float], seconds: float, left: int) -> str:
    """The answer to a rehearsal."""
    head = f"{_PASSED if passed else '[check] FAILED'} after {seconds:.1f} s ({left} check(s) remaining)"
    if not passed:
        return "\n".join(part for part in (f"{head}: {reason}", output) if part)
    return (
        f"{head}. The script builds ({metrics['parameters']:,.0f} parameters at the real size), takes two optimizer "
        f"steps on two processes (train_loss {metrics['first_loss']:.4f} to {metrics['last_loss']:.4f}), and what it "
        "expects at a position does not depend on later tokens."
    )


def check_passed(told: str) -> bool:
    """Whether the rehearsal passed whose answer this is."""
    return told.startswith(_PASSED)


def checking(left: int, result_call: str) -> str:
    """The answer to a check that is not over yet; `result_call` is how its result is asked for."""
    return f"[check] Under way ({left} check(s) remaining, this one included). Its result: {result_call}."


def submitted(test: Test, stopped: int | None = None) -> str:
    """The answer to a submission; `stopped` is the test that ran or waited meanwhile."""
    parts = [
        f"[submit] Submitting result from test #{test.n} as final.",
        results(test),
        f"[submit] Finalized test #{test.n} as final.",
        saved(test),
    ]
    if stopped is not None:
        parts.append(f"[NOTE] Test #{stopped} was not over. It is cancelled, as the session is closed now.")
    return "\n\n".join(parts)


def cancelling(test: Test, by: str) -> str:
    """The step that cancels a test."""
    refund = "It had not started, and is refunded." if test.started_at is None else "It had started, so it is spent."
    return f"[cancel] Test #{test.n} is cancelled by {by}. {refund}"


def submitted_for(test: Test, why: str) -> str:
    """The last step of a session that did not submit itself."""
    chosen = f"[auto_submit] {why[:1].upper()}{why[1:]}: submitting its best result, of test #{test.n}, as final."
    return "\n\n".join((chosen, results(test), f"[auto_submit] Finalized test #{test.n} as final.", saved(test)))


def closed(why: str) -> str:
    """The last step of a session that did not submit itself and has nothing to submit."""
    return f"[close] {why[:1].upper()}{why[1:]}, and no test has succeeded: closed without a submission."


def results(test: Test) -> str:
    """What came of a test: a section for each stage that ran, in order."""
    if not test.runs:
        return "Cancelled before it started." if test.status is Status.CANCELLED else ""
    return "\n\n".join("\n".join(_stage(list(runs))) for _, runs in groupby(test.runs, key=lambda run: run.label))


def saved(test: Test) -> str:
    """The line that says what the leaderboard got: metrics and elapsed seconds of every stage."""
    values: dict[str, float | int] = {}
    for label, runs in groupby(test.runs, key=lambda run: run.label):
        stage = list(runs)
        values |= {metric_column(name, label): round(value, 4) for name, value in stage_metrics(stage).items()}
        values[elapsed_column(label)] = round(sum(run.elapsed_s for run in stage))
    return f"[Leaderboard] Results saved: {values}"


def stage_metrics(runs: Iterable[Run]) -> dict[str, float]:
    """The metrics of all runs of one stage together, by their bare names."""
    return {name: value for run in runs for name, value in run.metrics.items()}


def flat_metrics(test: Test) -> tuple[dict[str, float], dict[str, float]]:
    """A leaderboard row's `<metric>_<label>` values and `elapsed_<label>` seconds."""
    metrics: dict[str, float] = {}
    elapsed: dict[str, float] = {}
    for run in test.runs:
        metrics |= {metric_column(name, run.label): value for name, value in run.metrics.items()}
        key = elapsed_column(run.label)
        elapsed[key] = round(elapsed.get(key, 0.0) + run.elapsed_s, 3)
    return metrics, elapsed


def _stage(runs: list[Run]) -> Iterator[str]:
    label = runs[0].label
    yield f"### {label} ({runs[0].script})"
    for run in runs:
        if run.status is not Status.SUCCEEDED:
            yield from _headline(run)
    yield from (f"[NOTE] {run.note}" for run in runs if run.note)
    series = [point for run in runs for point in run.series]
    if series:
        yield "Training metrics (last steps):"
        yield from (str(point) for point in series[-LAST_STEPS:])
    for run in runs:
        if run.status is not Status.SUCCEEDED and run.output:
            yield run.output
    metrics = stage_metrics(runs)
    if metrics:
        yield f"Final metrics ({label}): {_listed(metrics, label)}"
    for run in runs:
        if run.evaluation is not None and (certificate := run.evaluation.certificate) is not None:
            yield (
                f"Certificate: val_loss {certificate.certified:.4f} within {certificate.error:.4f} "
                f"({certificate.tokens:,} tokens that no process had seen)"
            )


def _headline(run: Run) -> Iterator[str]:
    match run.status:
        case Status.REJECTED:
            yield from rejection(run)
        case Status.DIVERGED:
            yield f"[DIVERGED {run.reason}]"
        case Status.CANCELLED:
            yield "[CANCELLED]"
        case Status.TIMED_OUT:
            yield f"[TIMED OUT {run.reason}]"
        case Status.INFRA_FAILED:
            yield f"[INFRASTRUCTURE FAILURE {run.reason}]"
        case _:
            yield f"[COMMAND FAILED {run.reason}]"


def _listed(metrics: Mapping[str, float], label: str) -> str:
    return ", ".join(f"{metric_column(name, label)}={_figure(value)}" for name, value in metrics.items())


def _figure(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else "nan"


def _loss(value: float | None) -> str:
    return "not finite" if value is None else _figure(value)


def _why_refunded(test: Test) -> str:
    if test.status is Status.CANCELLED:
        return "it was cancelled before it started."
    most = f"After {MAX_INFRA_FAILURES} such failures a session can test no more."
    return f"the infrastructure failed, not your code. {most}"
