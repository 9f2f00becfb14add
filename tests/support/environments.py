"""Python environments of their own, for packages that cannot live beside ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import run_to_end

ROOT = Path(__file__).parents[2]
_UV = Path(sys.executable).with_name("uv")


def make_environment(folder: Path, *packages: str, minor: int = 11) -> Path:
    """The Python of a new environment with these packages, of version 3.`minor` or newer.

    Where there is no such Python, or no package to be had, the test is skipped, or fails where
    RINGFENCE_REQUIRE_ENVIRONMENTS is set.
    """
    python = _python(minor)
    if python is None:
        _missing(f"no Python 3.{minor} or newer is at hand")
    made = run_to_end([_UV, "venv", "-q", "--no-python-downloads", "--python", str(python), folder])
    assert made.returncode == 0, made.stderr
    ours = folder / "bin" / "python"
    command = [_UV, "pip", "install", "-q", "--python", ours, "-c", ROOT / "constraints.txt", *packages]
    got = run_to_end([str(part) for part in command], env=dict(os.environ))
    if got.returncode:
        _missing(f"{', '.join(packages)} cannot be installed: {got.stderr}")
    return ours


def build_wheel(folder: Path) -> Path:
    """This tree's wheel."""
    built = run_to_end([_UV, "build", "-q", "--wheel", "--out-dir", folder, ROOT], env=dict(os.environ))
    if built.returncode:
        _missing(f"the wheel cannot be built: {built.stderr}")
    [wheel] = folder.glob("*.whl")
    return wheel


def _python(minor: int) -> Path | None:
    """The oldest that will do: this one, or one that lies where others are kept."""
    if sys.version_info >= (3, minor):
        return Path(sys.executable)
    kept = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for wanted in range(minor, minor + 4):
        for place in (Path("/usr/bin"), Path("/usr/local/bin"), *sorted(kept.glob(f"3.{wanted}.*/bin"))):
            python = place / f"python3.{wanted}"
            if python.exists() and subprocess.run([python, "-c", ""], check=False).returncode == 0:
                return python
    return None


def _missing(why: str) -> None:
    if os.environ.get("RINGFENCE_REQUIRE_ENVIRONMENTS"):
        pytest.fail(why)
    pytest.skip(why)
