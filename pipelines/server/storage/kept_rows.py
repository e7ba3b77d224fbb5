"""Triggers in the database: rows of MLflow that an adapter version is based on are deleted by no program.

`mlflow gc` and `mlflow runs delete` open the database themselves, past the guard. The database then refuses them, like
every other program. A version that was deleted, or whose time in the trash is over, is based on nothing any more. The
owner of the tables can drop a trigger: on SQLite that is everyone who can write the file.
"""

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

SENTENCE = "an adapter version is based on it; the guarded server deletes it: elp gc"
# a driver may read a single % as a placeholder; two of them match the same
_BASED = """EXISTS (SELECT 1 FROM model_versions v WHERE {column} AND v.name LIKE 'elp.%%'
        AND v.current_stage <> 'Deleted_Internal')
    OR EXISTS (SELECT 1 FROM elp_trash t WHERE t.state = 'trashed' AND t.row LIKE '%%"' || OLD.{key} || '"%%')"""
_TABLES = {
    "runs": ("run_uuid", "v.run_id = OLD.run_uuid"),
    "logged_models": ("model_id", "v.source = 'models:/' || OLD.model_id"),
}


def guard_rows(engine: Engine) -> None:
    """Create the triggers that are missing. Every server process calls this when it starts."""
    wanted = [(f"elp_keep_{table}_{event}", table, event) for table in _TABLES for event in ("delete", "update")]
    on_sqlite = engine.dialect.name == "sqlite"
    known = "sqlite_master WHERE type = 'trigger' AND name" if on_sqlite else "pg_trigger WHERE tgname"
    for name, table, event in wanted:
        try:
            with engine.begin() as connection:
                if connection.execute(text(f"SELECT 1 FROM {known} = :name"), {"name": name}).first() is None:
                    _create(connection, name, table, event)
        except SQLAlchemyError:
            # another process may have created it at this moment
            with engine.connect() as connection:
                if connection.execute(text(f"SELECT 1 FROM {known} = :name"), {"name": name}).first() is None:
                    raise


def _create(connection: Connection, name: str, table: str, event: str) -> None:
    key, column = _TABLES[table]
    based = _BASED.format(column=column, key=key)
    when = "DELETE" if event == "delete" else "UPDATE OF lifecycle_stage"
    # MLflow marks a row as deleted first, and its gc deletes what is marked
    marked = "" if event == "delete" else "NEW.lifecycle_stage = 'deleted' AND "
    if connection.dialect.name == "sqlite":
        body = f"WHEN {marked}({based}) BEGIN SELECT RAISE(ABORT, '{SENTENCE}'); END"
        connection.exec_driver_sql(f"CREATE TRIGGER {name} BEFORE {when} ON {table} {body}")
        return
    result = "OLD" if event == "delete" else "NEW"
    connection.exec_driver_sql(
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF {marked}({based}) THEN "
        f"RAISE EXCEPTION '{SENTENCE}'; END IF; RETURN {result}; END $$"
    )
    connection.exec_driver_sql(f"CREATE TRIGGER {name} BEFORE {when} ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()")
