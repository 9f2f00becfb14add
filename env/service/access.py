"""Who may do what: operators' keys open sessions and read everything, a session's token works in that session."""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import urlsafe_b64encode
from collections.abc import Sequence

from env.store.model import Session
from ringfence.api.refusal import Kind, Refusal

LOOPBACK = ("127.0.0.1", "::1", "localhost")
"""This host's own names. Without keys a service listens there only, and answers to no other name."""


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def bearer_of(authorization: str) -> str | None:
    """The secret in an `Authorization` header's value; None when it holds none."""
    scheme, _, value = authorization.partition(" ")
    return value.strip() if scheme.lower() == "bearer" else None


class Access:
    """Tells by a bearer secret whether its caller may open sessions, act in one, or read it."""

    def __init__(self, secret: bytes, keys: Sequence[str] = (), agent_keys: Sequence[str] = ()) -> None:
        """`keys` are operators'; `agent_keys` open sessions and can do nothing else."""
        self._secret = secret
        self._keys = frozenset(map(sha256, keys))
        self._agent_keys = frozenset(map(sha256, agent_keys))

    @property
    def open_to_all(self) -> bool:
        """No keys are configured: anyone who reaches the service may open a session."""
        return not self._keys and not self._agent_keys

    def token(self, session_id: str) -> str:
        """The session's bearer token. Derived, so that a repeated call can be given it again; stored only hashed."""
        digest = hmac.digest(self._secret, f"session:{session_id}".encode(), "sha256")
        return f"rf_{session_id}_" + urlsafe_b64encode(digest).rstrip(b"=").decode()

    @staticmethod
    def session_of(token: str | None) -> str:
        """Id of the session that a token claims to belong to, for transports in which a call names no session."""
        if not token:
            raise Refusal(
                Kind.UNAUTHENTICATED, "token_required", "Give the session's token, as open_session returned it."
            )
        claimed = re.match(r"rf_([a-z0-9]{1,32})_", token)
        if claimed is None:
            raise Refusal(
                Kind.UNAUTHENTICATED, "bad_token", "This is not a session's token. open_session returned one: rf_…"
            )
        return claimed[1]

    @property
    def operator_token(self) -> str:
        """For commands on the service's own host, where the secret can be read."""
        digest = hmac.digest(self._secret, b"operator", "sha256")
        return "rfo_" + urlsafe_b64encode(digest).rstrip(b"=").decode()

    def is_operator(self, bearer: str | None) -> bool:
        return bearer is not None and (
            sha256(bearer) in self._keys or hmac.compare_digest(sha256(bearer), sha256(self.operator_token))
        )

    def require_operator(self, bearer: str | None) -> None:
        self._require_some(bearer)
        if not self.is_operator(bearer):
            raise Refusal(Kind.FORBIDDEN, "operator_key_required", "Only an operator's key can do this.")

    def require_opener(self, bearer: str | None) -> None:
        may_open = self.is_operator(bearer) or (bearer is not None and sha256(bearer) in self._agent_keys)
        if not self.open_to_all and not may_open:
            raise Refusal(
                Kind.UNAUTHENTICATED,
                "operator_key_required",
                "Opening a session needs an operator key: send it as 'Authorization: Bearer <key>'.",
            )

    def require_agent(self, bearer: str | None, session: Session) -> None:
        """The session's own token, for calls that act in it."""
        self._require_some(bearer)
        assert bearer is not None
        if not hmac.compare_digest(sha256(bearer), session.token_sha256):
            raise Refusal(Kind.FORBIDDEN, "wrong_token", "This token does not belong to this session.")

    def require_reader(self, bearer: str | None, session: Session) -> None:
        """The session's token or an operator's key, for calls that read it or stop a test."""
        if not self.is_operator(bearer):
            self.require_agent(bearer, session)

    def may_read(self, bearer: str | None, session: Session) -> bool:
        """Whether `require_reader` lets them pass."""
        return bearer is not None and (
            self.is_operator(bearer) or hmac.compare_digest(sha256(bearer), session.token_sha256)
        )

    def _require_some(self, bearer: str | None) -> None:
        if not bearer:
            raise Refusal(
                Kind.UNAUTHENTICATED,
                "token_required",
                "Send the session's token as 'Authorization: Bearer <token>'. Opening the session returned it.",
            )
