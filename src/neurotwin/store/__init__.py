"""Store: twins that outlive a process, in SQLite or PostgreSQL. Needs the extra ``store``."""

from neurotwin.extras import need

for _library in ("sqlalchemy", "alembic"):
    need(_library, "store")

from neurotwin.store.forecasts import Filter, PatientSummary, SavedForecast  # noqa: E402
from neurotwin.store.observing import Loaded, Observed  # noqa: E402
from neurotwin.store.records import Entry  # noqa: E402
from neurotwin.store.states import ModelVersion  # noqa: E402
from neurotwin.store.store import Store  # noqa: E402

__all__ = [
    "Entry",
    "Filter",
    "Loaded",
    "ModelVersion",
    "Observed",
    "PatientSummary",
    "SavedForecast",
    "Store",
]
