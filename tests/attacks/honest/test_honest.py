"""What researchers really try raises no alarm.

Here each edit is trained once and briefly. By hand, whole smoke tests at several seeds, with the largest figure of each
audit beside its limit:

    RINGFENCE_HONEST_SEEDS=42,43,44 pytest tests/attacks/honest -s
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.attacks.conftest import Attack, Range

pytestmark = pytest.mark.docker

SEEDS = [seed for seed in os.environ.get("RINGFENCE_HONEST_SEEDS", "").split(",") if seed]
VARIANTS = [f"--full--seed-{seed}" for seed in SEEDS] or [""]

Figures = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def figures() -> Iterator[Figures]:
    """Every audit of every test, by name; the table is printed at the end."""
    seen: Figures = defaultdict(list)
    yield seen
    for name, audits in sorted(seen.items()):
        worst = max(audits, key=lambda audit: audit["figure"] / audit["limit"] if audit["limit"] else 0.0)
        print(f"{name:14} {worst['figure']:12.4g} of {worst['limit']:.4g} {worst['unit']} in {len(audits)} audits")


@pytest.fixture(scope="module")
def honest_range(
    open_range: Callable[..., Any], honest_edits: list[Attack], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Range]:
    folder: Path = tmp_path_factory.mktemp("honest")
    with open_range(folder, {edit.task + variant for edit in honest_edits for variant in VARIANTS}) as arena:
        for variant in VARIANTS:
            for edit in honest_edits:
                arena.honest(edit.task + variant, edit.texts)
        yield arena


@pytest.mark.timeout(300 + 1800 * len(SEEDS))
@pytest.mark.parametrize("variant", VARIANTS)
def test_an_honest_edit_passes_every_audit(honest_range: Range, honest: Attack, variant: str, figures: Figures) -> None:
    played = honest_range.honest(honest.task + variant, honest.texts)
    assert played.value() > 0
    audits = played.audits()
    assert {audit["name"] for audit in audits} >= {
        "parameters",
        "normalisation",
        "commitment",
        "bias",
        "drift",
        "canary",
    }
    for audit in audits:
        figures[audit["name"]].append(audit)
        assert audit["passed"], audit
