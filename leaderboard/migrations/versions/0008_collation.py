"""Texts in PostgreSQL that compare as in SQLite, by their code points, whatever the database's own collation is."""

from alembic import op

revision = "0008"
down_revision = "0007"

_TABLES = ("results", "result_texts", "result_values", "result_columns", "anchors", "submissions")


def upgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return
    for table in _TABLES:
        columns = connection.exec_driver_sql(
            "SELECT column_name, character_maximum_length FROM information_schema.columns WHERE table_name = %s "
            "AND table_schema = current_schema() AND data_type IN ('text', 'character varying')",
            (table,),
        ).all()
        changes = ", ".join(
            f'ALTER COLUMN "{name}" TYPE {"text" if length is None else f"varchar({length})"} COLLATE "C"'
            for name, length in columns
        )
        op.execute(f"ALTER TABLE {table} {changes}")
