"""The store's schema in a database: made where there is nothing, upgraded when told to, refused when newer."""

from pathlib import Path

from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, func, inspect, select

from neurotwin.errors import StoreError
from neurotwin.store.database import Database
from neurotwin.store.tables import metadata

FOLDER = Path(__file__).parent / "migrations"
VERSION_TABLE = "neurotwin_store"
"""Where the revision is told; its own, so that a database may serve other programs that use Alembic."""
LOCK = 0x6E74_7374
"""Of PostgreSQL: one process migrates at a time."""


def prepare(database: Database, *, migrate: bool = False) -> None:
    """Bring an empty database to the newest revision, and an older one when told to.

    Raises StoreError when it is newer than this package, older without ``migrate``, or another program's.
    """
    script = ScriptDirectory(str(FOLDER))
    newest, known = script.get_current_head(), {one.revision for one in script.walk_revisions()}
    with database.reading() as connection:
        if current_revision(connection) == newest:
            return
    with database.writing() as connection:
        if not database.is_sqlite:
            connection.execute(select(func.pg_advisory_xact_lock(LOCK)))
        found = current_revision(connection)
        if found is None:
            _check_free(connection, database.name)
        elif found not in known:
            raise StoreError(
                "the store was written by a newer neurotwin",
                where=database.name,
                expected=f"a schema up to revision {newest}",
                remedy="upgrade neurotwin",
            )
        elif found != newest and not migrate:
            raise StoreError(
                f"the store has the older schema {found}",
                where=database.name,
                expected=f"revision {newest}",
                remedy="make a backup, then open it with migrate=True",
            )
        upgrade(connection, "head")


def current_revision(connection: Connection) -> str | None:
    """Revision of the database, None where there is no store."""
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    return context.get_current_revision()


def upgrade(connection: Connection, revision: str) -> None:
    """Walk the migrations up to ``revision`` in the transaction of ``connection``."""
    script = ScriptDirectory(str(FOLDER))
    with EnvironmentContext(Config(), script, fn=lambda found, _: script._upgrade_revs(revision, found)) as environment:
        environment.configure(connection=connection, target_metadata=metadata, version_table=VERSION_TABLE)
        environment.run_migrations()


def _check_free(connection: Connection, name: str) -> None:
    taken = sorted(set(inspect(connection).get_table_names()) & set(metadata.tables))
    if taken:
        raise StoreError(
            f"tables of another program ({', '.join(taken)})", where=name, expected="a store, or a database of its own"
        )
