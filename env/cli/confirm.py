"""`ringfence confirm`: a submission again, at further seeds; by the running service, or here where there is none."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from env.cli.choices import seeds_in
from env.cli.errors import errors, fail
from env.cli.options import (
    CLUSTER,
    DATA,
    DB,
    DEFAULT_IMAGE,
    IMAGE,
    RUNNER,
    SANDBOX,
    Options,
    RunnerName,
    State,
    with_help,
)
from env.cli.running_service import ask_service
from env.cli.sessions import reading
from env.cli.wiring import CannotStart, wire
from env.operators.measure.play import NEWS_S, STOP_S, running
from env.service.service import Service
from env.store.lease import take_lease
from env.store.outage import NotOwner
from ringfence.api.refusal import Refusal
from ringfence.api.sessions import Confirmations, ConfirmationView


def confirm(
    session_id: Annotated[str, typer.Argument(metavar="SESSION", help="The session that submitted.")],
    seeds: Annotated[str, typer.Option(help="Whole numbers, separated by commas: the scale's SEED, in turn.")],
    yes: Annotated[bool, typer.Option("--yes", help="Also at a scale that takes GPUs.")] = False,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Tests at once, by default cores / 2; GPUs are a limit of their own.")
    ] = None,
    db: Annotated[str | None, with_help(DB, "As for serve, like all that follow.")] = None,
    runner: Annotated[RunnerName, with_help(RUNNER)] = RunnerName.DOCKER,
    data: Annotated[Path | None, with_help(DATA)] = None,
    state: State = Path(".ringfence"),
    image: Annotated[str, with_help(IMAGE)] = DEFAULT_IMAGE,
    sandbox: Annotated[Path | None, with_help(SANDBOX)] = None,
    cluster: Annotated[Path | None, with_help(CLUSTER)] = None,
) -> None:
    """Run what a session submitted again at further seeds, at no cost to its agent.

    A service that is running does it, after its agents' own tests; the options from --jobs on are its own then. Without
    one it is done here, to the end.
    """
    # A shell starts background jobs with interrupts ignored, and Python leaves it at that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    options = Options(
        state=state, runner=runner, db=db, data=data, slots=jobs, image=image, sandbox=sandbox, cluster=cluster
    )
    with reading(state, db):
        pass  # says what is wrong with the address before anything is made
    try:
        numbers = seeds_in(seeds)
        lease = take_lease(options.database_url)
        service = wire(options, only_own_sessions=True, lease=lease)
    except CannotStart as error:
        fail(str(error))
    except NotOwner as owner:
        body = {"seeds": numbers, "yes": yes}
        told = Confirmations.model_validate(ask_service(state, owner, f"/v1/sessions/{session_id}/confirm", body))
        for one in told.confirmations:
            typer.echo(f"seed {one.seed}: {one.status}, in session {one.session_id}")
        typer.echo(f"The running service takes them up: ringfence sessions show {session_id}")
        return
    try:
        succeeded = asyncio.run(_confirm(service, session_id, numbers, yes=yes))
    except Refusal as refusal:
        fail(refusal.message, 1)
    except KeyboardInterrupt:
        errors.print("Stopped, and with it the tests that ran. What was finished before is on the leaderboard.")
        raise typer.Exit(130) from None
    finally:
        service.engine.dispose()
    raise typer.Exit(0 if succeeded else 1)


async def _confirm(service: Service, session_id: str, seeds: Sequence[int], *, yes: bool) -> bool:
    """Whether every seed succeeded. Raises Refusal."""
    async with running(service):
        asked = service.confirming.confirm(session_id, seeds, yes=yes)
        async with asyncio.TaskGroup() as group:
            under_way = [group.create_task(_follow(service, one)) for one in asked.confirmations]
    told = service.views.session(service.access.operator_token, session_id)
    if told.comparison is not None:
        typer.echo(told.comparison.headline)
    return all(task.result() for task in under_way)


async def _follow(service: Service, one: ConfirmationView) -> bool:
    """Tells what came of one seed, once it is over. Cancelled, it stops the test."""
    bearer = service.access.operator_token
    try:
        while (seen := service.views.test(bearer, one.session_id, 1)).ended_at is None:
            await service.lifecycle.changed(one.session_id, 1, NEWS_S)
    except asyncio.CancelledError:
        service.cancelling.stop_all(one.session_id)
        await service.lifecycle.wait(one.session_id, 1, STOP_S)
        raise
    losses = [f"{name} {value:.4f}" for name, value in seen.metrics.items() if value is not None][:1]
    typer.echo(", ".join([f"seed {one.seed}: {seen.status}", *losses]))
    return seen.status == "succeeded"
