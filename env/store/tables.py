"""Tables of sessions and tests, as their statements see them; `migrations/` builds them."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    text,
)

from leaderboard.column_types import CompactJson, TimeText

metadata = MetaData()

task_versions = Table(
    "task_versions",
    metadata,
    Column("version", String(64), primary_key=True),
    Column("task_id", String(64), nullable=False),
    # The whole task as it was when the first session opened it: later changes to the folder do not reach it.
    Column("definition", Text, nullable=False),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("task_version", ForeignKey("task_versions.version"), nullable=False),
    Column("agent", String(200), nullable=False),
    Column("scale", String(64)),
    Column("metadata", CompactJson, nullable=False),
    Column("token_sha256", String(64), nullable=False),
    Column("created_at", TimeText, nullable=False),
    Column("submitted_test", Integer),
    Column("submitted_at", TimeText),
    # Instead of the scale's own.
    Column("seed", BigInteger),
    # By the service, and why; null while it is open and when its agent submitted.
    Column("closed_at", TimeText),
    Column("closed_reason", Text),
    # Run key of the test that it runs again at another seed; null for an agent's own session.
    Column("confirms", String(64)),
    Index("sessions_by_confirmed", "confirms"),
)

steps = Table(
    "steps",
    metadata,
    Column("session_id", ForeignKey("sessions.id"), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("tool", String(32), nullable=False),
    Column("input", CompactJson, nullable=False),
    Column("ok", Boolean, nullable=False),
    Column("code", String(64)),
    Column("observation", Text, nullable=False),
    Column("at", TimeText, nullable=False),
    Column("test", Integer),
    # What the files' editable segments hold after an edit; an undo says how many of these it took back instead.
    Column("editables", CompactJson),
    Column("undone", Integer, nullable=False),
)

tests = Table(
    "tests",
    metadata,
    Column("session_id", ForeignKey("sessions.id"), primary_key=True),
    # Below 0 for a probe: see `key_of_probe`.
    Column("n", Integer, primary_key=True, autoincrement=False),
    Column("status", String(32), nullable=False),
    Column("files", CompactJson, nullable=False),
    Column("created_at", TimeText, nullable=False),
    Column("started_at", TimeText),
    Column("ended_at", TimeText),
    Column("cancel_requested", Boolean, nullable=False),
    Column("refunded", Boolean, nullable=False),
    Column("observation", Text),
    # Ids of those it holds while it runs; kept, as part of the record.
    Column("devices", CompactJson, nullable=False),
    # Among those of all sessions, in the order they were bought: clocks may be set back.
    Column("number", Integer),
    # What it was started with; null before, and where it was not recorded.
    Column("runner", String(64)),
    Column("data", CompactJson),
    # Seconds of all its GPUs together, once it is over; null in older rows, where it has none, and of other tests.
    Column("gpu_s", Float(53)),
    Index("tests_by_status", "status", "created_at"),
    Index("tests_by_number", "number"),
    Index("probes", "session_id", sqlite_where=text("n < 0"), postgresql_where=text("n < 0")),
)

runs = Table(
    "runs",
    metadata,
    Column("run_id", String(100), primary_key=True),
    Column("session_id", String(32), nullable=False),
    Column("n", Integer, nullable=False),
    Column("position", Integer, nullable=False),
    Column("label", String(64), nullable=False),
    Column("script", String(200), nullable=False),
    Column("status", String(32), nullable=False),
    Column("started_at", Float),
    Column("ended_at", Float),
    Column("reason", Text, nullable=False),
    Column("output", Text, nullable=False),
    Column("series", CompactJson, nullable=False),
    Column("metrics", CompactJson, nullable=False),
    Column("note", Text, nullable=False),
    # What the evaluator counted and audited.
    Column("evaluation", CompactJson),
    Column("cpu_s", Float),
    Column("paused_s", Float),
    # Why there was none; empty where there was one, null where none was needed.
    Column("no_exam", Text),
    ForeignKeyConstraint(["session_id", "n"], ["tests.session_id", "tests.n"]),
    Index("runs_by_test", "session_id", "n", "position"),
)

served = Table(
    "served",
    metadata,
    # One row.
    Column("id", Integer, primary_key=True),
    # For which the service was there to be called, since the database began.
    Column("seconds", Double),
)

silences = Table(
    "silences",
    metadata,
    Column("session_id", ForeignKey("sessions.id"), primary_key=True),
    # How many it had when it was first seen like this.
    Column("steps", Integer, nullable=False),
    Column("tests", Integer, nullable=False),
    # By the seconds served.
    Column("since", Double, nullable=False),
)

answers = Table(
    "answers",
    metadata,
    # A session's id, or the creating caller for calls that open one.
    Column("scope", String(100), primary_key=True),
    Column("key", String(200), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("body", Text, nullable=False),
)
