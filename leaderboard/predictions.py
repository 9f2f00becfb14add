"""How well probes predicted tests: whether of two codes the same one was better at both scales."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations


@dataclass(frozen=True, kw_only=True)
class ProbedCode:
    """One code that a session both probed and tested, with its validation losses in nats per token."""

    session_id: str
    probe_loss: float
    test_loss: float


@dataclass(frozen=True, kw_only=True)
class ProbeWorth:
    """What came of all pairs of codes that the same session both probed and tested."""

    scale: str
    proxy: str
    """The scale of the probes."""
    runner: str
    """What ran both: `docker`, `local`, `fake`."""
    sessions: int
    """Those with at least one pair."""
    pairs: int
    kept: int
    """The pairs of which the same code was better in the probes and in the tests."""

    @property
    def share(self) -> float:
        """Of the pairs, those whose order was kept."""
        return self.kept / self.pairs


def probe_worth(scale: str, proxy: str, runner: str, codes: Sequence[ProbedCode]) -> ProbeWorth | None:
    """Over all pairs of codes of one session each; a pair with the same loss twice has no order and is left out.

    None where no pair has one.
    """
    of_session: dict[str, list[ProbedCode]] = {}
    for code in codes:
        of_session.setdefault(code.session_id, []).append(code)
    found = {session_id: _orders(each) for session_id, each in of_session.items()}
    orders = [kept for each in found.values() for kept in each]
    if not orders:
        return None
    sessions = sum(bool(each) for each in found.values())
    return ProbeWorth(scale=scale, proxy=proxy, runner=runner, sessions=sessions, pairs=len(orders), kept=sum(orders))


def _orders(codes: Sequence[ProbedCode]) -> list[bool]:
    """Of each pair that has an order at both scales, whether it is the same."""
    differences = [
        (one.probe_loss - other.probe_loss, one.test_loss - other.test_loss) for one, other in combinations(codes, 2)
    ]
    return [(probe < 0) == (test < 0) for probe, test in differences if probe and test]
