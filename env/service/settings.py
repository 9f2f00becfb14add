"""What a service is started with."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from env.service.closing import DEFAULT_PATIENCE, SessionPatience
from env.service.rates import DEFAULT_RATES, RateLimits

SECRET_BYTES = 32
"""Of what session tokens are derived from."""


class BadSecret(Exception):
    """The file with the service's secret holds none; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class ServiceSettings:
    """What a service is started with, besides its tasks and what runs them."""

    db: str
    """SQLAlchemy URL, e.g. `sqlite:///.ringfence/ringfence.db`."""
    state_dir: Path
    """Where the service keeps its secret."""
    data_dir: Path | None = None
    """The data folder that runs read; None where nothing is really trained."""
    keys: Sequence[str] = ()
    """Operators' keys; empty means anyone who reaches the service may open a session."""
    agent_keys: Sequence[str] = ()
    """Keys that open sessions and can do nothing else."""
    default_scale: str | None = None
    """Of sessions that name none."""
    patience: SessionPatience = DEFAULT_PATIENCE
    """With sessions that nobody ends."""
    rates: RateLimits = DEFAULT_RATES
    foresight: bool = False
    """Edited models are built, and asked about short inputs, before a test is spent on them."""
    apart: bool = False
    """Evaluations have the host to themselves: nobody else's code runs beside a scorer."""
    confirmations: int = 0
    """How many further seeds every submission at a scale that takes no GPUs is run again at."""
    only_own_sessions: bool = False
    """Whether to take up and close nothing but the sessions that are opened from now on in this process."""


def read_secret(folder: Path) -> bytes:
    """What session tokens are derived from: made once, readable by the service's user only."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "secret"
    if not file.exists():
        fresh = folder / f"secret.{secrets.token_hex(4)}"
        fresh.touch(mode=0o600)
        fresh.write_bytes(secrets.token_bytes(SECRET_BYTES))
        fresh.rename(file)
    secret = file.read_bytes()
    if len(secret) < SECRET_BYTES:
        raise BadSecret(
            f"{file} holds {len(secret)} bytes, and {SECRET_BYTES} are needed: anybody could forge the tokens of "
            "sessions. Bring it back from a backup; or delete it, which ends what open sessions can do."
        )
    return secret
