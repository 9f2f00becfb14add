"""Liveness, readiness and figures for Prometheus."""

from __future__ import annotations

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from env.http.responses import answers_with, json_response
from env.service.service import Service
from ringfence.api.catalogue import Alive, Ready


def health_router(service: Service) -> APIRouter:
    router = APIRouter(tags=["health"])

    @router.get("/healthz", response_model=Alive)
    async def healthz() -> Response:
        """The process answers."""
        return json_response(Alive(ok=True))

    @router.get("/readyz", response_model=Ready, responses={503: {"model": Ready}})
    async def readyz() -> Response:
        """The database answers, tests are being taken and everything that goes on by itself does; if not, why."""
        ready = service.ready()
        return json_response(ready, 200 if ready.ok else 503)

    @router.get("/metrics", response_class=Response, responses=answers_with("text/plain"))
    async def metrics() -> Response:
        """Figures in Prometheus' text format."""
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    return router
