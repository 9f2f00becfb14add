"""Runs of tests and probes are known by their ids alone."""

from __future__ import annotations

import pytest

from env.lifecycle.plan import owner, run_id
from env.store.keys import key_from_text, key_of_probe, key_text, name_of


@pytest.mark.parametrize("key", [1, 12, key_of_probe(1), key_of_probe(12), 0])
@pytest.mark.parametrize("session_id", ["0123456789abcdef", "reference-00ff"])
def test_a_run_tells_whose_it_is(session_id: str, key: int) -> None:
    assert owner(run_id(session_id, key, 1, 2)) == (session_id, key)
    assert key_from_text(key_text(key)) == key


def test_names_and_ids_of_probes_and_tests_differ() -> None:
    assert [name_of(2), name_of(key_of_probe(2))] == ["Test #2", "Probe #2"]
    assert [run_id("a", key, 0, 0) for key in (2, key_of_probe(2))] == ["a-2-0-0", "a-p2-0-0"]
