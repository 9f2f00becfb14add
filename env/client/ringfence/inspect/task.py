"""`inspect eval ringfence/pretrain -T url=…`: a session on a running service, played by a model."""

from __future__ import annotations

import os

from inspect_ai import Task, task
from inspect_ai.dataset import Sample

from ringfence.client import Client
from ringfence.inspect.scorer import submitted_result
from ringfence.inspect.sessions import Sessions
from ringfence.inspect.work import open_session, work

MESSAGES = 200
"""Enough for every test of a task with a good deal of editing; `--message-limit` sets another limit."""


@task
def pretrain(
    task: str | None = None,
    url: str = "http://127.0.0.1:8080",
    scale: str | None = None,
    agent: str | None = None,
) -> Task:
    """A sample for each task; `--epochs N` plays N sessions of each. A key is read from RINGFENCE_KEY.

    Args:
        task: Id of a task of the service, or several with commas; all that have the scale if left out.
        url: Where the service listens.
        scale: One of the task's scales; the service's default if left out.
        agent: Name on the leaderboard; the model's if left out.
    """
    client = Client(url, os.environ.get("RINGFENCE_KEY"))
    sessions = Sessions(client, scale, agent)
    wanted = task.split(",") if task else [one.id for one in client.tasks() if scale is None or scale in one.scales]
    return Task(
        # What an agent is told as its session is opened: whoever reads the log finds it where samples have their input.
        dataset=[Sample(id=one, input=client.prompt(one, scale).prompt) for one in wanted],
        setup=open_session(sessions),
        solver=work(sessions),
        scorer=submitted_result(client, sessions),
        cleanup=sessions.close,
        message_limit=MESSAGES,
        name=f"ringfence-{task}" if len(wanted) == 1 else "ringfence",
    )
