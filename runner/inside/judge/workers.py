"""The workers of an evaluation: scorers, which share the work, and an auditor, which sees samples only."""

from __future__ import annotations

import queue
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import numpy as np
from numpy.typing import NDArray

from runner.inside.faults import SetupFault
from runner.inside.judge.worker_client import ModelClient, Scores
from runner.inside.names import AUDITOR, worker_names
from runner.inside.rendezvous import Rendezvous
from runner.inside.settings import EvaluationSettings
from runner.inside.wire import WireTimeout

START_S = 240.0
"""Seconds that a worker has to come, import its framework and load the model."""
GONE_S = 900.0
"""Seconds that the runner has to kill the scorers; it may have been restarted meanwhile."""


class Workers:
    """The workers of one evaluation. First the scorers work, then, when no process of theirs is left, the auditor.

    Two sandboxes of one host can always whisper to each other, through the kernel's counters if nothing else. Therefore
    the agent's code is not in the auditor's before the scorers are dead. Every call may raise an AgentFault.
    """

    def __init__(self, rendezvous: Rendezvous, clients: Mapping[str, ModelClient], weights: NDArray[np.uint8]) -> None:
        self._rendezvous = rendezvous
        self._clients = clients
        self._weights = weights
        self.scorers = tuple(client for name, client in clients.items() if name != AUDITOR)

    def load_scorers(self) -> None:
        """Have every scorer load the model, all at once. Raises SetupFault for one that is broken itself."""
        with ThreadPoolExecutor(len(self.scorers)) as pool:
            list(pool.map(lambda scorer: scorer.load(self._weights), self.scorers))

    def auditor(self) -> ModelClient:
        """The auditor with the model loaded. No scorer can be asked any more. Raises SetupFault."""
        for scorer in self.scorers:
            scorer.close()
        try:
            self._rendezvous.dismiss([name for name in self._clients if name != AUDITOR], GONE_S)
        except WireTimeout as error:
            raise SetupFault("model workers", str(error)) from None
        auditor = self._clients[AUDITOR]
        auditor.load(self._weights)
        return auditor

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


@contextmanager
def assembled(settings: EvaluationSettings, weights: NDArray[np.uint8]) -> Iterator[Workers]:
    """All workers, the scorers with the model loaded from the bytes of a safetensors file.

    Raises AgentFault and SetupFault.
    """
    names = worker_names(settings.scorers)
    with ExitStack() as stack:
        rendezvous = stack.enter_context(Rendezvous(settings.meet_dir, names))
        clients = {}
        for name in names:
            try:
                wire = rendezvous.welcome(name, START_S)
            except WireTimeout:
                raise SetupFault("model worker", f"{name} did not come within {START_S:g} s") from None
            clients[name] = ModelClient(wire, settings.model, START_S, settings.request_timeout_s)
            stack.enter_context(clients[name])
        workers = Workers(rendezvous, clients, weights)
        workers.load_scorers()
        yield workers
