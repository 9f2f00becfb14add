"""A call that is turned down: what the caller sees, and what kind of no it is."""

from __future__ import annotations

from enum import StrEnum

from ringfence.api.base import Body


class Kind(StrEnum):
    """Why a call was turned down; a transport maps each to a status of its own."""

    MALFORMED = "malformed"  # not readable at all
    UNAUTHENTICATED = "unauthenticated"  # no or unknown secret
    FORBIDDEN = "forbidden"  # known caller, not allowed
    NOT_FOUND = "not_found"  # nothing of that name
    CONFLICT = "conflict"  # not in this state
    TOO_LARGE = "too_large"  # over a size limit
    INVALID = "invalid"  # understood, but the values are wrong
    EXHAUSTED = "exhausted"  # a budget is spent
    UNAVAILABLE = "unavailable"  # not at the moment: the same call is to be repeated


class Refused(Body):
    """Every refusal: `observation` begins with `ERROR: ` and says what is allowed."""

    ok: bool
    observation: str
    code: str


class Refusal(Exception):
    """Raised before anything is spent. `message` says what is allowed; `code` is stable, for programs."""

    def __init__(self, kind: Kind, code: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.code = code
        self.message = message

    def __reduce__(self) -> tuple[type[Refusal], tuple[Kind, str, str]]:
        return type(self), (self.kind, self.code, self.message)  # it passes between processes

    @property
    def observation(self) -> str:
        return f"ERROR: {self.message}"

    @property
    def body(self) -> Refused:
        """What a caller outside any session's steps is answered."""
        return Refused(ok=False, observation=self.observation, code=self.code)
