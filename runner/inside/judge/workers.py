"""The workers of an evaluation: scorers, which share the work, an auditor, and a reference of our own."""

from __future__ import annotations

import queue
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import numpy as np
from numpy.typing import NDArray

from runner.inside.faults import AgentFault, SetupFault
from runner.inside.judge.cost_growth import CostGrowth, measure_cost_growth
from runner.inside.judge.predictions import Predicted, Prediction, Shape
from runner.inside.judge.worker_client import ModelClient, Scores
from runner.inside.names import AUDITOR, REFERENCE, worker_names
from runner.inside.rendezvous import Rendezvous
from runner.inside.settings import EvaluationSettings, ModelSettings
from runner.inside.wire import WireTimeout

GONE_S = 900.0
"""Seconds that the runner has to kill the scorers; it may have been restarted meanwhile."""


class Workers:
    """The workers of one evaluation: first the scorers work, then the auditor, then the reference.

    Two sandboxes of one host can always whisper to each other, through the kernel's counters if nothing else. Therefore
    the agent's code is not in the auditor's before the scorers are dead, and the reference is shown what the auditor
    must not see when that is dead too. Every call may raise an AgentFault.
    """

    def __init__(self, rendezvous: Rendezvous, clients: Mapping[str, ModelClient], weights: NDArray[np.uint8]) -> None:
        self._rendezvous = rendezvous
        self._clients = clients
        self._weights = weights
        self.scorers = tuple(client for name, client in clients.items() if name not in (AUDITOR, REFERENCE))
        self.heard = True
        """Whether the agent may hear what its code says: not once any of it has been shown evaluation data."""

    def load_scorers(self) -> None:
        """Have every scorer load the model, all at once. Raises SetupFault for one that is broken itself."""
        with ThreadPoolExecutor(len(self.scorers)) as pool:
            list(pool.map(lambda scorer: scorer.load(self._weights), self.scorers))

    def rehearse(
        self, scored: Sequence[Shape], shown: Sequence[Shape], predicted: Sequence[Shape], rng: np.random.Generator
    ) -> None:
        """Ask the scorers about random tokens of all these shapes: as scores every one, as distributions one each, but
        the first about those of what it will have to predict.

        Here the agent hears what goes wrong, in full. Afterwards evaluation data may be sent.
        """
        asked: list[list[tuple[bool, NDArray[np.int32]]]] = [[] for _ in self.scorers]
        vocab_size = self.scorers[0].vocab_size
        for shape in dict.fromkeys(scored):
            for of_scorer in asked:
                of_scorer.append((True, rng.integers(vocab_size, size=shape).astype(np.int32)))
        for number, shape in enumerate(dict.fromkeys(shown)):
            tokens = rng.integers(vocab_size, size=shape).astype(np.int32)
            asked[number % len(asked)].append((False, tokens))
        for shape in dict.fromkeys(predicted):
            asked[0].append((False, rng.integers(vocab_size, size=shape).astype(np.int32)))

        def ask(number: int) -> None:
            for as_scores, tokens in asked[number]:
                if as_scores:
                    self.scorers[number].score(tokens)
                else:
                    last = np.array([(row, tokens.shape[1] - 1) for row in range(len(tokens))], dtype=np.int32)
                    self.scorers[number].distribution(tokens, last)

        with ThreadPoolExecutor(len(self.scorers)) as pool:
            list(pool.map(ask, range(len(self.scorers))))

    def cost_growth(self, model: ModelSettings, rng: np.random.Generator) -> CostGrowth:
        """How the model's cost grows with length, by the first scorer. To be asked while its code is heard."""
        assert self.heard, "what is said of evaluation data would be passed on"
        return measure_cost_growth(self.scorers[0], model, rng)

    def predict(self, prediction: Prediction, rng: np.random.Generator) -> Predicted:
        """What the first scorer expects; the others have been shown nothing yet, and cannot have told it."""
        self.heard = False
        return prediction.ask(self.scorers[0], rng)

    def score(self, batches: Sequence[NDArray[np.int32]]) -> Iterator[tuple[Scores, ModelClient]]:
        """The claims about each batch (B, T), in the batches' order, and which scorer made them."""
        self.heard = False
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

    def auditor(self) -> ModelClient:
        """The auditor with the model loaded. No scorer can be asked any more. Raises SetupFault."""
        self._dismiss([name for name in self._clients if name not in (AUDITOR, REFERENCE)])
        auditor = self._clients[AUDITOR]
        auditor.load(self._weights)
        return auditor

    def reference(self, weights: NDArray[np.uint8]) -> ModelClient:
        """The reference with its own weights loaded. Nobody else is left to be asked. Raises SetupFault.

        What goes wrong with it is not the agent's doing: whoever asks it raises SetupFault too.
        """
        self._dismiss([AUDITOR])
        reference = self._clients[REFERENCE]
        try:
            reference.load(weights)
        except AgentFault as fault:
            raise SetupFault("reference", str(fault)) from None
        return reference

    def _dismiss(self, names: list[str]) -> None:
        for name in names:
            self._clients[name].close()
        try:
            self._rendezvous.dismiss(names, GONE_S)
        except WireTimeout as error:
            raise SetupFault("model workers", str(error)) from None


@contextmanager
def assembled(settings: EvaluationSettings, weights: NDArray[np.uint8]) -> Iterator[Workers]:
    """All workers, the scorers with the model loaded from the bytes of a safetensors file.

    Raises AgentFault and SetupFault.
    """
    names = worker_names(settings.scorers, reference=settings.reference_dir is not None)
    start_s = settings.start_timeout_s
    with ExitStack() as stack:
        rendezvous = stack.enter_context(Rendezvous(settings.meet_dir, names))
        clients = {}
        for name in names:
            try:
                wire = rendezvous.welcome(name, start_s)
            except WireTimeout:
                raise SetupFault("model worker", f"{name} did not come within {start_s:g} s") from None
            clients[name] = ModelClient(wire, settings.model, start_s, settings.request_timeout_s)
            stack.enter_context(clients[name])
        workers = Workers(rendezvous, clients, weights)
        workers.load_scorers()
        yield workers
