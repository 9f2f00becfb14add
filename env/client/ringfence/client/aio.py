"""The client for asynchronous programs: as many sessions at once as the service will have."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import quote

import httpx

from ringfence.api.boards import Leaderboard
from ringfence.api.catalogue import TaskBrief, TaskPrompt, Tasks, TaskWhole
from ringfence.api.results import ResultView
from ringfence.api.sessions import Opened, SessionView, TestView, TrajectoryView
from ringfence.api.tools import ANSWERS, Checked, CheckResult, Edited, Probed, Started, Submitted
from ringfence.client.errors import RefusedError
from ringfence.client.session import HOLD_S
from ringfence.client.transport import Retries, accepted, connected, given, json_body


class AsyncTransport:
    """HTTP with one bearer secret. Calls are repeated while the service is away, as by the synchronous client."""

    def __init__(self, url: str, bearer: str | None, patience_s: float, http: httpx.AsyncClient | None = None) -> None:
        """`http`: somebody else's connections, to be used with this secret and not to be closed."""
        self._http = http or connected(httpx.AsyncClient, url, None)
        self._owned = http is None
        self._headers = {} if bearer is None else {"Authorization": f"Bearer {bearer}"}
        self._url = url
        self._patience_s = patience_s

    async def get(self, path: str, **params: Any) -> Any:
        """The answer's JSON. Parameters that are None are left out. Raises RefusedError, ServiceError."""
        return await self._ask("GET", path, params=given(params))

    async def post(self, path: str, body: Mapping[str, Any], key: str | None = None) -> Any:
        """The answer's JSON. `key`: the call is the same as others under it. Raises RefusedError, ServiceError."""
        return await self._ask("POST", path, **json_body(body, key))

    async def close(self) -> None:
        if self._owned:
            await self._http.aclose()

    def with_bearer(self, bearer: str) -> AsyncTransport:
        """The same connections with another secret."""
        return AsyncTransport(self._url, bearer, self._patience_s, self._http)

    async def _ask(self, method: str, path: str, **options: Any) -> Any:
        headers = self._headers | options.pop("headers", {})
        retries = Retries(self._url, self._patience_s)
        while True:
            try:
                return accepted(await self._http.request(method, path, headers=headers, **options))
            except (httpx.HTTPError, httpx.InvalidURL, RefusedError) as error:
                await asyncio.sleep(retries.pause_s(retries.reason(error)))


class AsyncConnected:
    """Something that owns a transport. An asynchronous context manager: leaving it gives the connection back."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def close(self) -> None:
        """Gives back the connection; what it was used for stays as it is."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class AsyncClientSession(AsyncConnected):
    """A session as its agent uses it, by its client's connections.

    Every call raises RefusedError when the service turns it down, and ServiceError when it cannot be reached.
    """

    def __init__(self, transport: AsyncTransport, opened: Opened) -> None:
        super().__init__(transport)
        self._path = f"/v1/sessions/{opened.session_id}"
        self.opened = opened

    async def edit(self, **arguments: Any) -> Edited:
        """The tool itself, with its arguments: `op`, `start_line`, `end_line`, `after_line`, `content`, …"""
        return Edited.model_validate(await self._post("edit", arguments))

    async def view(self, **lines: int) -> Edited:
        """The observation holds the file with line numbers: whole, or from `start_line` to `end_line`."""
        return Edited.model_validate(await self._post("view", lines))

    async def undo(self, n: int = 1) -> Edited:
        return Edited.model_validate(await self._post("undo", {"n": n}))

    async def check(self) -> Checked:
        """The free rehearsal, once it is over."""
        key = uuid.uuid4().hex
        while True:
            answer = Checked.model_validate(
                await self._transport.post(f"{self._path}/check?wait={HOLD_S}", {}, key),
            )
            if isinstance(answer.check, CheckResult):
                return answer

    async def test(self, wait: bool = True) -> TestView:
        """Spends a test on the file as it is. With `wait`, returns when it is over, and not before."""
        n = Started.model_validate(await self._post("test", {})).test.n
        return await (self.result(n) if wait else self.read_test(n))

    async def probe(self, wait: bool = True) -> TestView:
        """Spends a probe on the file as it is, where the session's scale has a proxy; else as `test`."""
        n = Probed.model_validate(await self._post("probe", {})).probe.n
        return await (self._result(f"probes/{n}") if wait else self.read_probe(n))

    async def read_test(self, n: int, hold_s: float = 0) -> TestView:
        """How test `n` stands: as soon as it is over, or after `hold_s` seconds (at most 60)."""
        return await self._read(f"tests/{n}", hold_s)

    async def read_probe(self, n: int, hold_s: float = 0) -> TestView:
        """The same of probe `n`."""
        return await self._read(f"probes/{n}", hold_s)

    async def result(self, n: int) -> TestView:
        """Test `n`, once it is over."""
        return await self._result(f"tests/{n}")

    async def cancel(self, n: int) -> TestView:
        """Stops test `n`; one that is over stays as it is."""
        return await self._cancel(f"tests/{n}")

    async def cancel_probe(self, n: int) -> TestView:
        """Stops probe `n`; one that is over stays as it is."""
        return await self._cancel(f"probes/{n}")

    async def _read(self, place: str, hold_s: float = 0) -> TestView:
        return TestView.model_validate(await self._transport.get(f"{self._path}/{place}", wait=hold_s))

    async def _result(self, place: str) -> TestView:
        while (seen := await self._read(place, HOLD_S)).ended_at is None:
            pass
        return seen

    async def _cancel(self, place: str) -> TestView:
        try:
            return TestView.model_validate(await self._transport.post(f"{self._path}/{place}/cancel", {}))
        except RefusedError as refused:
            if refused.code != "test_over":
                raise
            return await self._read(place)

    async def submit(self, n: int) -> Submitted:
        """Makes the result of test `n` the final answer, and closes the session."""
        return Submitted.model_validate(await self._post("submit", {"n": n}))

    async def call(self, tool: str, /, **arguments: Any) -> Edited:
        """A tool by its name, for callers that hand on what a model asked for. `test` answers with a Started, and
        `probe` with a Probed.
        """
        if tool == "check" and not arguments:
            return await self.check()
        return ANSWERS.get(tool, Edited).model_validate(await self._post(tool, arguments))

    async def state(self) -> SessionView:
        """Budget left, files, tests, submission."""
        return SessionView.model_validate(await self._transport.get(self._path))

    async def trajectory(self) -> TrajectoryView:
        """Every step with its input, observation and time, and the final files."""
        return TrajectoryView.model_validate(await self._transport.get(f"{self._path}/trajectory"))

    async def _post(self, tool: str, arguments: Mapping[str, Any]) -> Any:
        return await self._transport.post(f"{self._path}/{tool}", arguments)


class AsyncClient(AsyncConnected):
    """Every call raises RefusedError when the service turns it down, and ServiceError when it cannot be reached."""

    def __init__(self, url: str, key: str | None = None, patience_s: float = 60.0) -> None:
        """`key`: an operator's, where the service has any. `patience_s`: how long a call is repeated while the service
        cannot be reached."""
        super().__init__(AsyncTransport(url, key, patience_s))

    async def open(
        self, task: str, agent: str, scale: str | None = None, metadata: Mapping[str, Any] | None = None
    ) -> AsyncClientSession:
        """A new session. `agent` is shown on the leaderboard; without `scale` it is the service's default."""
        body = {"task": task, "agent": agent, "scale": scale, "metadata": dict(metadata or {})}
        opened = Opened.model_validate(await self._transport.post("/v1/sessions", body))
        return AsyncClientSession(self._transport.with_bearer(opened.token), opened)

    async def resume(self, session_id: str, token: str) -> AsyncClientSession:
        """A session that was opened before, here or elsewhere: as it stands, with the prompt it was opened with."""
        transport = self._transport.with_bearer(token)
        body = await transport.get(f"/v1/sessions/{quote(session_id, safe='')}/opening")
        return AsyncClientSession(transport, Opened.model_validate(body))

    async def tasks(self) -> tuple[TaskBrief, ...]:
        return Tasks.model_validate(await self._transport.get("/v1/tasks")).tasks

    async def task(self, task_id: str) -> TaskWhole:
        return TaskWhole.model_validate(await self._transport.get(f"/v1/tasks/{quote(task_id, safe='')}"))

    async def prompt(self, task_id: str, scale: str | None = None) -> TaskPrompt:
        """What an agent is told whose session is opened on the task; without `scale` at the service's default."""
        path = f"/v1/tasks/{quote(task_id, safe='')}/prompt"
        return TaskPrompt.model_validate(await self._transport.get(path, scale=scale))

    async def leaderboard(self, task_id: str, **query: Any) -> Leaderboard:
        """Submitted results, best first. `query`: `scale`, `status`, `agent`, `final`, `sort`, `limit`, `offset`."""
        path = f"/v1/leaderboards/{quote(task_id, safe='')}"
        return Leaderboard.model_validate(await self._transport.get(path, **query))

    async def result(self, session_id: str, n: int) -> ResultView:
        """What the leaderboard's row of a finished test stands for: metrics, audits, code, and where it ran."""
        return ResultView.model_validate(await self._transport.get(f"/v1/results/{session_id}-{n}"))
