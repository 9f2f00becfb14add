"""What the README says is there, is there, and the other way round."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TREE = {line.split()[0] for line in README.rsplit("```", 2)[1].splitlines() if line}
PACKAGES = ("env", "runner")


@pytest.mark.parametrize("package", PACKAGES)
def test_every_room_is_in_the_tree(package: str) -> None:
    rooms = {path.parent.relative_to(ROOT).as_posix() for path in (ROOT / package).glob("*/__init__.py")}
    assert {f"{room}/" for room in rooms} <= TREE


def test_everything_in_the_tree_exists() -> None:
    assert [name for name in sorted(TREE) if not (ROOT / name).exists()] == []
    assert all((ROOT / name).is_dir() for name in TREE if name.endswith("/"))


def test_a_newcomer_reads_it_in_one_sitting() -> None:
    assert len(README.splitlines()) <= 150
    assert len(TREE) <= 36


def test_every_command_of_the_readme_is_a_real_one() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in ("demo", "test"):
        assert f"make {target}" in README
        assert f"\n{target}: " in makefile


def test_a_class_name_stands_once_in_the_tree() -> None:
    names = [
        found
        for package in ("env", "tasks", "runner", "leaderboard")
        for path in (ROOT / package).rglob("*.py")
        for found in re.findall(r"^class (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    twice = {name for name, count in Counter(names).items() if count > 1}
    assert twice == set()


def test_what_the_architecture_names_is_there() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:env|tasks|runner|leaderboard|templates)/[\w/.]+)`", text)
    assert len(named) > 20
    assert [name for name in named if not (ROOT / name).exists()] == []
