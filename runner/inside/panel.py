"""The workers of an evaluation: scorers, which share the work, and an auditor, which sees samples only."""

from __future__ import annotations

import queue
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import numpy as np
from numpy.typing import NDArray

from runner.inside.client import ModelClient, Scores
from runner.inside.faults import WorkerTimedOut
from runner.inside.meeting import Meeting
from runner.inside.settings import Settings
from runner.inside.wire import WireTimeout

AUDITOR = "audit"
START_S = 240.0
"""For a worker to come, import its framework and load the model."""


class Panel:
    """Loaded models, ready to answer. Every call may raise an AgentFault."""

    def __init__(self, auditor: ModelClient, scorers: Sequence[ModelClient]) -> None:
        self.auditor = auditor
        self.scorers = tuple(scorers)

    def score(self, batches: Sequence[NDArray[np.int32]]) -> Iterator[tuple[Scores, ModelClient]]:
        """The claims about each batch (B, T), in the batches' order, and which scorer made them."""
        free: queue.SimpleQueue[ModelClient] = queue.SimpleQueue()
        for scorer in self.scorers:
            free.put(scorer)

        def ask(tokens: NDArray[np.int32]) -> tuple[Scores, ModelClient]:
            scorer = free.get()
            try:
                return scorer.score(tokens), scorer
            finally:
                free.put(scorer)

        with ThreadPoolExecutor(len(self.scorers)) as pool:
            asked = [pool.submit(ask, tokens) for tokens in batches]
            try:
                for answer in asked:
                    yield answer.result()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)


def worker_names(scorers: int) -> list[str]:
    return [AUDITOR, *(f"score-{number}" for number in range(1, scorers + 1))]


@contextmanager
def assembled(settings: Settings, weights: NDArray[np.uint8]) -> Iterator[Panel]:
    """All workers, with the model loaded from the bytes of a safetensors file. Raises AgentFault and SetupFault."""
    names = worker_names(settings.scorers)
    with ExitStack() as stack, ThreadPoolExecutor(len(names)) as pool:
        meeting = stack.enter_context(Meeting(settings.meet_dir, names))
        clients = []
        for name in names:
            try:
                wire = meeting.welcome(name, START_S)
            except WireTimeout:
                raise WorkerTimedOut("starting", START_S) from None
            clients.append(ModelClient(wire, settings.model, START_S, settings.request_timeout_s))
            stack.enter_context(clients[-1])
        list(pool.map(lambda client: client.load(weights), clients))
        yield Panel(clients[0], clients[1:])
