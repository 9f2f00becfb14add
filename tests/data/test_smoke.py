"""The smoke data: complete or absent, of texts that nobody has seen, in one language everywhere."""

from __future__ import annotations

import json
import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from runner.data import DataError, is_prepared, prepare_smoke
from tests.support.processes import started


def contents(folder):
    return {path.name: path.read_bytes() for path in (folder / "smoke").rglob("*") if path.is_file()}


def text(folder, name):
    """Of a token file."""
    data = next((folder / "smoke").rglob(name)).read_bytes()
    assert set(data[1::2]) == {0}
    return data[::2].decode("ascii")


def shingles(text, length):
    return {text[i : i + length] for i in range(len(text) - length + 1)}


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared as a service does it."""
    folder = tmp_path_factory.mktemp("other")
    prepare_smoke(folder)
    return folder


def test_the_same_seed_gives_the_same_bytes(prepared: Path, seed: bytes, tmp_path: Path) -> None:
    prepare_smoke(tmp_path / "new" / "folder", seed)
    assert contents(tmp_path / "new" / "folder") == contents(prepared)


def test_two_installations_share_no_text(prepared: Path, other: Path) -> None:
    for name in ("train.bin", "dev.bin", "heldout.bin"):
        assert not shingles(text(prepared, name)[:500_000], 80) & shingles(text(other, name)[:500_000], 80)


def test_two_installations_have_one_language(prepared: Path, other: Path) -> None:
    def frequencies(folder, unit):
        counts = Counter(unit(text(folder, "train.bin")[:1_000_000]))
        return {one: count / counts.total() for one, count in counts.items()}

    def distance(unit):
        """Total variation."""
        one, two = frequencies(prepared, unit), frequencies(other, unit)
        return sum(abs(one.get(key, 0) - two.get(key, 0)) for key in one | two) / 2

    def words(text):
        return [word.strip(".,") for word in text.split() if word.islower()]

    assert distance(lambda text: text) < 0.01
    assert distance(words) < 0.05
    assert set(words(text(prepared, "train.bin"))) == set(words(text(other, "train.bin")))


def test_splits_share_no_text(prepared: Path) -> None:
    train, dev, heldout = (text(prepared, f"{name}.bin") for name in ("train", "dev", "heldout"))
    known = shingles(heldout, 80)
    for other in (train, dev):
        assert not any(other[i : i + 80] in known for i in range(len(other)))
    assert not shingles(dev, 80) & shingles(train[:500_000], 80)
    assert len(train) > 10 * len(dev) > 20 * len(heldout)


def test_only_the_heldout_folder_knows_the_seed(prepared: Path, seed: bytes, other: Path) -> None:
    assert json.loads((prepared / "smoke" / "heldout" / "meta.json").read_text())["seed"] == seed.hex()
    secret = json.loads((other / "smoke" / "heldout" / "meta.json").read_text())["seed"]
    assert len(bytes.fromhex(secret)) == 32
    for path in other.rglob("*"):
        if path.is_file() and path.parent.name != "heldout":
            assert secret.encode() not in path.read_bytes()
            assert bytes.fromhex(secret) not in path.read_bytes()


def test_as_much_is_held_out_as_the_smoke_scale_scores(prepared: Path) -> None:
    assert len(text(prepared, "heldout.bin")) // 65 * 64 >= 65536


def test_preparing_again_touches_nothing(prepared: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in prepared.rglob("*")}
    prepare_smoke(prepared)
    assert {path: path.stat().st_mtime_ns for path in prepared.rglob("*")} == before


def test_processes_that_prepare_at_once_get_the_same_data(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib, runner.data; folder = pathlib.Path(sys.argv[1]); runner.data.prepare_smoke(folder); "
        "print([(folder / 'smoke' / name / 'meta.json').read_text() for name in ('train', 'heldout')])"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with ExitStack() as ends:
        racing = [ends.enter_context(started(command)) for _ in range(3)]
        seen = {process.communicate(timeout=100)[0] for process in racing}
    assert [process.returncode for process in racing] == [0, 0, 0]
    assert len(seen) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"smoke", ".smoke-lock"}


def test_readiness_is_known_by_name_and_format(prepared: Path, tmp_path: Path) -> None:
    assert is_prepared(prepared, "smoke/train")
    assert is_prepared(prepared, "smoke/heldout")
    assert not is_prepared(prepared, "smoke/other")
    assert not is_prepared(tmp_path, "smoke/train")


def test_data_of_an_older_format_is_replaced_and_what_a_killed_process_left_is_cleared(
    prepared: Path, seed: bytes, tmp_path: Path
) -> None:
    for name in ("train", "heldout"):
        (tmp_path / "smoke" / name).mkdir(parents=True)
        (tmp_path / "smoke" / name / "meta.json").write_text('{"format": 1}')
    for left in (".smoke-new", ".smoke-old"):
        (tmp_path / left / "train").mkdir(parents=True)
    assert not is_prepared(tmp_path, "smoke/train")
    prepare_smoke(tmp_path, seed)
    assert contents(tmp_path) == contents(prepared)
    assert {path.name for path in tmp_path.iterdir()} == {"smoke", ".smoke-lock"}


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError) as caught:
        prepare_smoke(tmp_path / "file" / "data")
    assert caught.value.path == tmp_path / "file" / "data"


def test_other_users_can_read_it(prepared: Path) -> None:
    for path in [prepared / "smoke", *(prepared / "smoke").rglob("*")]:
        assert path.stat().st_mode & 0o044 == 0o044
