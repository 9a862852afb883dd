"""The schema: every migration, and what is done about a database that is empty, older, newer or another's."""

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from store_cases import PLAN, visit

from neurotwin.errors import StoreError
from neurotwin.store import Store, schema
from neurotwin.store.database import Database
from neurotwin.store.tables import metadata

SCRIPT = ScriptDirectory(str(schema.FOLDER))


def differences(database):
    options = {"version_table": schema.VERSION_TABLE, "compare_type": True, "compare_server_default": True}
    with database.reading() as connection:
        return compare_metadata(MigrationContext.configure(connection, opts=options), metadata)


@pytest.fixture
def database(address):
    opened = Database(address)
    yield opened
    opened.close()


def test_every_migration_up_and_the_tables_agree(database):
    revisions = [one.revision for one in reversed(list(SCRIPT.walk_revisions()))]
    assert len(revisions) > 1
    for revision in revisions:
        assert differences(database)
        with database.writing() as connection:
            schema.upgrade(connection, revision)
        with database.reading() as connection:
            assert schema.current_revision(connection) == revision
    assert differences(database) == []


def test_the_comparison_would_notice_a_column(store):
    with store._database.writing() as connection:
        connection.execute(sa.text("ALTER TABLE plans ADD COLUMN extra INTEGER"))
    assert len(differences(store._database)) == 1


def test_what_only_databases_know_is_the_same_as_the_tables(store, address, tmp_path):
    """Foreign keys' deletes, checked against tables that were made without migrations."""
    plain = Database(tmp_path / "plain.db")
    with plain.writing() as connection:
        metadata.create_all(connection)
    for table in metadata.tables:
        found = []
        for database in (plain, store._database):
            with database.reading() as connection:
                keys = sa.inspect(connection).get_foreign_keys(table)
            found.append(
                sorted((key["constrained_columns"], key["referred_table"], key["options"]["ondelete"]) for key in keys)
            )
        assert found[0] == found[1], table
    plain.close()


def test_an_older_schema_is_upgraded_only_when_told_to(address, database, predictor):
    with database.writing() as connection:
        schema.upgrade(connection, "1")
        connection.execute(
            sa.text("INSERT INTO models (sha256, name, version, first_used) VALUES ('x', 'old', '0.0.1', '2026-01-01')")
        )
    with pytest.raises(StoreError, match="older schema 1.*backup.*migrate=True"):
        Store.open(address)
    with database.reading() as connection:
        assert schema.current_revision(connection) == "1"
    with Store.open(address, migrate=True) as store:
        assert differences(database) == []
        twin = store.observe("p-1", visit(0), predictor).twin
        store.save_forecast("p-1", predictor, PLAN, twin.forecast(PLAN))
        with database.writing() as connection:  # what stood there before is there still
            assert connection.execute(sa.text("SELECT name FROM models ORDER BY id")).scalars().all()[0] == "old"
    Store.open(address).close()


def test_a_newer_schema_is_refused(address, store):
    with store._database.writing() as connection:
        connection.execute(sa.text(f"UPDATE {schema.VERSION_TABLE} SET version_num = '999'"))
    for migrate in (False, True):
        with pytest.raises(StoreError, match="newer neurotwin.*upgrade neurotwin"):
            Store.open(address, migrate=migrate)


def test_tables_of_another_program_are_left_alone(address, database):
    with database.writing() as connection:
        connection.execute(sa.text("CREATE TABLE patients (name TEXT)"))
    with pytest.raises(StoreError, match=r"another program \(patients\)"):
        Store.open(address, migrate=True)


def test_other_programs_may_live_beside_it(address, database):
    with database.writing() as connection:
        connection.execute(sa.text("CREATE TABLE alembic_version (version_num TEXT)"))
        connection.execute(sa.text("INSERT INTO alembic_version VALUES ('theirs')"))
    with Store.open(address) as store:
        assert store.models() == []
