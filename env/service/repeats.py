"""Idempotency-Key: the same call under the same key gets the first answer again and spends nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection

from env.service.access import sha256
from env.store.kept_answers import keep_answer, kept_answer
from ringfence.api.refusal import Kind, Refusal

MAX_KEY_CHARS = 200
KEPT = timedelta(days=1)
"""How long answers are kept after their session's end."""


@dataclass(frozen=True)
class Remembered:
    """An answer as it is kept under its key."""

    body: Mapping[str, Any]
    """JSON values: all that it takes to give the answer again. A tool's observation is read from its step."""
    kind: Kind | None = None
    """Why the call was refused; None when it was not."""

    def to_json(self) -> str:
        return json.dumps({"kind": self.kind, "body": self.body}, separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> Remembered:
        raw = json.loads(text)
        return Remembered(raw["body"], raw["kind"] and Kind(raw["kind"]))


class Repeats:
    """Keeps answers under their Idempotency-Keys, and finds them again."""

    def find(self, conn: Connection, scope: str, key: str | None, call: Mapping[str, Any]) -> Remembered | None:
        """The answer given before under this key, if any. Raises Refusal for a key that is none."""
        if key is not None and not 0 < len(key) <= MAX_KEY_CHARS:
            raise Refusal(
                Kind.INVALID, "bad_idempotency_key", f"An Idempotency-Key must have 1 to {MAX_KEY_CHARS} characters."
            )
        found = None if key is None else kept_answer(conn, scope, sha256(key))
        if found is None:
            return None
        if found["fingerprint"] != _fingerprint(call):
            raise Refusal(
                Kind.INVALID,
                "idempotency_key_reused",
                "This Idempotency-Key was used for another call before. Use a new key for a new call.",
            )
        return Remembered.from_json(found["body"])

    def remember(
        self, conn: Connection, scope: str, key: str | None, call: Mapping[str, Any], answer: Remembered
    ) -> None:
        if key is not None:
            keep_answer(conn, scope, sha256(key), _fingerprint(call), answer.to_json())


def _fingerprint(call: Mapping[str, Any]) -> str:
    return sha256(json.dumps(call, sort_keys=True))
