"""`ringfence confirm` without a service, killed: the same command takes up what it left, and no seed runs twice."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.support.processes import run_to_end, started
from tests.support.service import COMMAND
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.env.durability.conftest import TaskFolder
    from tests.support.service import Server

MEASURE = """\
sleep 2
echo "{\\"metrics\\": {\\"val_loss\\": 2.$SEED}}" > "$OUT_DIR/metrics.json"
"""


def test_a_killed_command_is_taken_up_by_the_next(
    serve_local: Callable[[int], Server], tiny: TaskFolder, rows: Callable[..., list[dict[str, Any]]]
) -> None:
    tiny.write().stage("measure", MEASURE)
    task = tiny.path / "task.toml"
    task.write_text(f'{task.read_text()}\n[scales.smoke.settings]\nSEED = "42"\n')
    server = serve_local(1)
    agent = server.open("tiny")
    agent.call("edit", {"start_line": 3, "end_line": 3, "content": "NOTES = 1"})
    agent.call("test")
    assert agent.result(1)["metrics"] == {"val_loss_measure": 2.42}
    assert agent.call("submit", {"n": 1}).status_code == 200
    server.kill()
    arguments = [one for one in server.arguments[: server.arguments.index("--slots")] if one != "--no-foresight"]
    data = server.arguments[server.arguments.index("--data") :][:2]
    where = ("--state", str(server.state), "--db", server.database, *data, *arguments)
    command = [*COMMAND, "confirm", agent.id, "--seeds", "43,44", "--jobs", "1", *where]
    with started(command) as process:
        until(lambda: len(tiny.executions()) > 1 or process.poll() is not None)
        assert process.poll() is None
        process.kill()
    ran = run_to_end(command)
    assert ran.returncode == 0, ran.stderr
    assert re.findall(r"seed (\d+): succeeded, val_loss_measure (2\.\d+)", ran.stdout) == [
        ("43", "2.4300"),
        ("44", "2.4400"),
    ]
    assert set(Counter(tiny.executions()).values()) == {1}
    server.start()
    assert sorted((row["seed"], row["confirms"]) for row in rows(server) if row["confirms"]) == [
        (43, f"{agent.id}-1"),
        (44, f"{agent.id}-1"),
    ]
