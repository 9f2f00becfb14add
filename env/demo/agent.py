"""An agent's side of the HTTP API, as little of it as the demo needs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx


class Agent:
    """One session on one task."""

    def __init__(self, url: str, task: str, name: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=90)
        opened = self._http.post("/v1/sessions", json={"task": task, "agent": name, "scale": "smoke"})
        self.session = opened.raise_for_status().json()
        self._http.headers["Authorization"] = f"Bearer {self.session['token']}"
        self._path = f"/v1/sessions/{self.session['session_id']}"

    def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """A tool call; refusals are answers as well."""
        answer: dict[str, Any] = self._http.post(f"{self._path}/{tool}", json=arguments).json()
        return answer

    def events(self, n: int) -> Iterator[tuple[str, dict[str, Any]]]:
        """Name and data of each event of a test, until its result."""
        with self._http.stream("GET", f"{self._path}/tests/{n}/events", timeout=None) as stream:
            name = ""
            for line in stream.iter_lines():
                field, _, value = line.partition(": ")
                if field == "event":
                    name = value
                elif field == "data":
                    yield name, json.loads(value)

    def progress(self, n: int) -> dict[str, Any]:
        seen: dict[str, Any] = self._http.get(f"{self._path}/tests/{n}").raise_for_status().json()
        return seen

    def leaderboard(self, task: str) -> dict[str, Any]:
        table: dict[str, Any] = self._http.get(f"/v1/leaderboards/{task}").raise_for_status().json()
        return table

    def close(self) -> None:
        self._http.close()
