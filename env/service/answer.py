"""The answer to a tool call, as every transport gives it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from env.api.refusal import Kind


@dataclass(frozen=True)
class Answer:
    body: Mapping[str, Any]
    """JSON values: `ok`, `observation`, and what the tool adds."""
    kind: Kind | None = None
    """Why it was refused; None when it was not."""

    def to_json(self) -> str:
        return json.dumps({"kind": self.kind, "body": self.body}, separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> Answer:
        raw = json.loads(text)
        return Answer(raw["body"], raw["kind"] and Kind(raw["kind"]))
