"""Tasks, tools and leaderboards: open to everyone who reaches the service."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from env.http import reads
from env.http.headers import bearer
from env.http.responses import JSON, answers_with, download, json_response
from env.service.service import Service
from leaderboard.table import MAX_LIMIT, MAX_OFFSET, TableQuery
from ringfence.api.arguments import schemas
from ringfence.api.boards import Boards, Leaderboard, ProbePredictions, PublishedFigures
from ringfence.api.catalogue import TaskPrompt, Tasks, TaskWhole, Tools
from ringfence.api.refusal import Refused
from ringfence.api.results import CurveView, ResultView

PAGE = 100
"""Rows of a table whose query sets no limit."""
POINTS = 400
"""Points of a curve whose query names no number."""
MAX_POINTS = 10_000
_REFUSALS: dict[int | str, dict[str, Any]] = {404: {"model": Refused}, 422: {"model": Refused}}

# PostgreSQL takes no NUL in a text.
_Text = Annotated[str | None, Query(pattern=r"^[^\x00]*$")]
_TaskId = Annotated[str, Path(pattern=r"^[^\x00]*$", description="A task's id, as in GET /v1/tasks.")]
_RunKey = Annotated[str, Path(pattern=r"^[^\x00]*$", description="As in the rows of GET /v1/leaderboards/{task_id}.")]


def catalogue_router(service: Service) -> APIRouter:
    router = APIRouter(prefix="/v1", responses=_REFUSALS, tags=["catalogue"])

    @router.get("/tasks", response_model=Tasks)
    async def list_tasks() -> Response:
        """The tasks there are."""
        return json_response(service.catalogue.brief())

    @router.get("/tasks/{task_id}", response_model=TaskWhole)
    async def read_task(task_id: _TaskId) -> Response:
        """A task with its file, ranges, scales and budget."""
        return json_response(service.catalogue.whole(task_id))

    @router.get("/tasks/{task_id}/prompt", response_model=TaskPrompt)
    async def read_prompt(task_id: _TaskId, scale: _Text = None) -> Response:
        """What an agent is told whose session is opened on the task at a scale, or at the service's default."""
        return json_response(service.opening.prompt(task_id, scale))

    @router.get("/tasks/{task_id}/probes", response_model=ProbePredictions)
    async def read_predictions(task_id: _TaskId) -> Response:
        """How well probes predicted tests: how many pairs of codes had the same order in both."""
        return await download(service.reads, JSON, reads.predictions, task_id)

    @router.get("/tools", response_model=Tools)
    async def list_tools() -> Response:
        """The tools, in OpenAI function-calling form."""
        return json_response(Tools(tools=schemas()))

    @router.get("/leaderboards", response_model=Boards)
    async def list_leaderboards() -> Response:
        """The tasks that have results."""
        return await download(service.reads, JSON, reads.leaderboards)

    @router.get("/leaderboards/{task_id}.csv", response_class=Response, responses=answers_with("text/csv"))
    async def read_leaderboard_csv(task_id: _TaskId, query: Annotated[TableQuery, Depends(_query)]) -> Response:
        """The same rows as CSV."""
        return await download(service.reads, "text/csv", reads.leaderboard_csv, task_id, query)

    @router.get("/leaderboards/{task_id}", response_model=Leaderboard)
    async def read_leaderboard(task_id: _TaskId, query: Annotated[TableQuery, Depends(_query)]) -> Response:
        """The results on one board of a task, best first; submitted ones only unless `final=false`."""
        query = replace(query, limit=query.limit or PAGE)
        return await download(service.reads, JSON, reads.leaderboard, task_id, query)

    @router.get("/published", response_model=PublishedFigures)
    async def read_published() -> Response:
        """Figures that others have published for tasks of the same names; they are never ranked."""
        return json_response(service.boards.published())

    @router.get("/results/{run_key}", response_model=ResultView)
    async def read_result(run_key: _RunKey, request: Request) -> Response:
        """One row of a leaderboard, whole: metrics, labels, the integrity record, and the code."""
        return json_response(service.views.result(bearer(request), run_key))

    @router.get("/results/{run_key}/curve", response_model=CurveView)
    async def read_curve(
        run_key: Annotated[str, Path(pattern=r"^[^\x00]*$", description="A result's key.")],
        points: Annotated[int, Query(ge=8, le=MAX_POINTS, description="About how many points to keep.")] = POINTS,
    ) -> Response:
        """A result's loss curve, thinned so that its extremes survive."""
        return await download(service.reads, JSON, reads.curve, run_key, points)

    return router


def _query(
    board: Annotated[
        str | None,
        Query(
            pattern=r"^[^\x00]*$",
            description="The id of a board, as in GET /v1/leaderboards. By default that of this service's own results, "
            "or if it has none the latest from sandboxes.",
        ),
    ] = None,
    scale: _Text = None,
    status: _Text = None,
    agent: _Text = None,
    final: bool = True,
    sort: Annotated[str | None, Query(description="A column; `-` in front sorts descending.")] = None,
    limit: Annotated[int | None, Query(ge=1, le=MAX_LIMIT, description="100 by default; all rows as CSV.")] = None,
    offset: Annotated[int, Query(ge=0, le=MAX_OFFSET)] = 0,
) -> TableQuery:
    return TableQuery(
        board=board,
        scale=scale,
        status=status,
        agent=agent,
        final=final,
        sort=sort,
        limit=limit,
        offset=offset,
    )
