"""Settings → the app: the store served, the jobs run for as long as it is served."""

import importlib.metadata
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from dataservice.jobs.request import merge_settings
from dataservice.jobs.runner import JobRunner
from dataservice.settings import ServiceSettings
from dataservice.web import job_routes, routes
from dataservice.web.catalog import Catalog
from dataservice.web.errors import add_error_handlers


def create_app(settings: ServiceSettings, *, runner: JobRunner | None = None) -> FastAPI:
    """The app that serves `settings.store_dir` and builds into it; give a runner in tests."""
    app = FastAPI(
        title="PrometheusGPT Mini data service",
        version=importlib.metadata.version("prometheusgpt-mini"),
        description="Versioned, verified RU/EN data sets over HTTP, and the jobs that build them.",
        lifespan=_lifespan,
    )
    app.state.settings = settings
    app.state.catalog = Catalog(settings.store_dir)
    app.state.runner = runner or JobRunner(settings.data_dir / "jobs")
    add_error_handlers(app)
    app.include_router(routes.router)
    app.include_router(job_routes.router)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings: ServiceSettings = app.state.settings
    catalog: Catalog = app.state.catalog
    runner: JobRunner = app.state.runner
    await runner.start()
    try:
        if settings.build_on_start and not catalog.names():
            await runner.submit(merge_settings(settings, {}), {})
        yield
    finally:
        await runner.stop()
