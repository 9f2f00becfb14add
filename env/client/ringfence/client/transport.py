"""Calls that get through a restart of the service: repeated until they are answered, and done once all the same."""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self, TypeVar

import httpx

from ringfence.client.errors import RefusedError, ServiceError

_PAUSES_S = (0.1, 0.2, 0.5, 1.0, 2.0)
MAX_SILENCE_S = 90.0
"""Above the 60 s that the service may hold an answer."""
_PASSING = (500, 502, 503, 504)
"""What a proxy answers for a service that is down, and a service that broke off: calls have keys, so that what was done
all the same is not done twice."""
_LATER = ("database_unavailable", "cannot_run_now", "too_many_calls")
"""Codes of refusals that say to repeat the call."""
_UNDER_WAY = "test_being_prepared"
"""The code of a refusal by a service that works at the call, and comes to an end with it."""
_SAY_AFTER_S = 3.0

Http = TypeVar("Http", httpx.Client, httpx.AsyncClient)

log = logging.getLogger("ringfence.client")


class Retries:
    """How often one call is made to a service that does not answer: after longer and longer pauses, up to a time."""

    def __init__(self, url: str, seconds: float) -> None:
        self._url = url
        self._seconds = seconds
        self._pauses = 0
        self._said = False
        self._since = time.monotonic()

    def answered(self) -> None:
        """The service is there: whatever fails from now on has all the time again."""
        self._pauses = 0
        self._since = time.monotonic()

    def pause(self, why: object) -> None:
        """Raises ServiceError when the time is over."""
        time.sleep(self.pause_s(why))

    def pause_s(self, why: object) -> float:
        """How long to wait before the next call. Raises ServiceError when the time is over."""
        waited = time.monotonic() - self._since
        if waited >= self._seconds:
            raise ServiceError(f"{self._url} could not be reached for {waited:.0f} s: {why}")
        if waited >= _SAY_AFTER_S and not self._said:
            self._said = True
            left = self._seconds - waited
            log.warning("%s has not answered for %.0f s (%s); trying for another %.0f s", self._url, waited, why, left)
        self._pauses += 1
        return _PAUSES_S[min(self._pauses, len(_PAUSES_S)) - 1]

    def reason(self, error: Exception) -> object:
        """Why the call is to be made again. Raises ServiceError or the error itself where that would not help."""
        if isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL):
            raise ServiceError(f"{self._url!r} is not the URL of a service: {error}") from error
        if isinstance(error, httpx.TransportError):
            return str(error) or type(error).__name__
        if isinstance(error, RefusedError) and error.code == _UNDER_WAY:
            self.answered()
        elif not isinstance(error, RefusedError) or error.code not in _LATER:
            raise error
        return error


class Transport:
    """HTTP with one bearer secret. Several threads may use it at once."""

    def __init__(self, url: str, bearer: str | None, patience_s: float) -> None:
        """`patience_s`: how long a call is repeated while the service cannot be reached. A proxy that the environment
        names is used, but not for this host itself. Raises ServiceError.
        """
        self._http = connected(httpx.Client, url, bearer)
        self._url = url
        self._patience_s = patience_s

    def get(self, path: str, **params: Any) -> Any:
        """The answer's JSON. Parameters that are None are left out. Raises RefusedError, ServiceError."""
        return self._ask("GET", path, params=given(params))

    def post(self, path: str, body: Mapping[str, Any], key: str | None = None) -> Any:
        """The answer's JSON. `key`: the call is the same as others under it. Raises RefusedError, ServiceError."""
        return self._ask("POST", path, **json_body(body, key))

    @contextmanager
    def lines(self, path: str) -> Iterator[Iterator[str]]:
        """An answer that comes line by line. Asked for once: httpx.TransportError is raised when it breaks off."""
        with self._http.stream("GET", path) as answer:
            if answer.status_code in _PASSING:
                raise httpx.RemoteProtocolError(f"status {answer.status_code}")
            if not answer.is_success:
                answer.read()
                accepted(answer)
            yield answer.iter_lines()

    def retries(self) -> Retries:
        return Retries(self._url, self._patience_s)

    def close(self) -> None:
        self._http.close()

    def _ask(self, method: str, path: str, **options: Any) -> Any:
        retries = self.retries()
        while True:
            try:
                return accepted(self._http.request(method, path, **options))
            except (httpx.HTTPError, httpx.InvalidURL, RefusedError) as error:
                retries.pause(retries.reason(error))


def connected(kind: type[Http], url: str, bearer: str | None) -> Http:
    """A client of httpx's, of either kind, for a service at `url`. Raises ServiceError."""
    headers = {} if bearer is None else {"Authorization": f"Bearer {bearer}"}
    try:
        through_proxies = not _on_this_host(url)
        # As many calls at once as there are sessions: the service says when it is too many.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
        return kind(base_url=url, headers=headers, timeout=MAX_SILENCE_S, trust_env=through_proxies, limits=limits)
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        raise ServiceError(f"{url!r} cannot be reached by the proxies in the environment: {error}") from error


def given(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value is not None}


def json_body(body: Mapping[str, Any], key: str | None) -> dict[str, Any]:
    """How httpx is to send it. One key for all attempts: the service does once what it is asked several times."""
    headers = {"Content-Type": "application/json", "Idempotency-Key": key or uuid.uuid4().hex}
    # Escaped to ASCII: what cannot be UTF-8 is for the service to refuse.
    return {"content": json.dumps(body), "headers": headers}


def accepted(answer: httpx.Response) -> Any:
    """The answer's JSON. Raises RefusedError, ServiceError, and httpx.TransportError where nothing was answered."""
    if answer.status_code in _PASSING:
        raise httpx.RemoteProtocolError(f"status {answer.status_code}")
    try:
        body = answer.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise ServiceError(f"{answer.url} gave no Ringfence answer: status {answer.status_code}")
    if answer.is_success:
        return body
    if not {"code", "observation"} <= body.keys():
        raise ServiceError(f"{answer.url} gave no Ringfence answer: status {answer.status_code}")
    raise RefusedError(body["code"], body["observation"], answer.status_code)


def _on_this_host(url: str) -> bool:
    host = httpx.URL(url).host
    return host == "localhost" or host.startswith("127.") or host == "::1"


class Connected:
    """Something that owns a transport. A context manager: leaving it gives the connection back."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def close(self) -> None:
        """Gives back the connection; what it was used for stays as it is."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
