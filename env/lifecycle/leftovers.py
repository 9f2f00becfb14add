"""What a service that died has left behind on its host."""

from __future__ import annotations

from collections.abc import Callable

from env.lifecycle.attempts import Attempts
from env.lifecycle.devices import DeviceReturns
from env.store.model import Status
from env.store.store import Store
from env.store.unfinished import held_devices, unfinished


def everybodys(_: str) -> bool:
    """Every session's tests are to be taken."""
    return True


async def clear_up(store: Store, attempts: Attempts, returns: DeviceReturns, ours: Callable[[str], bool]) -> None:
    """Removes runs of tests that are over, and of rehearsals: the service died before the clean-up. Devices stay off
    the pools while a run may be on them whose test is to be taken by somebody else; `ours` tells by a session's id.
    """
    with store.begin() as conn:
        wanted = {one.key for one in unfinished(conn)}
    await attempts.remove_where(lambda key: key not in wanted)
    with store.begin() as conn:
        for one in unfinished(conn):
            if one.status is Status.RUNNING and not ours(one.session_id):
                returns.keep_off(held_devices(conn, one))
