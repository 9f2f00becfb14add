"""Calls that get through a restart of the service: repeated until they are answered, and done once all the same."""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

import httpx

from env.client.errors import RefusedError, ServiceError

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
        waited = time.monotonic() - self._since
        if waited >= self._seconds:
            raise ServiceError(f"{self._url} could not be reached for {waited:.0f} s: {why}")
        if waited >= _SAY_AFTER_S and not self._said:
            self._said = True
            left = self._seconds - waited
            log.warning("%s has not answered for %.0f s (%s); trying for another %.0f s", self._url, waited, why, left)
        time.sleep(_PAUSES_S[min(self._pauses, len(_PAUSES_S) - 1)])
        self._pauses += 1


class Transport:
    """HTTP with one bearer secret. Several threads may use it at once."""

    def __init__(self, url: str, bearer: str | None, patience_s: float) -> None:
        """`patience_s`: how long a call is repeated while the service cannot be reached. A proxy that the environment
        names is used, but not for this host itself. Raises ServiceError.
        """
        headers = {} if bearer is None else {"Authorization": f"Bearer {bearer}"}
        try:
            through_proxies = not _on_this_host(url)
            self._http = httpx.Client(base_url=url, headers=headers, timeout=MAX_SILENCE_S, trust_env=through_proxies)
        except (ImportError, ValueError, httpx.InvalidURL) as error:
            raise ServiceError(f"{url!r} cannot be reached by the proxies in the environment: {error}") from error
        self._url = url
        self._patience_s = patience_s

    def get(self, path: str, **params: Any) -> Any:
        """The answer's JSON. Parameters that are None are left out. Raises RefusedError, ServiceError."""
        return self._ask("GET", path, params={name: value for name, value in params.items() if value is not None})

    def post(self, path: str, body: Mapping[str, Any], key: str | None = None) -> Any:
        """The answer's JSON. `key`: the call is the same as others under it. Raises RefusedError, ServiceError."""
        # One key for all attempts: the service does once what it is asked several times.
        headers = {"Content-Type": "application/json", "Idempotency-Key": key or uuid.uuid4().hex}
        # Escaped to ASCII: what cannot be UTF-8 is for the service to refuse.
        return self._ask("POST", path, content=json.dumps(body), headers=headers)

    @contextmanager
    def lines(self, path: str) -> Iterator[Iterator[str]]:
        """An answer that comes line by line. Asked for once: httpx.TransportError is raised when it breaks off."""
        with self._http.stream("GET", path) as answer:
            if answer.status_code in _PASSING:
                raise httpx.RemoteProtocolError(f"status {answer.status_code}")
            if not answer.is_success:
                answer.read()
                self._accepted(answer)
            yield answer.iter_lines()

    def retries(self) -> Retries:
        return Retries(self._url, self._patience_s)

    def close(self) -> None:
        self._http.close()

    def _ask(self, method: str, path: str, **options: Any) -> Any:
        retries = self.retries()
        while True:
            try:
                answer = self._http.request(method, path, **options)
                if answer.status_code not in _PASSING:
                    return self._accepted(answer)
                why: object = f"status {answer.status_code}"
            except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
                raise ServiceError(f"{self._url!r} is not the URL of a service: {error}") from error
            except httpx.TransportError as error:
                why = error or type(error).__name__
            except RefusedError as refused:
                if refused.code == _UNDER_WAY:
                    retries.answered()
                elif refused.code not in _LATER:
                    raise
                why = refused
            retries.pause(why)

    def _accepted(self, answer: httpx.Response) -> Any:
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
