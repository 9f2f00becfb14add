"""No edit gets a number that its model does not deserve, and none does harm."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.attacks.conftest import Attack, Range

pytestmark = pytest.mark.docker

METRIC = "val_loss_gpt-smoke"
OURS = re.compile(r"runner[/.]inside|site-packages|/runs/[0-9a-z-]+/")
"""Our own frames and the host's folders, which no agent and no reader may see."""
HARMFUL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What may reach no terminal: control characters, and those that turn the direction of writing."""
NOISE = 0.01
"""Nats between two evaluations of the same weights, each of which adds noise of its own to them."""
CHANCE = 0.05
"""Nats that another training of much the same model may be better by."""


@pytest.mark.timeout(600)
def test_an_attack_gains_nothing(range_: Range, attack: Attack) -> None:
    played = range_.attack(attack)
    if played.refusal is not None:
        assert "refused" in attack.ends, played.refusal
        assert played.refusal.startswith("ERROR: ")
        assert re.search(attack.says, played.refusal), played.refusal
        return

    seen = played.result()
    assert seen["status"] in attack.ends, seen["observation"]
    assert re.search(attack.says, seen["observation"]), seen["observation"]
    assert not seen["refunded"]
    row = played.row()
    told = seen["observation"] + json.dumps(seen["stages"]) + json.dumps(row)
    assert not OURS.search(told), told
    assert not HARMFUL.search(told), told
    if seen["status"] == "succeeded":
        honest = range_.honest(attack.task, attack.honest).value()
        assert seen["metrics"][METRIC] >= honest - (NOISE if attack.exact else CHANCE)
        assert not attack.exact or seen["metrics"][METRIC] == pytest.approx(honest, abs=NOISE)
        assert row[METRIC] == seen["metrics"][METRIC]
    else:
        assert seen["metrics"] == {}
        assert row.get(METRIC) is None
    for lie in attack.lies:
        assert lie not in json.dumps(seen["metrics"]) + json.dumps(row)


@pytest.mark.timeout(300)
def test_after_all_attacks_an_honest_test_gets_its_number_and_nothing_is_left(
    range_: Range, containers_of: Callable[[str], list[str]]
) -> None:
    before = range_.honest("normalization", {}).value()
    assert range_.once_more("normalization").value() == pytest.approx(before, abs=NOISE)
    runs = range_.server.state / "runs"
    last = time.monotonic() + 30
    while list(runs.iterdir()) or containers_of(str(runs)):
        assert time.monotonic() < last, "a container or a folder of a run is left"
        time.sleep(0.2)
    assert "Traceback" not in range_.server.log()
