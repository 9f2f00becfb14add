"""The service as its users see it: open sessions, read tasks and leaderboards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from ringfence.api.boards import Board, Boards, Leaderboard, ProbePredictions, PublishedFigures
from ringfence.api.catalogue import TaskBrief, TaskPrompt, Tasks, TaskWhole
from ringfence.api.results import ResultView
from ringfence.api.sessions import Opened
from ringfence.client.session import ClientSession
from ringfence.client.transport import Connected, Transport


class Client(Connected):
    """Every call raises RefusedError when the service turns it down, and ServiceError when it cannot be reached."""

    def __init__(self, url: str, key: str | None = None, patience_s: float = 60.0) -> None:
        """`key`: an operator's, where the service has any. `patience_s`: how long a call is repeated while the service
        cannot be reached."""
        self._url = url
        self._patience_s = patience_s
        super().__init__(Transport(url, key, patience_s))

    def open(
        self, task: str, agent: str, scale: str | None = None, metadata: Mapping[str, Any] | None = None
    ) -> ClientSession:
        """A new session. `agent` is shown on the leaderboard; without `scale` it is the service's default."""
        body = {"task": task, "agent": agent, "scale": scale, "metadata": dict(metadata or {})}
        opened = Opened.model_validate(self._transport.post("/v1/sessions", body))
        return ClientSession(Transport(self._url, opened.token, self._patience_s), opened)

    def resume(self, session_id: str, token: str) -> ClientSession:
        """A session that was opened before, here or elsewhere: as it stands, with the prompt it was opened with."""
        transport = Transport(self._url, token, self._patience_s)
        try:
            opened = Opened.model_validate(transport.get(f"/v1/sessions/{quote(session_id, safe='')}/opening"))
        except BaseException:
            transport.close()
            raise
        return ClientSession(transport, opened)

    def tasks(self) -> tuple[TaskBrief, ...]:
        return Tasks.model_validate(self._transport.get("/v1/tasks")).tasks

    def task(self, task_id: str) -> TaskWhole:
        return TaskWhole.model_validate(self._transport.get(f"/v1/tasks/{quote(task_id, safe='')}"))

    def prompt(self, task_id: str, scale: str | None = None) -> TaskPrompt:
        """What an agent is told whose session is opened on the task; without `scale` at the service's default."""
        return TaskPrompt.model_validate(
            self._transport.get(f"/v1/tasks/{quote(task_id, safe='')}/prompt", scale=scale)
        )

    def probes(self, task_id: str) -> ProbePredictions:
        """How well probes of a task predicted its tests."""
        return ProbePredictions.model_validate(self._transport.get(f"/v1/tasks/{quote(task_id, safe='')}/probes"))

    def leaderboards(self) -> tuple[Board, ...]:
        """The tasks that have results."""
        return Boards.model_validate(self._transport.get("/v1/leaderboards")).leaderboards

    def published(self) -> PublishedFigures:
        """Figures that others have published for tasks of the same names; they are never ranked."""
        return PublishedFigures.model_validate(self._transport.get("/v1/published"))

    def leaderboard(self, task_id: str, **query: Any) -> Leaderboard:
        """Submitted results, best first. `query`: `scale`, `status`, `agent`, `final`, `sort`, `limit`, `offset`."""
        return Leaderboard.model_validate(self._transport.get(f"/v1/leaderboards/{quote(task_id, safe='')}", **query))

    def result(self, session_id: str, n: int) -> ResultView:
        """What the leaderboard's row of a finished test stands for: metrics, audits, code, and where it ran."""
        return ResultView.model_validate(self._transport.get(f"/v1/results/{session_id}-{n}"))
