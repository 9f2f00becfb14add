"""What agents, trainers and evaluations use: the client, and what it speaks. Knows no part of the service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ringfence.verifiers import RingfenceTaskset

# Verifiers finds a taskset by the name of the package that exports it, `ringfence`; nobody else needs verifiers for it.
__all__ = ["RingfenceTaskset"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ringfence.verifiers import RingfenceTaskset

    return RingfenceTaskset
