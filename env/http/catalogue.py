"""Tasks, tools and leaderboards: open to everyone who reaches the service."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from env.api import catalogue as catalogue_schema
from env.api import results as result_schema
from env.api.arguments import schemas
from env.api.refusal import Kind, Refusal, Refused
from env.http.headers import bearer
from env.http.responses import answers_with, json_response
from env.service.anchors import NO_ANCHORS
from env.service.answers import task_brief, task_whole
from env.service.refusals import unknown_task
from env.service.service import Service
from leaderboard import reading as leaderboard
from leaderboard.export import to_csv
from leaderboard.table import MAX_LIMIT, MAX_OFFSET, QueryError, Table
from leaderboard.table import Query as BoardQuery

PAGE = 100
_REFUSALS: dict[int | str, dict[str, Any]] = {404: {"model": Refused}, 422: {"model": Refused}}


# PostgreSQL takes no NUL in a text.
_Text = Annotated[str | None, Query(pattern=r"^[^\x00]*$")]
_TaskId = Annotated[str, Path(pattern=r"^[^\x00]*$", description="A task's id, as in GET /v1/tasks.")]
_RunKey = Annotated[str, Path(pattern=r"^[^\x00]*$", description="As in the rows of GET /v1/leaderboards/{task_id}.")]


def catalogue_router(service: Service) -> APIRouter:
    router = APIRouter(prefix="/v1", responses=_REFUSALS, tags=["catalogue"])

    @router.get("/tasks", response_model=catalogue_schema.Tasks)
    async def list_tasks() -> Response:
        """The tasks there are."""
        return json_response(catalogue_schema.Tasks(tasks=tuple(map(task_brief, service.tasks.values()))))

    @router.get("/tasks/{task_id}", response_model=catalogue_schema.TaskWhole)
    async def read_task(task_id: _TaskId) -> Response:
        """A task with its file, ranges, scales and budget."""
        task = service.tasks.get(task_id)
        if task is None:
            raise unknown_task(task_id, service.tasks)
        return json_response(task_whole(task, service.anchors.get(task_id, NO_ANCHORS)))

    @router.get("/tools", response_model=catalogue_schema.Tools)
    async def list_tools() -> Response:
        """The tools, in OpenAI function-calling form."""
        return json_response(catalogue_schema.Tools(tools=schemas()))

    @router.get("/leaderboards", response_model=catalogue_schema.Boards)
    async def list_leaderboards() -> Response:
        """The tasks that have results."""
        with service.engine.begin() as conn:
            boards = leaderboard.boards(conn)
        return json_response({"leaderboards": [board.to_dict() for board in boards]})

    @router.get("/leaderboards/{task_id}.csv", response_class=Response, responses=answers_with("text/csv"))
    async def read_leaderboard_csv(task_id: _TaskId, query: Annotated[BoardQuery, Depends(_query)]) -> Response:
        """The same rows as CSV."""
        return Response(to_csv(_table(service, task_id, query)), media_type="text/csv")

    @router.get("/leaderboards/{task_id}", response_model=catalogue_schema.Leaderboard)
    async def read_leaderboard(task_id: _TaskId, query: Annotated[BoardQuery, Depends(_query)]) -> Response:
        """A task's results, best first; submitted ones only unless `final=false`."""
        return json_response(_table(service, task_id, replace(query, limit=query.limit or PAGE)).to_dict())

    @router.get("/results/{run_key}", response_model=result_schema.ResultView)
    async def read_result(run_key: _RunKey, request: Request) -> Response:
        """One row of a leaderboard, whole: metrics, labels, the integrity record, and the code."""
        return json_response(service.views.result(bearer(request), run_key))

    return router


def _query(
    scale: _Text = None,
    status: _Text = None,
    agent: _Text = None,
    final: bool = True,
    sort: Annotated[str | None, Query(description="A column; `-` in front sorts descending.")] = None,
    limit: Annotated[int | None, Query(ge=1, le=MAX_LIMIT, description="100 by default; all rows as CSV.")] = None,
    offset: Annotated[int, Query(ge=0, le=MAX_OFFSET)] = 0,
) -> BoardQuery:
    return BoardQuery(scale, status, agent, final, sort, limit, offset)


def _table(service: Service, task_id: str, query: BoardQuery) -> Table:
    with service.engine.begin() as conn:
        try:
            table = leaderboard.rows(conn, task_id, query)
        except QueryError as error:
            raise Refusal(Kind.INVALID, "bad_query", f"{error}.") from error
    if not table.columns or (not table.total and task_id not in service.tasks):
        raise unknown_task(task_id, service.tasks)
    return table
