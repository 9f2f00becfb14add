"""docs/operators.md, done by the letter: every command that needs neither the internet, Docker nor GPUs."""

from __future__ import annotations

import re
import shutil
import socket
import sys
from pathlib import Path

import pytest

from tests.support.processes import plain_environment, run_to_end

GUIDE = Path(__file__).parent.parent / "docs" / "operators.md"
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NEEDS = re.compile(r"# needs (the internet|Docker|GPUs)")


def blocks() -> list[str]:
    return BLOCK.findall(GUIDE.read_text(encoding="utf-8"))


def test_blocks_that_are_not_run_say_what_they_need() -> None:
    marked = [block for block in blocks() if block.startswith("#")]
    assert all(NEEDS.match(block) for block in marked)
    assert len(marked) == 6
    assert len(blocks()) - len(marked) >= 9


@pytest.mark.slow
@pytest.mark.timeout(600)  # four rehearsals and a test
def test_an_operator_who_follows_it_gets_a_task_solved(tmp_path: Path, smoke_data: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    script = "\n".join(block for block in blocks() if not block.startswith("#")).replace("8080", port)
    script = f"set -eu\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{script}"
    plain = plain_environment()
    plain |= {"PATH": f"{Path(sys.executable).parent}:{plain['PATH']}", "RINGFENCE_PORT": port}
    shutil.copytree(smoke_data, tmp_path / ".ringfence" / "data")  # made already, and the reference with them
    followed = run_to_end(["bash", "-c", script], 580, plain, cwd=tmp_path)
    told = followed.stdout
    assert followed.returncode == 0, f"{told}\n{followed.stderr}"
    assert "ok  baseline linear (" in told
    assert "[check] Passed after" in told
    assert "[submit] Finalized test #1 as final." in told
    assert re.search(r'"agent": "me",\s+"test": 1,\s+"status": "succeeded",\s+"is_final": true', told)
    assert 'ringfence_tests{status="succeeded"} 1.0' in told
    assert "test ended session=" in told
    assert told.rstrip().endswith("1")  # the restored service has the row
    assert "Traceback" not in followed.stderr
