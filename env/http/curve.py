"""Loss curves of results: open to everyone who reaches the service, like the leaderboard's rows."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field
from starlette.responses import Response

from env.api.refusal import Refused
from env.http.responses import json_response
from env.service.service import Service

POINTS = 400
MAX_POINTS = 10_000
SOURCE = "self-reported, dev split"


class CurveView(BaseModel):
    """What a run said of itself while it trained: shown, never scored. The three arrays are of one length."""

    run_key: str
    source: str = Field(description=f"Always `{SOURCE}`.")
    stage: str = Field(description="Label of the training stage; empty when no losses were reported.")
    points: int = Field(description="How many points the run reported; the arrays may hold fewer.")
    step: list[int]
    train_loss: list[float | None] = Field(description="Nats per token; null where it was not finite.")
    val_loss: list[float | None] = Field(description="Nats per token; null where it was not finite.")


def curve_router(service: Service) -> APIRouter:
    router = APIRouter(prefix="/v1", responses={404: {"model": Refused}, 422: {"model": Refused}})

    @router.get("/results/{run_key}/curve", response_model=CurveView, tags=["catalogue"])
    async def read_curve(
        run_key: Annotated[str, Path(pattern=r"^[^\x00]*$", description="A result's key.")],
        points: Annotated[int, Query(ge=8, le=MAX_POINTS, description="About how many points to keep.")] = POINTS,
    ) -> Response:
        """A result's loss curve, thinned so that its extremes survive."""
        stage, curve = service.chronicle.curve(run_key)
        thin = curve.thinned(points)
        body = {"run_key": run_key, "source": SOURCE, "stage": stage, "points": len(curve.step)}
        return json_response(body | {"step": thin.step, "train_loss": thin.train_loss, "val_loss": thin.val_loss})

    return router
