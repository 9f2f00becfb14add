"""Tasks, tools and leaderboards: open to everyone who reaches the service."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from env.arguments import schemas
from env.house import House
from env.http import schema
from env.http.responses import json_response
from env.refusal import Kind, Refusal
from env.service.shapes import task_brief, task_whole, unknown_task
from leaderboard import store as leaderboard
from leaderboard.export import to_csv
from leaderboard.table import MAX_LIMIT, MAX_OFFSET, QueryError, Table
from leaderboard.table import Query as BoardQuery

PAGE = 100
_REFUSALS: dict[int | str, dict[str, Any]] = {404: {"model": schema.Refused}, 422: {"model": schema.Refused}}


def catalogue_router(house: House) -> APIRouter:
    router = APIRouter(prefix="/v1", responses=_REFUSALS, tags=["catalogue"])

    @router.get("/tasks")
    async def list_tasks() -> Response:
        """The tasks there are."""
        return json_response({"tasks": [task_brief(task) for task in house.tasks.values()]})

    @router.get("/tasks/{task_id}")
    async def read_task(task_id: str) -> Response:
        """A task with its file, ranges, scales and budget."""
        task = house.tasks.get(task_id)
        if task is None:
            raise unknown_task(task_id, house.tasks)
        return json_response(task_whole(task))

    @router.get("/tools")
    async def list_tools() -> Response:
        """The tools, in OpenAI function-calling form."""
        return json_response({"tools": schemas()})

    @router.get("/leaderboards")
    async def list_leaderboards() -> Response:
        """The tasks that have results."""
        with house.engine.begin() as conn:
            boards = leaderboard.boards(conn)
        return json_response({"leaderboards": [board.to_dict() for board in boards]})

    @router.get("/leaderboards/{task_id}.csv")
    async def read_leaderboard_csv(task_id: str, query: Annotated[BoardQuery, Depends(_query)]) -> Response:
        """The same rows as CSV."""
        return Response(to_csv(_table(house, task_id, query)), media_type="text/csv; charset=utf-8")

    @router.get("/leaderboards/{task_id}")
    async def read_leaderboard(task_id: str, query: Annotated[BoardQuery, Depends(_query)]) -> Response:
        """A task's results, best first; submitted ones only unless `final=false`."""
        return json_response(_table(house, task_id, replace(query, limit=query.limit or PAGE)).to_dict())

    return router


def _query(
    scale: str | None = None,
    status: str | None = None,
    agent: str | None = None,
    final: bool = True,
    sort: Annotated[str | None, Query(description="A column; `-` in front sorts descending.")] = None,
    limit: Annotated[int | None, Query(ge=1, le=MAX_LIMIT, description="100 by default; all rows as CSV.")] = None,
    offset: Annotated[int, Query(ge=0, le=MAX_OFFSET)] = 0,
) -> BoardQuery:
    return BoardQuery(scale, status, agent, final, sort, limit, offset)


def _table(house: House, task_id: str, query: BoardQuery) -> Table:
    with house.engine.begin() as conn:
        try:
            table = leaderboard.rows(conn, task_id, query)
        except QueryError as error:
            raise Refusal(Kind.INVALID, "bad_query", f"{error}.") from error
    if not table.columns or (not table.total and task_id not in house.tasks):
        raise unknown_task(task_id, house.tasks)
    return table
