"""A Python client of the HTTP API: `from env.client import Client`."""

from env.api.catalogue import Leaderboard, Row
from env.api.results import ResultView
from env.api.sessions import Point, TestTicket, TestView
from env.client.client import Client
from env.client.errors import RefusedError, ServiceError
from env.client.events import Event
from env.client.session import Session

__all__ = [
    "Client",
    "Event",
    "Leaderboard",
    "Point",
    "RefusedError",
    "ResultView",
    "Row",
    "ServiceError",
    "Session",
    "TestTicket",
    "TestView",
]
