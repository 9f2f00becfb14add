"""Downloads on a bad day: cut off, changed on the way, refused, and taken up again."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import pytest

from runner.data.errors import DataError
from runner.data.fetch import TRIES, Fetcher, Remote
from runner.data.lock import NAME, Lock

PATH = "files/one.bin"
DATA = random.Random(1).randbytes(300_000)
SHA256 = hashlib.sha256(DATA).hexdigest()
URL = f"https://example.org/{PATH}"


@pytest.fixture(autouse=True)
def _one_file(hub: Any) -> None:
    hub.files[PATH] = DATA


@pytest.mark.parametrize("remote", [Remote(URL), Remote(URL, len(DATA)), Remote(URL, len(DATA), SHA256)])
def test_a_file_arrives_whole_and_is_recorded(fetcher: Fetcher, tmp_path: Path, remote: Remote) -> None:
    assert fetcher.fetch(remote).read_bytes() == DATA
    assert json.loads((tmp_path / NAME).read_text()) == {"sha256": {PATH: SHA256}}


def test_what_is_there_is_not_fetched_again(fetcher: Fetcher, hub: Any) -> None:
    fetcher.fetch(Remote(URL))
    fetcher.fetch(Remote(URL))
    assert hub.asked[PATH] == 1


@pytest.mark.parametrize("remote", [Remote(URL), Remote(URL, len(DATA), SHA256)])
def test_cut_connections_cost_no_byte_twice(fetcher: Fetcher, hub: Any, remote: Remote) -> None:
    hub.drop_after = 100_000
    assert fetcher.fetch(remote).read_bytes() == DATA
    assert hub.sent[PATH] == len(DATA)
    assert hub.asked[PATH] == 3


def test_a_server_without_ranges_sends_all_of_it_again(fetcher: Fetcher, hub: Any) -> None:
    hub.ranges = False
    partial = fetcher.folder / f"{PATH}.partial"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(DATA[:1000])
    assert fetcher.fetch(Remote(URL, len(DATA), SHA256)).read_bytes() == DATA
    assert hub.sent[PATH] == len(DATA)


def test_a_later_call_goes_on_where_an_earlier_one_gave_up(fetcher: Fetcher, hub: Any) -> None:
    hub.drop_after, hub.ranges = 100_000, False  # each try starts over and gets no further
    with pytest.raises(DataError, match="run the same command again"):
        fetcher.fetch(Remote(URL, len(DATA), SHA256))
    hub.drop_after, hub.ranges = None, True
    hub.sent.clear()
    assert fetcher.fetch(Remote(URL, len(DATA), SHA256)).read_bytes() == DATA
    assert hub.sent[PATH] == len(DATA) - 100_000


def test_a_wrong_byte_is_noticed_and_mended(fetcher: Fetcher, hub: Any, told: Any) -> None:
    hub.flip_once.add(PATH)
    assert fetcher.fetch(Remote(URL, len(DATA), SHA256)).read_bytes() == DATA
    assert told.lines == ["one.bin is damaged: fetching it again"]


def test_a_file_that_stays_wrong_is_refused_with_both_digests(fetcher: Fetcher, hub: Any) -> None:
    hub.flip_always.add(PATH)
    with pytest.raises(DataError, match=f"when {SHA256} was expected"):
        fetcher.fetch(Remote(URL, len(DATA), SHA256))
    assert not list(fetcher.folder.rglob("one.bin*"))


def test_a_file_damaged_on_this_disk_is_fetched_anew(fetcher: Fetcher) -> None:
    place = fetcher.fetch(Remote(URL))
    place.write_bytes(DATA[:-1] + b"x")
    assert fetcher.fetch(Remote(URL)).read_bytes() == DATA


def test_a_source_that_changed_is_not_taken_silently(fetcher: Fetcher, hub: Any) -> None:
    fetcher.fetch(Remote(URL)).unlink()
    other = b"other"
    hub.files[PATH] = other
    with pytest.raises(DataError, match="has changed: it was"):
        fetcher.fetch(Remote(URL, len(other), hashlib.sha256(other).hexdigest()))
    with pytest.raises(DataError, match=SHA256):
        fetcher.fetch(Remote(URL))


def test_a_copied_lock_holds_another_host_to_the_same_bytes(
    hub: Any, told: Any, tmp_path: Path, fetcher: Fetcher
) -> None:
    fetcher.fetch(Remote(URL))
    other = tmp_path / "other"
    other.mkdir()
    (other / NAME).write_bytes((tmp_path / NAME).read_bytes())
    hub.files[PATH] = DATA[::-1]
    with (
        Fetcher(other / "files", Lock(other), told, hub.url, pause=lambda _: None) as elsewhere,
        pytest.raises(DataError, match=SHA256),
    ):
        elsewhere.fetch(Remote(URL))


def test_passing_troubles_of_the_server_are_waited_out(hub: Any, told: Any, tmp_path: Path) -> None:
    hub.refuse = [503, 429, 500]
    pauses: list[float] = []
    with Fetcher(tmp_path / "files", Lock(tmp_path), told, hub.url, pauses.append) as one:
        assert one.fetch(Remote(URL)).read_bytes() == DATA
    assert pauses == sorted(pauses)
    assert len(pauses) == 3


def test_a_missing_file_is_said_at_once_with_its_address(fetcher: Fetcher, hub: Any) -> None:
    with pytest.raises(DataError, match=rf"{hub.url}/no/such\.bin: the server answers 404 Not Found"):
        fetcher.fetch(Remote("https://example.org/no/such.bin"))
    assert hub.asked["no/such.bin"] == 1


def test_no_server_at_all_is_an_error_with_advice(hub: Any, told: Any, tmp_path: Path) -> None:
    hub.refuse = [500] * (2 * TRIES)
    with Fetcher(tmp_path / "files", Lock(tmp_path), told, hub.url, pause=lambda _: None) as one:
        with pytest.raises(DataError, match="--from"):
            one.fetch(Remote(URL))
        with pytest.raises(DataError, match="the server answers 500"):
            one.listing(URL)
    with (
        Fetcher(tmp_path / "files", Lock(tmp_path), told, "http://127.0.0.1:1", pause=lambda _: None) as one,
        pytest.raises(DataError, match=r"127\.0\.0\.1:1/files/one\.bin: .*--from"),
    ):
        one.fetch(Remote(URL))


def test_a_lock_file_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text("[]")
    with pytest.raises(DataError, match=NAME):
        Lock(tmp_path)
