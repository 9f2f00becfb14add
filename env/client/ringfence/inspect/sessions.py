"""The sessions of an evaluation: one for each sample and epoch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from anyio import to_thread
from inspect_ai.solver import TaskState

from ringfence.client import Client, ClientSession

T = TypeVar("T")


async def aside(call: Callable[[], T]) -> T:
    """The client blocks: its calls are made in a thread, which is left to itself when the sample is cancelled."""
    return await to_thread.run_sync(call, abandon_on_cancel=True)


class Sessions:
    def __init__(self, client: Client, scale: str | None, agent: str | None) -> None:
        """A sample's id is its task's. Without `agent` a session's agent is the model."""
        self._client = client
        self._scale = scale
        self._agent = agent
        self._by_sample: dict[str, ClientSession] = {}

    async def open(self, state: TaskState) -> ClientSession:
        agent = self._agent or str(state.model)
        metadata = {"inspect": {"sample": str(state.sample_id), "epoch": state.epoch}}
        task = str(state.sample_id)
        session = await aside(lambda: self._client.open(task, agent, self._scale, metadata))
        self._by_sample[state.uuid] = session
        return session

    def of(self, state: TaskState) -> ClientSession:
        return self._by_sample[state.uuid]

    async def close(self, state: TaskState) -> None:
        """Gives the sample's connection back."""
        session = self._by_sample.pop(state.uuid, None)
        if session is not None:
            session.close()
