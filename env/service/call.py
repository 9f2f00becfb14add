"""A tool call on its way through the service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

from ringfence.api.arguments import TOOLS, Arguments, CancelArguments, CancelProbeArguments

A = TypeVar("A", bound=Arguments)
A_co = TypeVar("A_co", bound=Arguments, covariant=True)

_NAMES: dict[type[Arguments], str] = {
    **{arguments: name for name, arguments in TOOLS.items()},
    CancelArguments: "cancel",
    CancelProbeArguments: "cancel_probe",
}


@dataclass(frozen=True, kw_only=True)
class Call(Generic[A_co]):
    """Who calls which tool of which session, and with what."""

    bearer: str | None
    session_id: str
    arguments: A_co
    key: str | None = None
    """The Idempotency-Key under which the call may be repeated."""

    @property
    def tool(self) -> str:
        """The tool's name, which follows from the arguments."""
        return _NAMES[type(self.arguments)]

    @cached_property
    def input(self) -> Mapping[str, Any]:
        """The arguments that were given, as JSON values: what the trajectory shows and a repetition must match."""
        return self.arguments.model_dump(exclude_none=True)
