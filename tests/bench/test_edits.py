"""Edits per second on one core, over HTTP, each committed before it is answered; as ratios to a bare echo.

With RINGFENCE_BENCH_BASE naming another checkout that has an environment in `.venv`, its service is measured beside
this one's, and the ratios of new to old are printed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

import pytest

from tests.bench import stages
from tests.bench.target import Measured, ServiceTarget, bare_echo, post, start_service
from tests.support.service import Serve

FILENAME = "nanoGPT/custom_pretrain.py"
SHORT = "".join(f"        self.register_{n} = nn.Parameter(torch.ones(ndim))\n" for n in range(10))
LONG = "".join(f"        x = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + {n}e-5)\n" for n in range(17))
GROW = {"op": "replace", "filename": FILENAME, "start_line": 22, "end_line": 31, "content": LONG}
SHRINK = {"op": "replace", "filename": FILENAME, "start_line": 22, "end_line": 38, "content": SHORT}
SAME = {"op": "replace", "filename": FILENAME, "start_line": 22, "end_line": 31, "content": SHORT}

ROUNDS = 5
SESSIONS = 48
CYCLES = 80
"""So that a session gets as many edits in a round as a diligent agent would make."""
LEAST_RATE = {1: 0.5, 16: 0.45}
"""Of an echo's, by connections."""


@dataclass(frozen=True, kw_only=True)
class Round:
    """The same number of requests to each, one after another."""

    echo: Measured
    edit: Measured
    base: Measured | None
    """Edits on the other checkout's service."""


@pytest.mark.parametrize("connections", [1, 16])
def test_an_edit_costs_little_more_than_an_echo(serve: Serve, connections: int) -> None:
    rounds = measure_edits(serve, connections=connections, sessions=SESSIONS, cycles=CYCLES, rounds=1 + ROUNDS)[1:]
    rate = median(one.edit.rate / one.echo.rate for one in rounds)
    p99 = median(one.edit.p99_us / one.echo.p99_us for one in rounds)
    cpu = median(one.echo.cpu_us / one.edit.cpu_us for one in rounds)
    print(f"edit / echo on {connections}: rate {rate:.2f} (by processor time {cpu:.2f}), p99 {p99:.2f}")
    based = [(one.edit, one.base) for one in rounds if one.base is not None]
    if based:
        faster = median(edit.rate / base.rate for edit, base in based)
        cheaper = median(edit.cpu_us / base.cpu_us for edit, base in based)
        print(f"new / old on {connections}: rate {faster:.2f}, the server's processor time {cheaper:.2f}")
    if connections > 1:  # a single connection is idle while the server works
        busy = [seen.client_busy for one in rounds for seen in (one.echo, one.edit)]
        assert max(busy) < 0.9, "the client is the bottleneck"
    assert rate >= LEAST_RATE[connections]
    assert p99 < 5


def test_an_edit_costs_the_same_in_one_session_as_in_a_thousand(serve: Serve) -> None:
    ratio = measure_crowd(serve, sessions=1000, requests=8000, rounds=1 + ROUNDS)
    print(f"rate in 1000 sessions / in 1: {ratio:.2f}")
    assert ratio > 0.85


def test_where_the_time_of_an_edit_goes(serve: Serve, tmp_path: Path) -> None:
    pythons = (Path(sys.executable), *_base_pythons())
    spent = measure_stages(serve, tmp_path, pythons=pythons, sessions=SESSIONS, cycles=CYCLES // 2, rounds=ROUNDS)
    for name in [*stages.STAGES, stages.SERVER, "all"]:
        print(f"{name:<24}" + "   was ".join(f"{one[name]:5.0f} us" for one in spent))
    assert all(spent[0][name] > 0 for name in stages.STAGES)


def measure_edits(serve: Serve, *, connections: int, sessions: int, cycles: int, rounds: int) -> list[Round]:
    """Rounds of `2 * sessions * cycles` requests each. The first one is for warming up."""
    pair = [post("/echo", GROW), post("/echo", SHRINK)]
    echo_scripts = [pair * (sessions // connections)] * connections
    service = start_service(serve)
    bases = [start_service(serve, (str(python), "-P", "-m", "env.cli")) for python in _base_pythons()]
    measured = []
    with bare_echo() as echo:
        for _ in range(rounds):
            echoed = echo.load(echo_scripts, cycles)
            print(echoed.row(f"echo  x{connections}"))
            edited = [one.load(_edit_scripts(one, connections, sessions), cycles) for one in (service, *bases)]
            for name, seen in zip(("edit", "base"), edited, strict=False):
                print(seen.row(f"{name}  x{connections}"))
            measured.append(Round(echo=echoed, edit=edited[0], base=edited[1] if bases else None))
    return measured


def measure_crowd(serve: Serve, *, sessions: int, requests: int, rounds: int) -> float:
    """The rate of edits that go round many sessions as a share of the rate in one, without the first round."""
    service = start_service(serve)
    agents = [service.server.open() for _ in range(sessions)]
    rates: dict[int, list[float]] = {1: [], sessions: []}
    for _ in range(rounds):
        for count, seen in rates.items():
            edits = [_edit(agent, SAME) for agent in agents[:count]]
            share = max(1, count // 10)
            scripts = [(edits * 10)[n * share : (n + 1) * share] for n in range(10)]
            measured = service.load(scripts, requests // (10 * share))
            print(measured.row(f"edits in {count} sessions"))
            seen.append(measured.rate)
    return median(many / one for one, many in zip(rates[1][1:], rates[sessions][1:], strict=True))


def measure_stages(
    serve: Serve, folder: Path, *, pythons: Sequence[Path], sessions: int, cycles: int, rounds: int
) -> list[dict[str, float]]:
    """The processor time of an edit on one connection, in microseconds by stage and as a whole (`all`).

    One for the service of each Python's environment; they take turns. Their samples are kept in `folder`.
    """
    places = [folder / f"samples-{number}.json" for number in range(len(pythons))]
    services = [
        start_service(serve, (str(python), "-P", stages.__file__, str(place)))
        for python, place in zip(pythons, places, strict=True)
    ]
    scripts = [_edit_scripts(service, 1, sessions) for service in services]
    for service, script in zip(services, scripts, strict=True):
        service.load(script, 1)  # the first is for warming up
        service.process.send_signal(signal.SIGUSR1)
    turns = [[one.load(script, cycles) for one, script in zip(services, scripts, strict=True)] for _ in range(rounds)]
    spent = []
    for service, place, loads in zip(services, places, zip(*turns, strict=True), strict=True):
        service.server.stop()
        samples: dict[str, int] = json.loads(place.read_text())
        whole, total = fmean(load.cpu_us for load in loads), sum(samples.values())
        shares = {name: samples.get(name, 0) / total for name in (*stages.STAGES, stages.SERVER)}
        spent.append({name: share * whole for name, share in shares.items()} | {"all": whole})
    return spent


def _base_pythons() -> list[Path]:
    """The other checkout's Python, if there is another checkout."""
    base = os.environ.get("RINGFENCE_BENCH_BASE")
    return [Path(base) / ".venv" / "bin" / "python"] if base else []


def _edit_scripts(service: ServiceTarget, connections: int, sessions: int) -> list[list[str]]:
    """A connection's edits go round its own sessions: all files grow, then all shrink back."""
    scripts = []
    for _ in range(connections):
        agents = [service.server.open() for _ in range(sessions // connections)]
        scripts.append([_edit(agent, edit) for edit in (GROW, SHRINK) for agent in agents])
    return scripts


def _edit(agent: Any, body: dict[str, Any]) -> str:
    return post(f"/v1/sessions/{agent.id}/edit", body, agent.token)
