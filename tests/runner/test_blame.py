"""What a run does to its host's files is its own failure, and the room for saying so is kept."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from runner.folder import run_folder
from runner.folder.reserve import keep_reserve
from runner.folder.run_folder import read_state, write_state
from runner.local.runner import LocalRunner
from runner.protocol import Exit, ExitReason, Runner, RunSpec, RunState

Shell = Callable[..., RunSpec]
Finish = Callable[[Runner, RunSpec], RunState]

UNLINKED = """
python3 -S - <<'END'
import mmap, os, time
held = []
for name in "ab":
    path = os.environ["OUT_DIR"] + "/" + name
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    os.write(file, b"x" * (5 << 20))
    {then}
    os.unlink(path)
time.sleep(30)
END
"""


@pytest.mark.parametrize("then", ["pass", "held.append(mmap.mmap(file, 0)); os.close(file)"])
def test_files_without_a_name_count(local: LocalRunner, shell: Shell, finish: Finish, then: str) -> None:
    state = finish(local, shell(UNLINKED.format(then=then)))
    assert state.exit == Exit(ExitReason.LIMIT, detail="8 MiB of files")


def test_a_run_that_removes_its_output_folder_has_failed(local: LocalRunner, shell: Shell, finish: Finish) -> None:
    state = finish(local, shell('rm -rf "$OUT_DIR"\n'))
    assert state.exit == Exit(ExitReason.EXITED, 1, detail="it removed its output folder")
    state = finish(local, shell('rmdir "$OUT_DIR"; ln -s /etc "$OUT_DIR"\n', run_id="link"))
    assert state.exit == Exit(ExitReason.EXITED, 1, detail="it removed its output folder")


@pytest.mark.parametrize(
    "damage",
    [
        'rm -rf "${OUT_DIR%/out}"',
        'chmod u+w "$OUT_DIR/.."; rm -f "$OUT_DIR"/../*',
        'echo "{" > "$OUT_DIR/../started"; echo "[" > "$OUT_DIR/../spec.json"; rm "$OUT_DIR/../supervisor"',
        'rm -rf "${OUT_DIR%/out}"; sleep 0.5',
    ],
)
def test_a_run_that_breaks_its_folder_has_failed_or_ends_as_if_it_had_not(
    local: LocalRunner, shell: Shell, finish: Finish, damage: str
) -> None:
    state = finish(local, shell(f"{damage}\nexit 0\n"))
    assert state.exit is not None
    assert state.exit.reason is ExitReason.EXITED, state
    local.remove("run")


def test_a_run_without_folder_can_be_cancelled(
    local: LocalRunner, shell: Shell, ended: Callable[..., RunState], eventually: Callable[..., None], tmp_path: Path
) -> None:
    local.submit(shell('rm -rf "${OUT_DIR%/out}"; sleep 60\n'))
    eventually(lambda: not (tmp_path / "runs" / "run").exists())
    local.cancel("run")
    end = ended(local, "run").exit  # as whoever looked first saw it
    assert end is not None
    assert end.reason in (ExitReason.CANCELLED, ExitReason.EXITED), end


def test_on_a_full_disk_the_reserve_makes_room_for_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "runs"
    (root / "run").mkdir(parents=True)
    keep_reserve(root)
    reserve = tmp_path / ".runs-reserve"
    assert reserve.stat().st_blocks * 512 >= 4 << 20
    really = run_folder.os.fsync

    def full(fd: int) -> None:
        if reserve.exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        really(fd)

    monkeypatch.setattr(run_folder.os, "fsync", full)
    write_state(root / "run" / "exit", {"a": 1})
    assert read_state(root / "run" / "exit") == {"a": 1}
    assert not reserve.exists()
    keep_reserve(root)
    assert reserve.exists()
