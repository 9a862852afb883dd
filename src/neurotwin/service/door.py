"""What all requests of a worker share: models, store, audit log, and the threads that compute answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from neurotwin.errors import ConfigError
from neurotwin.runtime import Predictor
from neurotwin.runtime.deadline import TimeLimit, time_limit
from neurotwin.service.audit import Audit
from neurotwin.service.faults import Busy, NotFound, NotOffered
from neurotwin.service.settings import Settings

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

    from neurotwin.store import Store

Result = TypeVar("Result")
MOST_SEARCHES = 8
"""In each worker. They wait for each other, and not among the short answers, whose places they would take."""


class Door:
    """Models never change after start. Safe to share between requests of one event loop.

    Attributes:
        models: predictors by the name in their manifest, golden cases answered.
        ready: whether requests are taken; False while the service drains.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.models = _load(settings.bundles)
        self.audit = Audit(settings.audit) if settings.audit else None
        self.store = _open(settings.store) if settings.store else None
        self.ready = True
        self.waiting = self.searches = self.streams = 0
        self._slots = asyncio.Semaphore(max(1, settings.limits.threads - 1))
        self._under_way: set[TimeLimit] = set()
        self._pool = ThreadPoolExecutor(settings.limits.threads, thread_name_prefix="answer")

    @classmethod
    def of(cls, connection: HTTPConnection) -> Door:
        """The door of a request's application."""
        found: Door = connection.app.state.door
        return found

    def model(self, name: str, version: str = "") -> Predictor:
        """A predictor by name. Raises NotFound."""
        predictor = self.models.get(name)
        if predictor is None or version not in ("", predictor.bundle.version):
            raise NotFound("no such model", where="path: model", expected=", ".join(self.models))
        return predictor

    def chosen(self, name: str | None) -> Predictor:
        """The model that a query names, or the only one. Raises NotFound."""
        if name is None and len(self.models) > 1:
            raise NotFound("no model is named", where="query: model", expected=", ".join(self.models))
        return self.model(next(iter(self.models)) if name is None else name)

    def need_store(self) -> Store:
        """The twin store. Raises NotOffered where the service was started without one."""
        if self.store is None:
            raise NotOffered("no twin store", where="service", remedy="start it with: neurotwin serve --store URL")
        return self.store

    async def compute(self, work: Callable[[], Result], *, seconds: float | None = None) -> Result:
        """Run ``work`` in a thread, under a deadline that graphs in it keep.

        Raises Busy when too many wait already, and DeadlineError when the time is up.
        """
        limits = self.settings.limits
        if not self.ready or self.waiting >= limits.waiting + limits.threads:
            raise Busy("too many requests at once", where="service", remedy="come again in a second")
        self.waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._pool, self._limited, work, seconds or limits.compute
            )
        finally:
            self.waiting -= 1

    async def search(self, work: Callable[[], Result]) -> Result:
        """`compute` for ``limits.search`` seconds. Where there are two threads or more, one is left to short answers.

        Raises Busy when `MOST_SEARCHES` are under way or wait.
        """
        if self.searches >= MOST_SEARCHES:
            raise Busy("too many searches at once", where="service", remedy="come again when one has ended")
        self.searches += 1
        try:
            async with self._slots:
                return await self.compute(work, seconds=self.settings.limits.search)
        finally:
            self.searches -= 1

    def drain(self, seconds: float) -> None:
        """Take nothing more; what is under way has so many seconds."""
        self.ready = False
        for limit in tuple(self._under_way):
            limit.shorten(seconds)

    def close(self) -> None:
        """End the threads and give the store back."""
        self.drain(0.0)
        self._pool.shutdown(wait=True, cancel_futures=True)
        if self.store is not None:
            self.store.close()

    def _limited(self, work: Callable[[], Result], seconds: float) -> Result:
        with time_limit(seconds) as limit:
            self._under_way.add(limit)
            try:
                return work()
            finally:
                self._under_way.discard(limit)


def _load(bundles: tuple[str, ...]) -> Mapping[str, Predictor]:
    models: dict[str, Predictor] = {}
    for folder in bundles:
        predictor = Predictor.load(folder)
        if predictor.bundle.name in models:
            raise ConfigError(
                f"two bundles are named {predictor.bundle.name}", where="serve", expected="one bundle for each name"
            )
        models[predictor.bundle.name] = predictor
    return models


def _open(url: str) -> Store:
    from neurotwin.store import Store

    return Store.open(url)
