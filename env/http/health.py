"""Liveness, readiness and figures for Prometheus."""

from __future__ import annotations

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from sqlalchemy import text
from starlette.responses import Response

from env.api.catalogue import Alive, Ready
from env.http.responses import answers_with, json_response
from env.service.service import Service


def health_router(service: Service) -> APIRouter:
    router = APIRouter(tags=["health"])

    @router.get("/healthz", response_model=Alive)
    async def healthz() -> Response:
        """The process answers."""
        return json_response({"ok": True})

    @router.get("/readyz", response_model=Ready, responses={503: {"model": Ready}})
    async def readyz() -> Response:
        """The database answers and tests are being taken."""
        with service.engine.begin() as conn:
            conn.execute(text("SELECT 1"))
        ready = service.lifecycle.alive
        body = {
            "ok": ready,
            "runner": service.runner.name,
            "slots": service.runner.slots,
            "tests": service.views.counts(),
        }
        return json_response(body, 200 if ready else 503)

    @router.get("/metrics", response_class=Response, responses=answers_with("text/plain"))
    async def metrics() -> Response:
        """Figures in Prometheus' text format."""
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    return router
