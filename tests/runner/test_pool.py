"""Who gets which devices: never one twice, neighbours first, nothing lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runner.pool import Device, Pool

PAIRS = [
    Device("0", "H200", frozenset({"2"})),
    Device("1", "H200", frozenset({"3"})),
    Device("2", "H200", frozenset({"0"})),
    Device("3", "H200", frozenset({"1"})),
]


def test_linked_devices_are_leased_together() -> None:
    pool = Pool(PAIRS)
    assert pool.lease(2) == ("0", "2")
    assert pool.lease(2) == ("1", "3")
    assert pool.lease(2) is None


def test_devices_without_links_will_do() -> None:
    pool = Pool(PAIRS)
    pool.adopt(["0", "1"])
    assert set(pool.lease(2) or ()) == {"2", "3"}


def test_a_slot_holds_a_run_of_any_size() -> None:
    pool = Pool.of_slots(2)
    assert pool.fits(8)
    assert pool.lease(2) is not None
    assert pool.lease(8) is not None
    assert pool.lease(1) is None


def test_what_could_never_be_had_is_told_apart_from_what_is_taken() -> None:
    pool = Pool(PAIRS)
    pool.adopt(["0", "1", "2", "3"])
    assert pool.fits(4)
    assert pool.lease(1) is None
    assert not pool.fits(5)
    assert not Pool([]).fits(1)


def test_devices_held_from_before_a_restart_are_not_handed_out() -> None:
    pool = Pool(PAIRS)
    pool.adopt(["2", "gone-with-the-old-host"])
    assert "2" not in (pool.lease(3) or ("2",))
    pool.give_back(["2", "gone-with-the-old-host"])
    assert pool.lease(1) == ("2",)


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 3)), max_size=60))
def test_no_device_is_ever_leased_twice_and_none_is_lost(calls: list[tuple[bool, int]]) -> None:
    pool = Pool(PAIRS)
    held: list[tuple[str, ...]] = []
    for take, size in calls:
        if take:
            lease = pool.lease(size)
            in_use = [id_ for one in held for id_ in one]
            assert (lease is None) == (size > len(PAIRS) - len(in_use))
            if lease is not None:
                assert len(set(lease)) == size
                assert not set(lease) & set(in_use)
                held.append(lease)
        elif held:
            pool.give_back(held.pop(size % len(held)))
    assert pool.free == len(PAIRS) - sum(map(len, held))


def test_hundreds_of_gpus_without_links_are_leased_at_once() -> None:
    pool = Pool([Device(f"gpu-{number}") for number in range(512)])
    leases = [pool.lease(8) for _ in range(64)]  # of 512 there are 6e16 ways to choose eight
    assert len({id_ for lease in leases if lease for id_ in lease}) == 512
    assert pool.lease(8) is None
