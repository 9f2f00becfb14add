"""Whether probes predicted tests: pairs of codes of one session each, and how many of them kept their order."""

from __future__ import annotations

from leaderboard.predictions import ProbedCode, ProbeWorth, probe_worth


def measured(session_id: str, *losses: tuple[float, float]) -> list[ProbedCode]:
    return [ProbedCode(session_id=session_id, probe_loss=probe, test_loss=test) for probe, test in losses]


def test_pairs_are_those_of_one_session() -> None:
    codes = [*measured("a", (3.0, 2.3), (3.1, 2.4), (3.2, 2.2)), *measured("b", (2.0, 1.1), (1.9, 1.2))]
    assert probe_worth("large", "small", "docker", codes) == ProbeWorth(
        scale="large", proxy="small", runner="docker", sessions=2, pairs=4, kept=1
    )


def test_a_code_alone_and_equal_losses_predict_nothing() -> None:
    alone = [*measured("a", (3.0, 2.3)), *measured("b", (3.1, 2.4))]
    assert probe_worth("large", "small", "fake", alone) is None
    assert probe_worth("large", "small", "fake", [*alone, *measured("c", (3.0, 2.0), (3.0, 2.1))]) is None
    told = probe_worth("large", "small", "fake", [*alone, *measured("c", (3.0, 2.0), (3.0, 2.1), (2.9, 1.9))])
    assert told is not None
    assert (told.sessions, told.pairs, told.kept, told.share) == (1, 2, 2, 1.0)
