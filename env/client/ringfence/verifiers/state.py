"""What a rollout's tools and its reward have in common."""

from __future__ import annotations

import verifiers.v1 as vf


class RolloutState(vf.State):
    """The session that a rollout plays. Set before its agent starts."""

    url: str = ""
    session_id: str = ""
    token: str = ""
    patience_s: float = 60.0
