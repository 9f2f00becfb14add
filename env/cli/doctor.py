"""`ringfence doctor`: what a service started with the same options would meet."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from env.cli.options import RunnerName, State, TaskFolders
from env.cli.wiring import DEFAULT_IMAGE, CannotStart, load, sandbox_settings
from env.operators.doctor.finding import Finding, Level, problem
from env.operators.doctor.host import Setup, examine
from runner.fake.runner import FakeRunner
from runner.local.runner import LocalRunner
from runner.protocol import Runner, RunnerError

_STYLES = {Level.OK: "green", Level.WARNING: "yellow", Level.PROBLEM: "bold red"}


def doctor(
    host: Annotated[str, typer.Option(envvar="RINGFENCE_HOST", help="As for serve, like all options here.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(envvar="RINGFENCE_PORT", min=0, max=65535)] = 8080,
    db: Annotated[str | None, typer.Option(envvar="RINGFENCE_DB")] = None,
    runner: Annotated[RunnerName, typer.Option(envvar="RINGFENCE_RUNNER")] = RunnerName.DOCKER,
    tasks: TaskFolders = None,
    data: Annotated[Path | None, typer.Option(envvar="RINGFENCE_DATA")] = None,
    state: State = Path(".ringfence"),
    scale: Annotated[str | None, typer.Option(envvar="RINGFENCE_SCALE")] = "smoke",
    image: Annotated[str, typer.Option(envvar="RINGFENCE_IMAGE")] = DEFAULT_IMAGE,
    sandbox: Annotated[Path | None, typer.Option(envvar="RINGFENCE_SANDBOX")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array, for programs.")] = False,
) -> None:
    """Examine this host: engine, image, GPUs, data, disk, database, versions. Exit status 1 if there is a problem."""

    def make_runner(runs: Path, data_dir: Path) -> Runner:
        match runner:
            case RunnerName.FAKE:
                return FakeRunner(slots=1)
            case RunnerName.LOCAL:
                return LocalRunner(runs, data_dir, slots=1)
            case RunnerName.DOCKER:
                from runner.container.runner import DockerRunner

                try:
                    return DockerRunner(runs, data_dir, 1, image, sandbox_settings(sandbox))
                except CannotStart as error:
                    raise RunnerError(str(error)) from error

    findings: list[Finding] = []
    try:
        found_tasks = load(tuple(tasks or ()))
    except CannotStart as error:
        findings.append(problem("tasks", str(error), "mend them: ringfence task check FOLDER"))
        found_tasks = load(())
    url = db or f"sqlite:///{state.resolve() / 'ringfence.db'}"
    setup = Setup(state, data or state / "data", url, host, port, found_tasks, scale, make_runner)
    findings += examine(setup)
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        _show(findings)
    raise typer.Exit(any(finding.level is Level.PROBLEM for finding in findings))


def _show(findings: list[Finding]) -> None:
    console = Console(file=sys.stdout, highlight=False, markup=False, soft_wrap=True, no_color="NO_COLOR" in os.environ)
    width = max(len(finding.subject) for finding in findings)
    for finding in findings:
        console.print(f"{finding.level:<8}", style=_STYLES[finding.level], end="")
        console.print(f"  {finding.subject:<{width}}  {finding.seen}")
        if finding.remedy:
            console.print(f"{'':<{width + 12}}→ {finding.remedy}")
