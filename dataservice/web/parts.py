"""A request → the parts of the app that its handler needs; and pages that answer HEAD as well."""

from collections.abc import Callable
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, HTTPException, Request, Response

from dataservice.jobs.runner import JobRunner
from dataservice.settings import ServiceSettings
from dataservice.web.blobs import REVALIDATE
from dataservice.web.catalog import Catalog

Handler = TypeVar("Handler", bound=Callable[..., Any])


def _settings(request: Request) -> ServiceSettings:
    settings: ServiceSettings = request.app.state.settings
    return settings


def _catalog(request: Request) -> Catalog:
    catalog: Catalog = request.app.state.catalog
    return catalog


def _runner(request: Request) -> JobRunner:
    runner: JobRunner = request.app.state.runner
    return runner


def _root(request: Request) -> str:
    return f"{str(request.base_url).rstrip('/')}/datasets"


def revalidate(response: Response) -> None:
    """A page shows what is now: caches ask again."""
    response.headers["cache-control"] = REVALIDATE


def refuse_other_sites(request: Request) -> None:
    """A web page of another site must not change anything through a visitor's browser."""
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    same = origin is None or urlsplit(origin).netloc == request.headers.get("host")
    if site not in (None, "none", "same-origin") or (site is None and not same):
        raise HTTPException(
            403,
            f"a {request.method} from the web page {origin!r} is refused, since it is not of this "
            "service; use curl or another program, or a page of this service",
        )


SettingsPart = Annotated[ServiceSettings, Depends(_settings)]
CatalogPart = Annotated[Catalog, Depends(_catalog)]
RunnerPart = Annotated[JobRunner, Depends(_runner)]
RootUrl = Annotated[str, Depends(_root)]


def readable(router: APIRouter, path: str, **options: Any) -> Callable[[Handler], Handler]:
    """Register a handler for GET and, out of the schema, for HEAD, which FastAPI leaves out."""

    def decorate(handler: Handler) -> Handler:
        router.add_api_route(path, handler, methods=["GET"], **options)
        hidden = {**options, "include_in_schema": False}
        router.add_api_route(path, handler, methods=["HEAD"], **hidden)
        return handler

    return decorate
