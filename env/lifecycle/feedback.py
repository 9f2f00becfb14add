"""The texts an agent reads after a test or a submission."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from env.lifecycle.findings import told
from env.lifecycle.rehearsals import Rehearsal
from env.lifecycle.results import _figure, results, saved
from env.store.budget import MAX_INFRA_FAILURES
from env.store.keys import name_of
from env.store.model import Status, Test
from ringfence.api.sessions import TestView

_PASSED = "[check] Passed"


def tests_remaining(left: int) -> str:
    """How many tests are left, in words with the right number: `1 test remaining`."""
    return f"{left} test remaining" if left == 1 else f"{left} tests remaining"


def probes_remaining(left: int) -> str:
    """The same of probes."""
    return f"{left} probe remaining" if left == 1 else f"{left} probes remaining"


def queued(test: Test, left: int, result_call: str, ahead: int = 0) -> str:
    """The answer to a call that bought a test or a probe, which is not over yet; `result_call` is how its result is
    asked for, `ahead` how many wait already.
    """
    remaining = probes_remaining(left) if test.is_probe else tests_remaining(left)
    told = f"[{test.name}] queued ({remaining}). Its result: {result_call}, until the status is final."
    return f"{told}\n{ahead} test(s) wait before it." if ahead else told


def under_way(seen: TestView, result_call: str) -> str:
    """How a test stands that is not over; `result_call` is how its result is asked for."""
    progress = seen.progress
    kind = "Probe" if seen.kind == "probe" else "Test"
    parts = [f"[{kind} #{seen.n}] {seen.status}{_waiting(seen.ahead or 0)}"]
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


def tested(test: Test, budget: int, left: int, further: Iterable[str]) -> str:
    """The answer to a test that is over; `left` tests remain of `budget`. What is `further` to be said comes last."""
    parts = [
        f"[Test #{test.n}] ({tests_remaining(left)}; call submit(n=N) to choose which test result to submit as final)"
    ]
    if left == 0:
        parts.append(
            "[NOTE] This was your last test. You MUST now call submit(n=X) to choose which test result to submit as "
            "your final answer."
        )
    if test.refunded:
        parts.append(_refunded(test, budget))
    parts.append(results(test))
    if not test.refunded:
        parts.append(saved(test))
    parts += further
    return "\n\n".join(part for part in parts if part)


def probed(test: Test, budget: int, left: int, used: str) -> str:
    """The answer to a probe that is over; `left` probes remain of `budget`. What it `used` of others comes last."""
    head = f"[{test.name}] ({probes_remaining(left)}; probes guide you, they are never ranked)"
    parts = (head, _refunded(test, budget) if test.refunded else "", results(test), used)
    return "\n\n".join(part for part in parts if part)


def confirmed(test: Test, run_key: str, seed: int | None) -> str:
    """What came of a submitted test's code at another seed; no agent bought it."""
    return "\n\n".join(part for part in (f"[confirm] {run_key} at seed {seed}", results(test)) if part)


def _waiting(ahead: int) -> str:
    return f", {ahead} test(s) wait before it" if ahead else ""


def _refunded(test: Test, budget: int) -> str:
    return f"[NOTE] {test.name} was not counted: {_why_refunded(test)} It does not reduce your budget of {budget}."


def given_up(name: str) -> str:
    """The answer to a test or a probe, by its name, that the service itself could not take to its end."""
    return (
        f"[{name}] [INFRASTRUCTURE FAILURE the service could not handle it; its operator can read why in the log]"
        f"\n\n[NOTE] {name} was not counted: the infrastructure failed, not your code."
    )


def checked(over: Rehearsal, text: str, cap: int | None, left: int) -> str:
    """The answer to a rehearsal of the file `text`; `cap` is the most parameters that are allowed."""
    head = f"{_PASSED if over.passed else '[check] FAILED'} after {over.seconds:.1f} s ({left} check(s) remaining)"
    if over.rehearsed is None:
        return f"{head}: {over.why_none}."
    if not over.passed:
        return "\n".join((f"{head}:", *(f"- {told(finding, text, cap)}" for finding in over.rehearsed.findings)))
    counted = over.rehearsed.parameters or 0
    size = f"{counted:,} parameters" if cap is None or counted <= cap else "parameters"  # else the count is no count
    of = "" if cap is None else f" of {cap:,} allowed"
    return (
        f"{head}. The script builds ({size}{of} at the real size), takes inputs of any length, takes two optimizer "
        "steps on two processes with finite losses, leaves a checkpoint that loads, and what it expects at a position "
        "does not depend on later tokens."
    )


def check_passed(told: str) -> bool:
    """Whether the rehearsal passed whose answer this is."""
    return told.startswith(_PASSED)


def checking(left: int, result_call: str) -> str:
    """The answer to a check that is not over yet; `result_call` is how its result is asked for."""
    return f"[check] Under way ({left} check(s) remaining, this one included). Its result: {result_call}."


def submitted(test: Test, stopped: int | None = None, standing: str = "") -> str:
    """The answer to a submission; `stopped` is the key of the test or probe that ran or waited meanwhile, `standing`
    says how it stands.
    """
    parts = [
        f"[submit] Submitting result from test #{test.n} as final.",
        results(test),
        f"[submit] Finalized test #{test.n} as final.",
        saved(test),
        *([standing] if standing else []),
    ]
    if stopped is not None:
        parts.append(f"[NOTE] {name_of(stopped)} was not over. It is cancelled, as the session is closed now.")
    return "\n\n".join(parts)


def cancelling(test: Test, by: str) -> str:
    """The step that cancels a test."""
    refund = "It had not started, and is refunded." if test.started_at is None else "It had started, so it is spent."
    return f"[cancel] {test.name} is cancelled by {by}. {refund}"


def standing(headline: str | None, seeds: Sequence[int]) -> str:
    """How a submission stands beside the best baseline, and the `seeds` at which it is run again."""
    told = [] if headline is None else [f"[Leaderboard] {headline}"]
    if seeds:
        listed = f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"
        told.append(f"[NOTE] It is run again at {listed} to confirm it, which costs you nothing.")
    return "\n".join(told)


def submitted_for(test: Test, why: str, standing: str = "") -> str:
    """The last step of a session that did not submit itself."""
    chosen = f"[auto_submit] {why[:1].upper()}{why[1:]}: submitting its best result, of test #{test.n}, as final."
    parts = (chosen, results(test), f"[auto_submit] Finalized test #{test.n} as final.", saved(test), standing)
    return "\n\n".join(filter(None, parts))


def closed(why: str) -> str:
    """The last step of a session that did not submit itself and has nothing to submit."""
    return f"[close] {why[:1].upper()}{why[1:]}, and no test has succeeded: closed without a submission."


def _loss(value: float | None) -> str:
    return "not finite" if value is None else _figure(value)


def _why_refunded(test: Test) -> str:
    if test.status is Status.CANCELLED:
        return "it was cancelled before it started."
    most = f"After {MAX_INFRA_FAILURES} such failures a session can test no more."
    return f"the infrastructure failed, not your code. {most}"
