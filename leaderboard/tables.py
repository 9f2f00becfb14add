"""The leaderboard's tables, as its statements see them. `migrations/` builds them; a test holds the two together."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

from leaderboard.column_types import JsonText, UtcDateTime

metadata = MetaData()

boards = Table(
    "boards",
    metadata,
    Column("id", String, primary_key=True),
    Column("task_id", String, nullable=False),
    Column("task_version", String, nullable=False),
    Column("scale", String, nullable=False),
    # Null where it was not recorded which, and of invented results.
    Column("data", String),
    Column("runner_class", String, nullable=False),
    Index("boards_by_task", "task_id"),
)
"""Every board that has results; `id` follows from all the rest (see `board.BoardKey`)."""

results = Table(
    "results",
    metadata,
    Column("run_key", String, primary_key=True),
    Column("task_id", String, nullable=False),
    Column("agent", String, nullable=False),
    Column("session_id", String, nullable=False),
    Column("test", Integer, nullable=False),
    Column("status", String, nullable=False),
    Column("scale", String, nullable=False),
    Column("seed", BigInteger),
    Column("finished_at", UtcDateTime, nullable=False),
    Column("task_version", String, nullable=False),
    Column("code_sha256", String, nullable=False),
    Column("template_unmodified", Boolean, nullable=False),
    Column("parameters", BigInteger),
    # The first one recorded before it with the same code on the same board.
    Column("duplicate_of", String),
    Column("compute", Double),
    Column("certified", Double),
    Column("certified_error", Double),
    Column("unmet", String),
    # Run key of the result whose code it ran again at another seed, by an operator's wish.
    Column("confirms", String),
    # Where its numbers come from: see `board.Origin`.
    Column("runner", String),
    Column("image", String),
    Column("training_data", String),
    Column("heldout_data", String),
    Column("reserve_data", String),
    # What it may be compared with.
    Column("board", String, nullable=False),
    Index("results_by_board", "board", "status"),
    Index("results_by_agent", "board", "agent"),
    Index("results_by_code", "code_sha256", "board"),
    Index("results_by_session", "board", "session_id"),
    Index("results_by_time", "board", "finished_at"),
    Index("results_of_session", "session_id"),
    Index("results_unedited", "board", "template_unmodified"),
    Index("results_that_confirm", "confirms", "board"),
)
"""One row per finished test. Rows are added, never changed."""

result_texts = Table(
    "result_texts",
    metadata,
    Column("run_key", String, ForeignKey("results.run_key"), primary_key=True),
    Column("record", JsonText, nullable=False),
    Column("code", JsonText, nullable=False),
)
"""What is long of a result, apart: tables are listed, filtered and sorted without a look at it."""

result_values = Table(
    "result_values",
    metadata,
    Column("run_key", String, ForeignKey("results.run_key"), primary_key=True),
    Column("kind", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("value", Double),
    Index("result_values_by_value", "kind", "name", "value"),
    sqlite_with_rowid=False,
)
"""A result's metrics and elapsed times, one number per row, so that the database itself can sort by any of them.

`kind` is `metric`, `elapsed` or `score`; a null value was not finite; `position` keeps the order they were recorded in.
"""

board_columns = Table(
    "board_columns",
    metadata,
    Column("board", String, primary_key=True),
    Column("kind", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("position", Integer, nullable=False),
)
"""Which names occur in `result_values` on each board: the columns of its table without a look at every row."""

anchors = Table(
    "anchors",
    metadata,
    Column("task_version", String, primary_key=True),
    Column("scale", String, primary_key=True),
    # The `data_key` of what the results were trained and measured on; empty for anchors that never named it.
    Column("data", String, primary_key=True),
    Column("definition", Text, nullable=False),
)
"""What results of a task version at a scale and on one data are scored against, as JSON; the values of kind `score`
follow from it."""

submissions = Table(
    "submissions",
    metadata,
    Column("session_id", String, primary_key=True),
    Column("run_key", String, ForeignKey("results.run_key"), nullable=False, unique=True),
    Column("submitted_at", UtcDateTime, nullable=False),
    Column("auto_submitted", Boolean, nullable=False),
)
"""The one result a session chose as final."""
