"""Texts compare by their code points, whatever a PostgreSQL database's own collation is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from env.store.engine import open_database

if TYPE_CHECKING:
    from tests.support.postgres import Postgres


def test_every_text_column_has_the_collation_of_sqlite(postgres: Postgres) -> None:
    url = postgres.create("LOCALE_PROVIDER icu ICU_LOCALE 'en-US' TEMPLATE template0")
    open_database(url).dispose()
    columns = postgres.execute(
        "SELECT table_name, column_name, collation_name FROM information_schema.columns "
        "WHERE table_schema = 'public' AND data_type IN ('text', 'character varying')",
        url=url,
    )
    assert len(columns) > 40
    assert [one for one in columns if one[2] != "C" and not one[0].startswith("alembic_")] == []
