"""`rf`: a session from the command line, for agents that have a shell and nothing else.

The session is opened by the first command, as the RINGFENCE_* variables say, and kept in a file of the box.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ringfence.api.sessions import TestView
from ringfence.client import Client, ClientSession, RefusedError, ServiceError

DEFAULT_URL = "http://127.0.0.1:8080"
HOLD_S = 20.0
REFUSED, UNREACHABLE = 1, 3
"""Exit statuses."""


def main(arguments: list[str] | None = None) -> None:
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None) -> int:
    """Exit status: 0, or REFUSED where the service turned the call down, or UNREACHABLE."""
    asked = _parser().parse_args(arguments)
    try:
        url, key = os.environ.get("RINGFENCE_URL", DEFAULT_URL), os.environ.get("RINGFENCE_KEY")
        with Client(url, key or None) as client, _session(client) as session:
            said: str = asked.act(session, asked)
    except RefusedError as refused:
        print(refused.observation)
        return REFUSED
    except ServiceError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return UNREACHABLE
    print(said)
    return 0


def session_file() -> Path:
    """Where the box keeps its session: its id, and the token that acts in it."""
    return Path(os.environ.get("RINGFENCE_SESSION") or Path.home() / ".ringfence" / "session.json")


def _session(client: Client) -> ClientSession:
    file = session_file()
    if file.is_file():
        kept = json.loads(file.read_text(encoding="utf-8"))
        return client.resume(kept["session_id"], kept["token"])
    task = os.environ.get("RINGFENCE_TASK")
    if not task:
        raise ServiceError("no session is open here, and RINGFENCE_TASK does not say of which task to open one")
    agent = os.environ.get("RINGFENCE_AGENT") or "rf"
    session = client.open(task, agent, os.environ.get("RINGFENCE_SCALE") or None)
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(".draft")
    draft.write_text(json.dumps({"session_id": session.id, "token": session.token}), encoding="utf-8")
    draft.chmod(0o600)
    draft.replace(file)
    return session


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rf", description="A Ringfence session: edit, check, test, submit.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, act: Callable[[ClientSession, argparse.Namespace], str], said: str) -> Any:
        one = commands.add_parser(name, help=said, description=said)
        one.set_defaults(act=act)
        return one

    command("prompt", lambda session, _: session.prompt, "the task, the rules, the file")
    edit = command("edit", _edit, "the edit tool, its arguments as JSON")
    edit.add_argument("arguments", help='such as {"op": "str_replace", "old_str": "…", "new_str": "…"}; - reads them')
    replace = command("replace", _replace, "replace lines START to END by what is read from standard input")
    replace.add_argument("start", type=int)
    replace.add_argument("end", type=int)
    insert = command("insert", _insert, "insert what is read from standard input after a line")
    insert.add_argument("after", type=int)
    view = command("view", _view, "the file with line numbers, whole or from START to END")
    view.add_argument("start", type=int, nargs="?")
    view.add_argument("end", type=int, nargs="?")
    undo = command("undo", lambda session, asked: session.undo(asked.n).observation, "take back the last N edits")
    undo.add_argument("n", type=int, nargs="?", default=1)
    command("check", lambda session, _: session.check().observation, "rehearse the file: free, in seconds")
    test = command("test", _test, "spend a test on the file as it is")
    probe = command(
        "probe", _probe, "spend a probe on it, a test at the proxy of the session's scale, where it has one"
    )
    status = command("status", _status, "how the last test or probe stands: its progress, or its result")
    for one, seconds in ((test, 60.0), (probe, 60.0), (status, 0.0)):
        help_text = f"how long to wait for the result, {seconds:g} s by default; the test goes on all the same"
        one.add_argument("--wait", type=float, default=seconds, metavar="S", help=help_text)
    submit = command("submit", lambda session, asked: session.submit(asked.n).observation, "make test N the answer")
    submit.add_argument("n", type=int)
    call = command("call", _call, "a tool by its name, its arguments as JSON")
    call.add_argument("tool")
    call.add_argument("arguments", nargs="?", default="{}")
    return parser


def _edit(session: ClientSession, asked: argparse.Namespace) -> str:
    return session.edit(**_object(asked.arguments)).observation


def _replace(session: ClientSession, asked: argparse.Namespace) -> str:
    return session.replace(asked.start, asked.end, sys.stdin.read()).observation


def _insert(session: ClientSession, asked: argparse.Namespace) -> str:
    return session.insert(asked.after, sys.stdin.read()).observation


def _view(session: ClientSession, asked: argparse.Namespace) -> str:
    return session.view(asked.start, asked.end).observation


def _test(session: ClientSession, asked: argparse.Namespace) -> str:
    return _waited(session.read_test, session.test(wait=False).n, asked.wait)


def _probe(session: ClientSession, asked: argparse.Namespace) -> str:
    return _waited(session.read_probe, session.probe(wait=False).n, asked.wait)


def _status(session: ClientSession, asked: argparse.Namespace) -> str:
    state = session.state()
    last = max((*state.tests, *state.probes), key=lambda one: one.created_at, default=None)
    if last is None:
        return "No test was started yet."
    return _waited(session.read_probe if last.kind == "probe" else session.read_test, last.n, asked.wait)


def _call(session: ClientSession, asked: argparse.Namespace) -> str:
    return session.call(asked.tool, **_object(asked.arguments)).observation


def _waited(read: Callable[[int, float], TestView], n: int, wait_s: float) -> str:
    """The result of test or probe `n`, or how far it is after so many seconds."""
    last = time.monotonic() + wait_s
    seen = read(n, 0)
    while seen.ended_at is None and (left := last - time.monotonic()) > 0:
        seen = read(n, min(left, HOLD_S))
    return _progress(seen) if seen.observation is None else seen.observation


def _progress(seen: TestView) -> str:
    now = seen.progress
    told = "" if now.total_steps is None else f", step {now.step} of {now.total_steps}"
    left = "" if now.eta_s is None else f", about {now.eta_s:.0f} s left of this stage"
    return (
        f"[{seen.kind.capitalize()} #{seen.n}] {seen.status}{told}{left}. `rf status --wait 60` waits for its result."
    )


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(sys.stdin.read() if text == "-" else text)
    except ValueError as error:
        raise RefusedError("bad_json", f"ERROR: the arguments are not JSON: {error}.", 0) from error
    if not isinstance(value, dict):
        raise RefusedError("bad_json", "ERROR: the arguments must be one JSON object.", 0)
    return value


if __name__ == "__main__":
    main()
