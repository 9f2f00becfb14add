"""Tasks of a running service as a taskset: a rollout is a session, its reward the score of what that submitted."""

# mypy: disable-error-code="misc, untyped-decorator"
# Its base classes are unknown to mypy: verifiers is never installed beside the rest.

from __future__ import annotations

import os
from collections.abc import Iterator

import verifiers.v1 as vf
from pydantic import Field

from ringfence.client import AsyncClient, Client
from ringfence.client.figures import figures, reward
from ringfence.verifiers.state import RolloutState
from ringfence.verifiers.tools import RingfenceTools, RingfenceToolsConfig

_FINAL = "Nothing counts before you have called submit."


class RingfenceConfig(vf.TasksetConfig):
    """Which tasks of which service. An operator's key, or an agents' one, is read from RINGFENCE_KEY."""

    url: str = "http://127.0.0.1:8080"
    """Where the service listens."""
    tasks: list[str] = Field(default_factory=list)
    """Ids of tasks; all of the service's by default."""
    scale: str | None = "smoke"
    """One of the tasks' scales; the service's default for none. Tasks without it are left out."""
    instances: int = Field(1, ge=1)
    """How many rows each task makes, which differ in the `seed` that is noted with their sessions only: what a training
    draws is set by the scale."""
    agent: str = "verifiers"
    """Name on the leaderboard."""
    patience_s: float = 60.0
    """How long a call is repeated while the service cannot be reached."""
    invented: bool = False
    """Whether invented results, which have no score, are worth 0 and no error: to try out what lies around them."""
    tools: RingfenceToolsConfig = RingfenceToolsConfig()


class RingfenceData(vf.TaskData):
    """A row: a task of the service at a scale."""

    url: str
    task: str
    scale: str | None
    agent: str
    seed: int
    patience_s: float
    invented: bool


class RingfenceTask(vf.Task[RingfenceData, RolloutState, vf.TaskConfig]):
    """Opens the rollout's session, and asks the service what became of it. What the service or the way to it fails at
    is an error of the rollout and never a reward."""

    async def setup(self, trace: vf.Trace, runtime: vf.Runtime) -> None:  # noqa: ARG002
        metadata = {"verifiers": {"trace": str(trace.id), "seed": self.data.seed}}
        async with self._client() as client:
            session = await client.open(self.data.task, self.data.agent, self.data.scale, metadata)
        state = trace.state
        state.patience_s = self.data.patience_s
        state.url, state.session_id, state.token = self.data.url, session.opened.session_id, session.opened.token
        trace.info["session_id"] = state.session_id

    async def finalize(self, trace: vf.Trace, runtime: vf.Runtime) -> None:  # noqa: ARG002
        """A test that nobody waits for any more is stopped: others want its place."""
        async with self._client() as client:
            session = await client.resume(trace.state.session_id, trace.state.token)
            state = await session.state()
            for one in (*state.tests, *state.probes):
                if one.ended_at is None:
                    await (session.cancel_probe if one.kind == "probe" else session.cancel)(one.n)

    @vf.reward
    async def submitted_score(self, trace: vf.Trace) -> float:
        """The leaderboard's score; 0 for a result that failed, and where the agent submitted none."""
        async with self._client() as client:
            session = await client.resume(trace.state.session_id, trace.state.token)
            submission = (await session.state()).submission
            if submission is None:
                trace.record_metrics({"submitted": 0.0})
                return 0.0
            result = await client.result(trace.state.session_id, submission.n)
        trace.info["result"] = result.run_key
        trace.info["audits"] = [audit.model_dump() for audit in result.record.audits]
        trace.record_metrics({"submitted": 1.0, **figures(result)})
        if self.data.invented and result.runner_class == "fake":
            return 0.0
        return reward(result)

    def _client(self) -> AsyncClient:
        return AsyncClient(self.data.url, os.environ.get("RINGFENCE_KEY") or None, self.data.patience_s)


class RingfenceTaskset(vf.Taskset[RingfenceTask, RingfenceConfig]):
    """The rows: each task, as often as there are instances."""

    def load(self) -> Iterator[RingfenceTask]:
        config = self.config
        with Client(config.url, patience_s=config.patience_s) as client:
            known = {brief.id: brief for brief in client.tasks()}
            for task_id in config.tasks or known:
                # The service says which tasks and scales there are, where one is named that there is not.
                if task_id in known and not config.tasks and config.scale not in (None, *known[task_id].scales):
                    continue
                told = client.prompt(task_id, config.scale)
                for seed in range(config.instances):
                    data = RingfenceData(
                        id=f"{told.task}/{told.scale}/{seed}",
                        name=told.task,
                        prompt=f"{told.prompt}\n{_FINAL}",
                        url=config.url,
                        task=told.task,
                        scale=told.scale,
                        agent=config.agent,
                        seed=seed,
                        patience_s=config.patience_s,
                        invented=config.invented,
                    )
                    yield RingfenceTask(data, config.task)

    @classmethod
    def toolsets(cls, config: RingfenceConfig) -> list[vf.Toolset]:
        return [RingfenceTools(config.tools)]
