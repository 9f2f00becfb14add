"""Brings a database's schema up to date; several packages may keep their own histories in one database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, func, select

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).parent / "migrations"
VERSION_TABLE = "alembic_version_leaderboard"

_LOCK_KEY = 0x52464E43  # any constant number: whoever migrates a PostgreSQL database holds this advisory lock


class NewerDatabase(Exception):
    """The database was migrated by a newer version of the code, which this one could only damage."""

    def __init__(self, version_table: str, found: tuple[str, ...], known: tuple[str, ...]) -> None:
        super().__init__(
            f"the database is newer than this version of the code: {version_table} says {', '.join(found)}, "
            f"known here are {', '.join(known)}; install the newer version or use another database"
        )
        self.version_table = version_table
        self.found = found
        self.known = known


def upgrade(connection: Connection, script_location: Path, version_table: str) -> None:
    """Run the Alembic revisions in `script_location/versions` that the database does not have yet.

    Takes a connection outside any transaction and runs, and commits, one of its own: all revisions or none. Whoever
    migrates the same database at the same time waits, then finds nothing left to do. Raises NewerDatabase.
    """
    # Imported here: Alembic takes longer to import than all the rest of the leaderboard.
    from alembic import command
    from alembic.runtime.migration import MigrationContext

    config = _config(script_location)
    config.attributes.update(connection=connection, version_table=version_table)
    known = revisions(script_location)
    with connection.begin():
        _lock(connection)
        found = MigrationContext.configure(connection, opts={"version_table": version_table}).get_current_heads()
        if not set(found) <= set(known):
            raise NewerDatabase(version_table, found, known)
        command.upgrade(config, "head")


def revisions(script_location: Path) -> tuple[str, ...]:
    """The revisions that this version of the code knows of the history in `script_location`, sorted."""
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory.from_config(_config(script_location))
    return tuple(sorted(script.revision for script in scripts.walk_revisions()))


def _config(script_location: Path) -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", _option(MIGRATIONS))  # one env.py serves every history
    config.set_main_option("version_locations", _option(script_location / "versions"))
    config.set_main_option("path_separator", "newline")
    return config


def _lock(connection: Connection) -> None:
    """Keep everyone else from migrating until the transaction ends."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK_KEY)))
        return
    # Python's driver begins no transaction by itself before a read or a CREATE. An engine that begins its own has
    # to begin it IMMEDIATE, as this does: with a plain one, two could read the old version and both go on.
    driver = connection.connection.driver_connection
    assert driver is not None
    if not driver.in_transaction:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _option(path: Path) -> str:
    return str(path).replace("%", "%%")  # the options are a ConfigParser's, which expands %
