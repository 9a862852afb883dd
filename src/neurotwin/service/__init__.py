"""The clinic's door: bundles over HTTP. Needs the extra ``serve``; never torch.

settings    what a service is told: bundles, address, limits
door        what requests share: models, store, audit log, and the threads that compute
app         the application: routes, middleware, error answers
running     sockets, workers, drain
"""

from typing import TYPE_CHECKING, Any

from neurotwin.service.settings import Limits, Settings

if TYPE_CHECKING:
    from neurotwin.service.app import create_app

__all__ = ["Limits", "Settings", "create_app"]


def __getattr__(name: str) -> Any:
    """FastAPI is imported when an application is made, not when settings are read."""
    if name == "create_app":
        from neurotwin.service.app import create_app

        return create_app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
