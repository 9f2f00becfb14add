"""`ringfence serve`: the service, until it is stopped."""

from __future__ import annotations

import os
import re
import socket
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from env.cli.errors import fail
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
)
from env.cli.proxies import check_proxy
from env.cli.wiring import CannotStart, wire
from env.service.access import LOOPBACK
from env.service.closing import SessionPatience
from env.service.rates import DEFAULT_RATES, RateLimits
from env.telemetry.logs import LogFormat, configure
from tasks.data_sets import TextData

_KEY = re.compile(r"[!-~]+")


def serve(
    host: Annotated[str, HOST] = "127.0.0.1",
    port: Annotated[int, PORT] = 8080,
    db: Annotated[str | None, DB] = None,
    runner: Annotated[RunnerName, RUNNER] = RunnerName.DOCKER,
    tasks: TaskFolders = None,
    data: Annotated[Path | None, DATA] = None,
    data_set: Annotated[TextData, DATA_SET] = TextData.FINEWEB10B,
    state: State = Path(".ringfence"),
    scale: Annotated[str | None, SCALE] = "smoke",
    slots: Annotated[
        int | None, typer.Option(envvar="RINGFENCE_SLOTS", min=1, help="Tests at once; by default cores / 2.")
    ] = None,
    gpus: Annotated[str | None, GPUS] = None,
    image: Annotated[str, IMAGE] = DEFAULT_IMAGE,
    sandbox: Annotated[Path | None, SANDBOX] = None,
    cluster: Annotated[Path | None, CLUSTER] = None,
    key: Annotated[
        list[str] | None, typer.Option("--key", envvar="RINGFENCE_KEYS", help="Operator key; may be repeated.")
    ] = None,
    agent_key: Annotated[
        list[str] | None,
        typer.Option(
            "--agent-key", envvar="RINGFENCE_AGENT_KEYS", help="Key that only opens sessions; may be repeated."
        ),
    ] = None,
    confirm: Annotated[
        int,
        typer.Option(
            envvar="RINGFENCE_CONFIRM",
            min=0,
            max=100,
            help="Run every submission again at so many further seeds, at scales that take no GPUs.",
        ),
    ] = 0,
    session_hours: Annotated[
        float,
        typer.Option(
            envvar="RINGFENCE_SESSION_HOURS",
            min=0.01,
            max=8760,
            help="A session without a call for so long is closed, with its best result submitted for it.",
        ),
    ] = 24,
    submit_minutes: Annotated[
        float,
        typer.Option(
            envvar="RINGFENCE_SUBMIT_MINUTES",
            min=1,
            max=525600,
            help="The same for a session that has spent its budget and does not submit.",
        ),
    ] = 60,
    session_rate: Annotated[
        float,
        typer.Option(
            envvar="RINGFENCE_SESSION_RATE",
            min=0,
            help="Calls a second with the same token, ten times as many at once; 0 for no limit.",
        ),
    ] = DEFAULT_RATES.per_session,
    address_rate: Annotated[
        float,
        typer.Option(envvar="RINGFENCE_ADDRESS_RATE", min=0, help="The same from one address."),
    ] = DEFAULT_RATES.per_address,
    address_connections: Annotated[
        int,
        typer.Option(
            envvar="RINGFENCE_ADDRESS_CONNECTIONS", min=0, help="Connections open from one address; 0 for no limit."
        ),
    ] = DEFAULT_RATES.connections,
    limit_loopback: Annotated[
        bool,
        typer.Option(
            "--limit-loopback",
            envvar="RINGFENCE_LIMIT_LOOPBACK",
            help="Let these limits hold for calls from this host as well.",
        ),
    ] = False,
    neighbours: Annotated[
        bool,
        typer.Option(
            "--neighbours",
            envvar="RINGFENCE_NEIGHBOURS",
            help="docker: let other tests' code run beside an evaluation; by default it is frozen, or waits.",
        ),
    ] = False,
    foresight: Annotated[
        bool,
        typer.Option(
            envvar="RINGFENCE_FORESIGHT",
            help="docker, local: before a test is spent, see whether the edited model can be built and takes short "
            "inputs.",
        ),
    ] = True,
    root_path: Annotated[
        str,
        typer.Option(envvar="RINGFENCE_ROOT_PATH", help="Prefix of its addresses at a proxy: /ringfence."),
    ] = "",
    proxy: Annotated[
        list[str] | None,
        typer.Option(
            "--proxy",
            envvar="RINGFENCE_PROXIES",
            help="Address or network of a proxy whose X-Forwarded headers are believed; may be repeated.",
        ),
    ] = None,
    log_format: Annotated[
        LogFormat | None,
        typer.Option(envvar="RINGFENCE_LOG_FORMAT", help="Log every request and test; by default only warnings."),
    ] = None,
) -> None:
    """Run the service."""
    configure(log_format)
    if any(not _KEY.fullmatch(one) for one in (*(key or ()), *(agent_key or ()))):
        fail("an operator key must be printable ASCII without spaces, and not empty: it is sent in a header.")
    if not key and host not in LOOPBACK:
        fail(
            f"refusing to listen on {host} without operator keys: anyone who reaches it could run code here. "
            "Give --key (or RINGFENCE_KEYS), or listen on 127.0.0.1."
        )
    check_proxy(root_path, proxy or [], bool(key))
    options = Options(
        state=state,
        runner=runner,
        tasks=tuple(tasks or ()),
        db=db,
        data=data,
        data_set=data_set,
        scale=scale,
        slots=slots,
        gpus=gpus,
        keys=tuple(key or ()),
        agent_keys=tuple(agent_key or ()),
        image=image,
        sandbox=sandbox,
        cluster=cluster,
        patience=SessionPatience(abandoned=timedelta(hours=session_hours), spent=timedelta(minutes=submit_minutes)),
        rates=RateLimits(
            per_session=session_rate,
            per_address=address_rate,
            connections=address_connections,
            on_loopback=limit_loopback,
        ),
        neighbours=neighbours,
        confirmations=confirm,
        foresight=foresight,
    )
    try:
        service = wire(options)
    except CannotStart as error:
        fail(str(error))
    listening = listen(host, port)
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{listening.getsockname()[1]}"
    service.lease.served_at(address)
    typer.echo(f"ringfence serves {len(service.tasks)} tasks at {address}")

    from env.http.server import Server  # the other commands do without it

    Server(service, root_path, proxy or ()).run(sockets=[listening])


def listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        fail(f"cannot listen on {host} port {port}: {error.strerror}. Choose another --port; 0 picks a free one.")
    listening.listen(2048)
    os.set_inheritable(listening.fileno(), False)
    return listening
