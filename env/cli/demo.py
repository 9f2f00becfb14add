"""The demo's script: one refused edit, one good one, a test with live progress, a submission, the leaderboard."""

from __future__ import annotations

import math
import os
import socket
import sys
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from env.http.server import Server
from env.service.service import Service
from leaderboard.naming import is_elapsed_column
from ringfence.client import Client, ClientSession, Leaderboard, Point, RefusedError, TestTicket, TestView

TASK = "llm-pretrain-normalization"
SCORES_S = 300.0
"""For the unedited file to be measured on the demo's own data, once: a minute on two quiet cores."""
RMSNORM = '''\
class LayerNorm(nn.Module):
    """RMSNorm: no mean, no bias, only the scale."""
    def __init__(self, ndim, bias):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(ndim))

    def forward(self, input):
        x = input.float()
        x = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5)
        return x.type_as(input) * self.weight
'''


def play(service: Service, listening: socket.socket, stay: bool | None) -> int:
    """Exit status: 0 when both tests succeeded and were submitted."""
    console = Console(highlight=False, soft_wrap=True)
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    with _served(service, listening, url):
        worked = _session(console, url)
        board = f"{url}/v1/leaderboards/{TASK}"
        console.print(f"\nThe page: {url}/tasks/{TASK}", markup=False)
        console.print(f"The same as JSON: {board}  ({board}.csv as a table)", markup=False)
        asked = sys.stdin.isatty()
        if stay if stay is not None else asked and sys.stdout.isatty():
            console.print(f"Serving until {'a key is pressed' if asked else 'Ctrl-C'}.")
            (until_key if asked else _until_interrupted)()
    return 0 if worked else 1


def _session(console: Console, url: str) -> bool:
    with (
        Client(url) as client,
        client.open(TASK, "demo-rmsnorm", "smoke") as agent,
        client.open(TASK, "demo-template", "smoke") as template,
    ):
        _say(console, f"Session {agent.id} on {TASK}; the prompt ends:")
        console.print("\n".join(agent.prompt.splitlines()[-6:]), markup=False)

        _say(console, "edit(replace lines 1..15): outside the fence")
        console.print(_refusal(lambda: agent.replace(1, 15, "import os\n")), markup=False)

        first, last = agent.opened.files[0].editable[0]
        _say(console, f"edit(replace lines {first}..{last}): LayerNorm becomes RMSNorm")
        console.print(agent.replace(first, last, RMSNORM).observation, markup=False)

        _say(console, "test()")
        for player in (agent, template):
            player.test(wait=False)
        results = [_follow(console, agent, "rmsnorm"), _follow(console, template, "unedited template")]
        console.print(results[0].observation, markup=False)

        _say(console, "submit(n=1)")
        console.print(agent.submit(1).observation, markup=False)
        template.submit(1)

        console.print(_table(_scored(console, client)))
        compared = client.result(agent.id, 1).comparison
        if compared is not None:
            console.print(f"\n{compared.entry.name}: {compared.headline}", markup=False)
    return all(result.status == "succeeded" for result in results)


def _refusal(call: Callable[[], object]) -> str:
    try:
        call()
    except RefusedError as refused:
        return refused.observation
    raise AssertionError("the fence did not hold")


def _follow(console: Console, session: ClientSession, title: str) -> TestView:
    """Shows a test's progress as it comes, and returns its result."""
    columns = (
        TextColumn("{task.description:<18}"),
        BarColumn(40),
        TextColumn("{task.fields[news]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as bar:
        shown = bar.add_task(title, total=None, news="queued")
        for event in session.events(1):
            match event:
                case Point():
                    now = session.read_test(1).progress
                    left = "" if now.eta_s is None else f"  {now.eta_s:4.0f} s left"
                    news = f"step {event.step:>4}  val_loss {event.val_loss or math.nan:.4f}{left}"
                    bar.update(shown, completed=event.step, total=now.total_steps, news=news)
                    if not console.is_terminal:
                        console.print(f"{title}: {news}", markup=False)
                case TestTicket():
                    bar.update(shown, news=event.status)
                case TestView():
                    bar.update(shown, news=f"{event.status:<28}")
                    return event
    raise AssertionError("the events ended without a result")


def _scored(console: Console, client: Client) -> Leaderboard:
    """The leaderboard once its results are scored, or cannot be."""
    deadline = time.monotonic() + SCORES_S
    told: str | None = None
    while (anchors := client.task(TASK).anchors["smoke"]).waits and time.monotonic() < deadline:
        if anchors.reason != told:
            told = anchors.reason
            console.print(f"\nNo scores yet: {told}.", markup=False)
        time.sleep(0.5)
    return client.leaderboard(TASK)


def _table(board: Leaderboard) -> Table:
    """A column for each result: metrics are many, and a terminal is narrow."""
    mark = f" ({board.board.mark})" if board.board is not None and board.board.mark else ""
    table = Table("", *(row.agent for row in board.rows), title=f"Leaderboard: {board.task_id}{mark}")
    elapsed = [name for name in board.columns if is_elapsed_column(name)]
    for name in ("status", "score", "delta_noise", *board.metric_columns, *elapsed):
        table.add_row(name, *(_cell(getattr(row, name)) for row in board.rows))
    return table


def _cell(value: Any) -> str:
    return f"{value:,.4f}" if isinstance(value, float) else str(value)


def _say(console: Console, text: str) -> None:
    console.print(f"\n--- {text}", style="bold", markup=False)


@contextmanager
def _served(service: Service, listening: socket.socket, url: str) -> Iterator[None]:
    server = Server(service)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    assert httpx.get(f"{url}/readyz", trust_env=False).is_success
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(10)


def until_key() -> None:
    """Any key of the terminal, without Enter; Ctrl-C as well."""
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    try:
        tty.setcbreak(fd)
        os.read(fd, 1)
    except KeyboardInterrupt:
        print()
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def _until_interrupted() -> None:
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        print()
