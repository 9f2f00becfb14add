"""Python clients of the HTTP API: `from ringfence.client import Client`, or `AsyncClient`."""

from ringfence.api.boards import Leaderboard, Row
from ringfence.api.results import ResultView
from ringfence.api.sessions import AttemptStarted, Point, TestView
from ringfence.api.tools import TestTicket
from ringfence.client.aio import AsyncClient, AsyncClientSession
from ringfence.client.client import Client
from ringfence.client.errors import RefusedError, ServiceError
from ringfence.client.session import ClientSession, Event

__all__ = [
    "AsyncClient",
    "AsyncClientSession",
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
