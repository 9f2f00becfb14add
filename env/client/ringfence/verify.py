"""`python -m ringfence.verify`: the reward of a session's submitted result, as the service has it.

For graders that run apart from the agent: they have the agent's session file and, where the service has keys, an
operator's. Whatever is not a final result of this task, or cannot be asked for, is a failed verification and no reward.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from ringfence.client import Client, ClientSession, RefusedError, ResultView, ServiceError
from ringfence.client.figures import UnscoredError, figures, reward
from ringfence.rf import session_file

PATIENCE_S = 300.0
"""How long a service that cannot be reached is asked again."""
FAILED = 1


class UnverifiedError(Exception):
    """There is no final result of this task to be rewarded."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m ringfence.verify", description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--task", required=True)
    parser.add_argument("--scale", required=True)
    parser.add_argument("--session", type=Path, default=session_file(), help="the agent's session file")
    parser.add_argument("--out", type=Path, required=True, help="the reward file to be written")
    parser.add_argument("--patience", type=float, default=PATIENCE_S, help="seconds to wait for an absent service")
    asked = parser.parse_args()
    asked.out.unlink(missing_ok=True)
    try:
        with Client(asked.url, os.environ.get("RINGFENCE_KEY") or None, asked.patience) as client:
            result = submitted(client, asked.session, asked.task, asked.scale)
        rewards = {"reward": reward(result), **figures(result)}
    except (UnverifiedError, UnscoredError, RefusedError, ServiceError) as error:
        print(f"Not verified: {error}", file=sys.stderr)
        sys.exit(FAILED)
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(rewards, indent=1, allow_nan=False), encoding="utf-8")
    print(f"Result {result.run_key} is {result.status}; reward {rewards['reward']:.4f}.")


def submitted(client: Client, file: Path, task: str, scale: str) -> ResultView:
    """The result that the session in the file submitted. Raises UnverifiedError, RefusedError, ServiceError."""
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        session_id, token = str(kept["session_id"]), str(kept["token"])
    except OSError as error:
        raise UnverifiedError(f"the agent opened no session: {error}") from error
    except (ValueError, TypeError, KeyError) as error:
        raise UnverifiedError(f"{file} is no session file: {error}") from error
    # With its own token: an agent that names somebody else's session does not have that.
    with client.resume(session_id, token) as session:
        return client.result(session_id, _submission(session, task, scale))


def _submission(session: ClientSession, task: str, scale: str) -> int:
    state = session.state()
    if (state.task, state.scale) != (task, scale):
        raise UnverifiedError(f"session {session.id} is on {state.task} at scale {state.scale}, not {task} at {scale}")
    if state.submission is None:
        raise UnverifiedError(f"session {session.id} is {state.state} and has submitted nothing")
    return state.submission.n


if __name__ == "__main__":
    main()
