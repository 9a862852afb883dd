"""Where trials are kept: a SQLite file of one machine, or a PostgreSQL database of many."""

import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from neurotwin.errors import ConfigError, ResourceError
from neurotwin.extras import need

EXAMPLE = "sqlite:///FILE, or postgresql://USER@HOST/DATABASE"
PATIENCE = 60.0
"""Seconds that a call waits for a database that does not answer, or for another driver's write."""
Found = TypeVar("Found")
_LOCK = zlib.crc32(b"neurotwin sweep")


def without_password(url: str) -> str:
    """The address as it may be shown and kept."""
    parsed = _address(url)
    return str(parsed.set(password=None).render_as_string())


def open_storage(url: str, heartbeat: int, most_retries: int) -> Any:
    """Optuna's storage at an address.

    Args:
        url: `EXAMPLE`.
        heartbeat: seconds between two signs of life of a running trial; after three it counts as lost.
        most_retries: how often a lost trial is put in again.

    Raises:
        ConfigError: not such an address.
        ResourceError: no database answers there, or the file cannot be opened.
    """
    address = _address(url)
    is_sqlite = address.get_backend_name() == "sqlite"
    sqlalchemy, optuna = need("sqlalchemy.exc", "sweep"), need("optuna", "sweep")
    if is_sqlite:
        Path(str(address.database)).parent.mkdir(parents=True, exist_ok=True)
    try:
        # The lock, for two drivers that begin at once would both make the tables.
        with asking_lock(url, patience=0.0), warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.storages.RDBStorage(
                address.render_as_string(hide_password=False),
                engine_kwargs=_connecting(address),
                heartbeat_interval=heartbeat,
                grace_period=3 * heartbeat,
                heartbeat_stale_trial_callback=optuna.storages.RetryHeartbeatStaleTrialCallback(most_retries),
            )
    except (sqlalchemy.SQLAlchemyError, optuna.exceptions.StorageInternalError, RuntimeError) as error:
        cause = getattr(error, "orig", None) or error
        raise ResourceError(
            f"the storage cannot be opened ({type(cause).__name__})", where="--storage", expected=EXAMPLE
        ) from None


@contextmanager
def asking_lock(url: str, *, patience: float = PATIENCE) -> Iterator[None]:
    """Held by one driver of a storage at a time; a driver that dies lets go of it."""
    address = _address(url)
    if address.get_backend_name() == "sqlite":
        with need("filelock", "simulate").FileLock(f"{address.database}.lock"):
            yield
        return
    sqlalchemy = need("sqlalchemy", "sweep")
    engine = sqlalchemy.create_engine(address, poolclass=sqlalchemy.NullPool, **_connecting(address))
    with patiently(engine.connect, patience) as connection:
        connection.execute(sqlalchemy.text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})
        yield  # the connection ends with the block, and the lock with the connection


def patiently(call: Callable[[], Found], patience: float = PATIENCE) -> Found:
    """Call until the database answers; raises ResourceError when it does not for so many seconds."""
    sqlalchemy, optuna = need("sqlalchemy.exc", "sweep"), need("optuna.exceptions", "sweep")
    end = time.monotonic() + patience
    while True:
        try:
            return call()
        except (sqlalchemy.DBAPIError, optuna.StorageInternalError) as error:
            if time.monotonic() > end:
                cause = getattr(error, "orig", None) or error.__cause__ or error
                raise ResourceError(
                    f"the storage does not answer ({type(cause).__name__})",
                    where="--storage",
                    remedy="when it does, go on with --resume",
                ) from None
            time.sleep(1.0)


def _connecting(address: Any) -> dict[str, Any]:
    """Arguments of the engine."""
    if address.get_backend_name() == "sqlite":
        return {"connect_args": {"timeout": PATIENCE}}
    need("psycopg", "store")
    # A server's own habits of writing times would be misread, and each driver's zone would move the signs of life.
    chosen = {"connect_timeout": 10, "options": "-c datestyle=ISO -c timezone=UTC"}
    given = {name: value for name, value in chosen.items() if name not in address.query}
    return {"pool_pre_ping": True, "connect_args": given}


def _address(url: str) -> Any:
    sqlalchemy = need("sqlalchemy", "sweep")
    try:
        address = sqlalchemy.make_url(url)
    except (sqlalchemy.exc.ArgumentError, ValueError):
        address = None
    known = address is not None and address.get_backend_name() in ("sqlite", "postgresql")
    if (
        address is None
        or not known
        or (address.get_backend_name() == "sqlite" and address.database in (None, "", ":memory:"))
    ):
        raise ConfigError("not an address of a storage", where="--storage", expected=EXAMPLE)
    if address.drivername == "postgresql":
        address = address.set(drivername="postgresql+psycopg")
    return address
