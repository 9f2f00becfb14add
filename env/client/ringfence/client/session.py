"""A session as its agent uses it: the tools, and what came of them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import httpx

from ringfence.api.sessions import AttemptStarted, Opened, Point, SessionView, TestView, TrajectoryView
from ringfence.api.tools import ANSWERS, Checked, CheckResult, Edited, Probed, Started, Submitted, TestTicket
from ringfence.client.errors import RefusedError
from ringfence.client.transport import Connected, Transport

HOLD_S = 30
"""How long one call waits for a test or a check; then it is asked again."""

Event = TestTicket | AttemptStarted | Point | TestView
"""A new status, a run that is tried again, a TRAIN_METRICS line, and at last the test's view."""

_KINDS: dict[str, type[TestTicket] | type[AttemptStarted] | type[Point] | type[TestView]] = {
    "reset": AttemptStarted,
    "status": TestTicket,
    "metrics": Point,
    "result": TestView,
}


class ClientSession(Connected):
    """Every call raises RefusedError when the service turns it down, and ServiceError when it cannot be reached.

    Calls are repeated while the service is down: it may be killed and started again in the middle.
    """

    def __init__(self, transport: Transport, opened: Opened) -> None:
        super().__init__(transport)
        self._path = f"/v1/sessions/{opened.session_id}"
        self.opened = opened

    @property
    def id(self) -> str:
        return self.opened.session_id

    @property
    def token(self) -> str:
        """With the id, all that it takes to go on with the session elsewhere: `Client.resume`."""
        return self.opened.token

    @property
    def prompt(self) -> str:
        """The task, the rules, the file: all that an agent has to know."""
        return self.opened.prompt

    # --- editing ------------------------------------------------------------------------------------------------

    def edit(self, **arguments: Any) -> Edited:
        """The tool itself, with its arguments: `op`, `start_line`, `end_line`, `after_line`, `content`, …"""
        return Edited.model_validate(self._post("edit", arguments))

    def replace(self, start_line: int, end_line: int, content: str, filename: str | None = None) -> Edited:
        """Lines `start_line` to `end_line`, 1-based and inclusive; empty `content` deletes them."""
        return self.edit(op="replace", start_line=start_line, end_line=end_line, content=content, **_file(filename))

    def insert(self, after_line: int, content: str, filename: str | None = None) -> Edited:
        return self.edit(op="insert", after_line=after_line, content=content, **_file(filename))

    def str_replace(self, old_str: str, new_str: str, filename: str | None = None) -> Edited:
        """`old_str` must occur exactly once in the editable ranges."""
        return self.edit(op="str_replace", old_str=old_str, new_str=new_str, **_file(filename))

    def view(self, start_line: int | None = None, end_line: int | None = None, filename: str | None = None) -> Edited:
        """The observation holds the file with line numbers, whole or from `start_line` to `end_line`."""
        lines = {"start_line": start_line, "end_line": end_line}
        given: dict[str, Any] = {name: line for name, line in lines.items() if line is not None}
        return Edited.model_validate(self._post("view", given | _file(filename)))

    def undo(self, n: int = 1) -> Edited:
        return Edited.model_validate(self._post("undo", {"n": n}))

    # --- testing ------------------------------------------------------------------------------------------------

    def check(self) -> Checked:
        """The free rehearsal, once it is over; takes seconds where nobody else waits for one."""
        key = uuid.uuid4().hex
        while True:
            body = self._transport.post(f"{self._path}/check?wait={HOLD_S}", {}, key)
            answer = Checked.model_validate(body)
            if isinstance(answer.check, CheckResult):
                return answer

    def test(self, wait: bool = True, on_progress: Callable[[TestView], object] | None = None) -> TestView:
        """Spends a test on the file as it is. With `wait`, returns when it is over, and not before.

        `on_progress` is called with each change of status and each TRAIN_METRICS line.
        """
        return self._run(f"tests/{Started.model_validate(self._post('test', {})).test.n}", wait, on_progress)

    def probe(self, wait: bool = True, on_progress: Callable[[TestView], object] | None = None) -> TestView:
        """Spends a probe on the file as it is, where the session's scale has a proxy; else as `test`."""
        return self._run(f"probes/{Probed.model_validate(self._post('probe', {})).probe.n}", wait, on_progress)

    def _run(self, place: str, wait: bool, on_progress: Callable[[TestView], object] | None) -> TestView:
        if not wait:
            return self._read(place)
        if on_progress is not None:
            for event in self._events(place):
                if not isinstance(event, TestView):
                    on_progress(self._read(place))
        return self._result(place)

    def read_test(self, n: int, hold_s: float = 0) -> TestView:
        """How test `n` stands: as soon as it is over, or after `hold_s` seconds (at most 60)."""
        return self._read(f"tests/{n}", hold_s)

    def read_probe(self, n: int, hold_s: float = 0) -> TestView:
        """The same of probe `n`."""
        return self._read(f"probes/{n}", hold_s)

    def _read(self, place: str, hold_s: float = 0) -> TestView:
        return TestView.model_validate(self._transport.get(f"{self._path}/{place}", wait=hold_s))

    def result(self, n: int) -> TestView:
        """Test `n`, once it is over."""
        return self._result(f"tests/{n}")

    def _result(self, place: str) -> TestView:
        while (seen := self._read(place, HOLD_S)).ended_at is None:
            pass
        return seen

    def events(self, n: int) -> Iterator[Event]:
        """What happens to test `n`, each thing once: its statuses and points as they come, and at last its view."""
        return self._events(f"tests/{n}")

    def probe_events(self, n: int) -> Iterator[Event]:
        """The same of probe `n`."""
        return self._events(f"probes/{n}")

    def _events(self, place: str) -> Iterator[Event]:
        retries = self._transport.retries()
        status, points = "", 0
        attempt: tuple[int, str | None] = (1, None)
        while True:
            seen = 0
            why: object = "the stream of events ended early"
            try:
                with self._transport.lines(f"{self._path}/{place}/events") as lines:
                    for event in _parsed(lines):
                        retries.answered()
                        match event:
                            case TestView():
                                yield event
                                return
                            case TestTicket() if event.status != status:
                                status = event.status
                                yield event
                            case AttemptStarted():
                                seen = min(seen, event.points)
                                if (event.attempt, event.stage) != attempt:
                                    attempt, points = (event.attempt, event.stage), event.points
                                    yield event
                            case Point():
                                # A stream tells all from the beginning.
                                seen += 1
                                if seen > points:
                                    points = seen
                                    yield event
            except httpx.TransportError as error:
                why = error
            retries.pause(why)

    def cancel(self, n: int) -> TestView:
        """Stops test `n`; one that is over stays as it is."""
        return self._cancel(f"tests/{n}")

    def cancel_probe(self, n: int) -> TestView:
        """Stops probe `n`; one that is over stays as it is."""
        return self._cancel(f"probes/{n}")

    def _cancel(self, place: str) -> TestView:
        try:
            return TestView.model_validate(self._transport.post(f"{self._path}/{place}/cancel", {}))
        except RefusedError as refused:
            if refused.code != "test_over":
                raise
            return self._read(place)

    def submit(self, n: int) -> Submitted:
        """Makes the result of test `n` the final answer, and closes the session."""
        return Submitted.model_validate(self._post("submit", {"n": n}))

    # --- reading ------------------------------------------------------------------------------------------------

    def state(self) -> SessionView:
        """Budget left, files, tests, submission."""
        return SessionView.model_validate(self._transport.get(self._path))

    def trajectory(self) -> TrajectoryView:
        """Every step with its input, observation and time, and the final files."""
        return TrajectoryView.model_validate(self._transport.get(f"{self._path}/trajectory"))

    def call(self, tool: str, /, **arguments: Any) -> Edited:
        """A tool by its name, for callers that hand on what a model asked for. `test` answers with a Started, and
        `probe` with a Probed.
        """
        if tool == "check" and not arguments:
            return self.check()
        return ANSWERS.get(tool, Edited).model_validate(self._post(tool, arguments))

    def _post(self, tool: str, arguments: Mapping[str, Any]) -> Any:
        return self._transport.post(f"{self._path}/{tool}", arguments)


def _file(filename: str | None) -> dict[str, str]:
    return {} if filename is None else {"filename": filename}


def _parsed(lines: Iterable[str]) -> Iterator[Event]:
    """The server-sent events of the kinds known here; comments and other events are passed over."""
    name = ""
    for line in lines:
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data" and name in _KINDS:
            yield _KINDS[name].model_validate_json(value)
