"""What a rollout's tools and its reward have in common."""

# mypy: disable-error-code="misc"
# Its base classes are unknown to mypy: verifiers is never installed beside the rest.

from __future__ import annotations

import verifiers.v1 as vf


class RolloutState(vf.State):
    """The session that a rollout plays. Set before its agent starts."""

    url: str = ""
    session_id: str = ""
    token: str = ""
    patience_s: float = 60.0
