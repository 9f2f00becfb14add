"""A Python client of the HTTP API: `from env.client import Client`."""

from env.client.client import Client
from env.client.errors import RefusedError, ServiceError
from env.client.events import Event
from env.client.session import Session
from env.http.catalogue_schema import Leaderboard, Row
from env.http.result_schema import ResultView
from env.http.schema import Point, TestTicket, TestView

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
