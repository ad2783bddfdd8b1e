"""Settings → the app: the store served, the jobs run for as long as it is served."""

import functools
import importlib.metadata
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.to_thread
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from dataservice.collect.leases import Clock, lease_folder
from dataservice.collect.marks import Rules
from dataservice.collect.sweep import collect
from dataservice.jobs.request import merge_settings
from dataservice.jobs.runner import JobRunner
from dataservice.settings import ServiceSettings
from dataservice.web import gc_routes, job_routes, lease_routes, routes
from dataservice.web.catalog import Catalog
from dataservice.web.errors import add_error_handlers
from dataservice.web.files import StoreFiles

_LEASE_THREADS: Final = 4


class _Service(FastAPI):
    """An app whose files are answered ahead of all else, error handling included.

    What the framework puts around a route costs a tenth of the time of a small answer.
    """

    def __init__(self, folder: Path, **options: Any) -> None:
        super().__init__(**options)
        self._files = StoreFiles(super().__call__, folder)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._files(scope, receive, send)


def create_app(
    settings: ServiceSettings, *, runner: JobRunner | None = None, clock: Clock = time.time
) -> FastAPI:
    """The app that serves `settings.store_dir` and builds into it; tests give runner and clock."""
    app = _Service(
        settings.store_dir,
        title="PrometheusGPT Mini data service",
        version=importlib.metadata.version("prometheusgpt-mini"),
        description="Versioned, verified data sets over HTTP, and the jobs that build them.",
        lifespan=_lifespan,
    )
    app.state.settings = settings
    app.state.catalog = Catalog(settings.store_dir)
    app.state.runner = runner or JobRunner(settings.data_dir / "jobs")
    app.state.leases = lease_folder(settings.data_dir, clock)
    app.state.lease_threads = anyio.CapacityLimiter(_LEASE_THREADS)
    app.state.collect_threads = anyio.CapacityLimiter(1)
    add_error_handlers(app)
    app.include_router(routes.router)
    app.include_router(job_routes.router)
    app.include_router(lease_routes.router)
    app.include_router(gc_routes.router)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings: ServiceSettings = app.state.settings
    catalog: Catalog = app.state.catalog
    runner: JobRunner = app.state.runner
    if settings.collect_after_build:
        runner.on_success = functools.partial(_collect, app)
    await runner.start()
    try:
        if settings.build_on_start and not catalog.names():
            await runner.submit(merge_settings(settings, {}), {})
        yield
    finally:
        await runner.stop()


async def _collect(app: FastAPI) -> None:
    """A collection by the service's own rules."""
    settings: ServiceSettings = app.state.settings
    rules = Rules(keep=settings.keep_versions, grace_s=settings.collect_grace_s)
    work = functools.partial(collect, settings.data_dir, rules, clock=app.state.leases.clock)
    try:
        await anyio.to_thread.run_sync(work, limiter=app.state.collect_threads)
    except Exception:  # the job before it has succeeded, whatever becomes of this
        logging.getLogger(__name__).exception("old versions were not collected")
