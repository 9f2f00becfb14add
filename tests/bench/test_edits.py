"""Edits per second on one core, over HTTP, each committed before it is answered; as ratios to a bare echo."""

from __future__ import annotations

from statistics import median
from typing import Any

import pytest

from tests.support.service import Agent, Server

FILENAME = "nanoGPT/custom_pretrain.py"
SHORT = "".join(f"        self.register_{n} = nn.Parameter(torch.ones(ndim))\n" for n in range(10))
LONG = "".join(f"        x = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + {n}e-5)\n" for n in range(17))
GROW = {"op": "replace", "filename": FILENAME, "start_line": 22, "end_line": 31, "content": LONG}
SHRINK = {"op": "replace", "filename": FILENAME, "start_line": 22, "end_line": 38, "content": SHORT}
SAME = {"op": "replace", "filename": FILENAME, "start_line": 22, "end_line": 31, "content": SHORT}

ROUNDS = 5
REQUESTS = 7680
SESSIONS = 48
"""Per round, so that a session gets as many edits as a diligent agent would make."""


@pytest.mark.parametrize("connections", [1, 16])
def test_an_edit_costs_little_more_than_an_echo(service: Server, echo: Any, connections: int) -> None:
    server, target = service
    cycles = REQUESTS // (2 * SESSIONS)
    pair = [echo.request("/echo", GROW), echo.request("/echo", SHRINK)]
    echo_scripts = [pair * (SESSIONS // connections)] * connections
    rounds = []
    for number in range(ROUNDS + 1):
        echoed = echo.load(echo_scripts, cycles)
        edited = target.load(_edit_scripts(server, target, connections), cycles)
        if number:  # the first is for warming up
            rounds.append((echoed, edited))
            _row(f"echo  x{connections}", echoed)
            _row(f"edit  x{connections}", edited)
    rate = median(edited.rate / echoed.rate for echoed, edited in rounds)
    p99 = median(edited.p99_us / echoed.p99_us for echoed, edited in rounds)
    cpu = median(echoed.cpu_us / edited.cpu_us for echoed, edited in rounds)
    print(f"edit / echo on {connections}: rate {rate:.2f} (by processor time {cpu:.2f}), p99 {p99:.2f}")
    if connections > 1:  # a single connection is idle while the server works
        assert all(seen.client_busy < 0.9 for seen in sum(rounds, ())), "the client is the bottleneck"
    assert rate >= 0.4
    assert p99 < 5


def test_an_edit_costs_the_same_in_one_session_as_in_a_thousand(service: Server) -> None:
    server, target = service
    sessions = [server.open() for _ in range(1000)]
    rates: dict[int, list[float]] = {1: [], 1000: []}
    for number in range(ROUNDS + 1):
        for count, seen in rates.items():
            requests = [_edit(target, agent, SAME) for agent in sessions[:count]]
            share = max(1, count // 10)
            scripts = [(requests * 10)[n * share : (n + 1) * share] for n in range(10)]
            measured = target.load(scripts, 8000 // (10 * share))
            if number:
                seen.append(measured.rate)
                _row(f"edits in {count} sessions", measured)
    ratio = median(many / one for one, many in zip(rates[1], rates[1000], strict=True))
    print(f"rate in 1000 sessions / in 1: {ratio:.2f}")
    assert ratio > 0.85


def _edit_scripts(server: Server, target: Any, connections: int) -> list[list[str]]:
    """A connection's edits go round its own sessions: all files grow, then all shrink back."""
    scripts = []
    for _ in range(connections):
        agents = [server.open() for _ in range(SESSIONS // connections)]
        scripts.append([_edit(target, agent, edit) for edit in (GROW, SHRINK) for agent in agents])
    return scripts


def _edit(target: Any, agent: Agent, body: dict[str, Any]) -> str:
    return str(target.request(f"/v1/sessions/{agent.id}/edit", body, agent.token))


def _row(name: str, seen: Any) -> None:
    print(
        f"{name:<24}{seen.rate:8.0f} /s   p50 {seen.p50_us:6.0f} us   p99 {seen.p99_us:6.0f} us   "
        f"server {seen.cpu_us:5.0f} us each   client busy {seen.client_busy:4.0%}"
    )
