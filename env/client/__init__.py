"""A Python client of the HTTP API: `from env.client import Client`."""

from env.api.boards import Leaderboard, Row
from env.api.results import ResultView
from env.api.sessions import AttemptStarted, Point, TestView
from env.api.tools import TestTicket
from env.client.client import Client
from env.client.errors import RefusedError, ServiceError
from env.client.session import ClientSession, Event

__all__ = [
    "AttemptStarted",
    "Client",
    "ClientSession",
    "Event",
    "Leaderboard",
    "Point",
    "RefusedError",
    "ResultView",
    "Row",
    "ServiceError",
    "TestTicket",
    "TestView",
]
