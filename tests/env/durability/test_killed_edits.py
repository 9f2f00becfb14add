"""SIGKILL at any moment of many edits: what was answered stays, in order, and nothing is made twice."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.support.waiting import threads

if TYPE_CHECKING:
    from tests.env.durability.conftest import Persistent, TaskFolder
    from tests.support.service import Agent, Serve, Server


class Editor:
    """Puts one line after another into the file, each under a key of its own, and again until it is answered."""

    def __init__(self, client: Persistent) -> None:
        self.client = client
        self.observations: list[str] = []

    def work(self, may_go_on: threading.Event, stop: threading.Event) -> None:
        while not stop.is_set():
            assert may_go_on.wait(60)
            i = len(self.observations) + 1
            insert = {"op": "insert", "after_line": 2, "content": f"# {i}\n"}
            answer = self.client.post("edit", f"edit-{i}", insert)
            assert answer.status_code == 200, answer.text
            assert answer.json()["revision"] == i
            self.observations.append(answer.json()["observation"])

    def check(self, in_flight: int) -> None:
        """All that was answered is there, in order; and at most the one call nobody has the answer of."""
        answers = list(self.observations)
        told = self.client.get("/trajectory")
        count = len(told["steps"])
        assert len(answers) <= count <= len(answers) + in_flight
        assert [step["step"] for step in told["steps"]] == list(range(1, count + 1))
        assert [step["input"]["content"] for step in told["steps"]] == [f"# {i}\n" for i in range(1, count + 1)]
        assert [step["observation"] for step in told["steps"][: len(answers)]] == answers
        lines = told["files"][0]["text"].splitlines()
        assert lines[2 : 2 + count] == [f"# {i}" for i in range(count, 0, -1)]
        assert len(lines) == 5 + count
        seen = self.client.get()
        assert seen["steps"] == seen["revision"] == seen["files"][0]["total_lines"] - 5


def test_no_answered_edit_is_lost_and_none_is_made_twice(
    serve: Serve, tiny: TaskFolder, persistent: Callable[[Server, Agent], Persistent]
) -> None:
    moments = random.Random(1)
    server = serve("--runner", "fake", "--tasks", str(tiny.write().path))
    editors = [Editor(persistent(server, server.open("tiny"))) for _ in range(4)]
    may_go_on, stop = threading.Event(), threading.Event()
    may_go_on.set()
    with threads(len(editors)) as pool:
        working = [pool.submit(editor.work, may_go_on, stop) for editor in editors]
        try:
            for _ in range(10):
                time.sleep(moments.uniform(0.02, 0.2))
                may_go_on.clear()
                server.kill()
                server.start()
                # Calls that were in flight are repeated meanwhile, which the checks have to bear.
                for editor in editors:
                    editor.check(in_flight=1)
                may_go_on.set()
        finally:
            stop.set()
            may_go_on.set()
            for work in working:
                work.result(30)
    for editor in editors:
        editor.check(in_flight=0)
        assert len(editor.observations) >= 10
