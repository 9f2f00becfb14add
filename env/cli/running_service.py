"""Commands that a running service has to carry out, because it has the database: they are asked over HTTP."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx

from env.cli.errors import fail
from env.service.access import Access
from env.service.settings import BadSecret, read_secret
from env.store.outage import NotOwner


def ask_service(state: Path, owner: NotOwner, path: str, body: object = None) -> Any:
    """Posts a call to the service that has the database, as its operator, and returns its answer's JSON.

    `state` is that service's folder, where its secret is. Ends the command where the call is turned down.
    """
    address = re.search(r"https?://[^\s,]+", str(owner))
    if address is None:
        fail(f"{owner}, and it does not say where it listens.", 1)
    url = re.sub(r"//(0\.0\.0\.0|\[::\])", "//127.0.0.1", address[0])
    try:
        bearer = Access(read_secret(state)).operator_token
        headers = {"Authorization": f"Bearer {bearer}", "Host": "localhost"}
        with httpx.Client(trust_env=False, timeout=30, headers=headers) as http:
            answer = http.post(f"{url}{path}", json=body)
    except (httpx.HTTPError, BadSecret, OSError) as error:
        fail(f"the service at {url} cannot be asked: {error}.", 1)
    if not answer.is_success:
        fail(str(answer.json().get("observation", answer.text)).removeprefix("ERROR: "), 1)
    return answer.json()
