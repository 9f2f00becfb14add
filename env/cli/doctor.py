"""`ringfence doctor`: what a service started with the same options would meet."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from env.cli.cluster_file import clear_trials, gpu_pool, read_cluster
from env.cli.options import (
    CLUSTER,
    DATA,
    DATA_SET,
    DB,
    DEFAULT_IMAGE,
    GPUS,
    HOST,
    IMAGE,
    PORT,
    RUNNER,
    SANDBOX,
    SCALE,
    Options,
    RunnerName,
    State,
    TaskFolders,
    with_help,
)
from env.cli.wiring import CannotStart, load, make_runner, usable_gpus
from env.operators.doctor.examination import Setup, examine
from env.operators.doctor.finding import Finding, Level, problem
from runner.pool import Device
from runner.protocol import Runner, RunnerError
from tasks.data_sets import TextData

_GPUS_OF_A_JOB = 2
"""How many of a cluster's GPUs are tried out: as many as a test has."""
_STYLES = {Level.OK: "green", Level.WARNING: "yellow", Level.PROBLEM: "bold red"}


def doctor(
    host: Annotated[str, with_help(HOST, "As for serve, like all options here.")] = "127.0.0.1",
    port: Annotated[int, with_help(PORT)] = 8080,
    db: Annotated[str | None, with_help(DB)] = None,
    runner: Annotated[RunnerName, with_help(RUNNER)] = RunnerName.DOCKER,
    tasks: TaskFolders = None,
    data: Annotated[Path | None, with_help(DATA)] = None,
    data_set: Annotated[TextData, with_help(DATA_SET)] = TextData.FINEWEB10B,
    state: State = Path(".ringfence"),
    scale: Annotated[str | None, with_help(SCALE)] = "smoke",
    gpus: Annotated[str | None, with_help(GPUS)] = None,
    image: Annotated[str, with_help(IMAGE)] = DEFAULT_IMAGE,
    sandbox: Annotated[Path | None, with_help(SANDBOX)] = None,
    cluster: Annotated[Path | None, with_help(CLUSTER)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array, for programs.")] = False,
) -> None:
    """Examine this host: engine, image, GPUs, data, disk, database, versions. Exit status 1 if there is a problem."""
    options = Options(
        state=state,
        runner=runner,
        tasks=tuple(tasks or ()),
        db=db,
        data=data,
        data_set=data_set,
        scale=scale,
        image=image,
        sandbox=sandbox,
        cluster=cluster,
    )

    def runner_in(runs: Path, data_dir: Path) -> Runner:
        try:
            return make_runner(options, runs, data_dir, slots=1)
        except CannotStart as error:
            raise RunnerError(str(error)) from error

    def find_gpus() -> list[Device]:
        if runner is RunnerName.SLURM:
            return list(gpu_pool(read_cluster(cluster)).devices[:_GPUS_OF_A_JOB])
        return usable_gpus(gpus)

    findings: list[Finding] = []
    try:
        found_tasks = load(options.tasks, data_set)
    except CannotStart as error:
        findings.append(problem("tasks", str(error), "mend them: ringfence task check FOLDER"))
        found_tasks = load((), data_set)
    setup = Setup(
        state=state,
        data=options.data_folder,
        db=options.database_url,
        host=host,
        port=port,
        tasks=found_tasks,
        scale=scale,
        make_runner=runner_in,
        find_gpus=find_gpus,
    )
    findings += examine(setup)
    if runner is RunnerName.SLURM:
        with contextlib.suppress(RunnerError):
            clear_trials(read_cluster(cluster))
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
