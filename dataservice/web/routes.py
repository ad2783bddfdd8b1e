"""URLs below /datasets → files of the store, and JSON pages about them; health beside them."""

import hashlib
from typing import Any, Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import FileResponse

from dataservice.jobs.runner import JobRunner
from dataservice.prepare.report.page import PAGE_POLICY
from dataservice.web.blobs import (
    blob_response,
    immutable_response,
    media_type,
    pointer_response,
)
from dataservice.web.catalog import Catalog
from dataservice.web.errors import error_response
from dataservice.web.pages import (
    DatasetPage,
    DatasetsPage,
    ErrorPage,
    HealthPage,
    HomePage,
    ReadyPage,
    VersionPage,
    VersionsPage,
)
from dataservice.web.parts import CatalogPart, RootUrl, RunnerPart, readable, revalidate
from shards.errors import NotFoundError
from shards.store import REPORT, STATISTICS, version_path

_JSON: Final = "application/json"
_MISSING: Final[dict[int | str, dict[str, Any]]] = {
    404: {"model": ErrorPage},
    410: {"model": ErrorPage, "description": "It was here and has been collected"},
}
_FILE: Final[dict[str, Any]] = {
    "tags": ["files"],
    "response_class": FileResponse,
    "responses": {
        **_MISSING,
        206: {"description": "The range asked for"},
        304: {"description": "The ETag in If-None-Match is the file's"},
        416: {"description": "The range begins behind the end"},
    },
}
_PAGE: Final[dict[str, Any]] = {"tags": ["pages"], "dependencies": [Depends(revalidate)]}

router = APIRouter()


@readable(router, "/datasets/blobs/{file}", **_FILE)
def blob(request: Request, catalog: CatalogPart, file: str) -> Response:
    """A shard or a tokenizer, named by its sha256."""
    try:
        return blob_response(request, catalog.folder, file)
    except NotFoundError as error:
        raise catalog.gone_blob(file) or error from None


@readable(router, "/datasets/{name}/latest.json", **_FILE)
def latest(request: Request, catalog: CatalogPart, name: str) -> Response:
    """The pointer to the latest version: the only file that changes."""
    return pointer_response(request, catalog.pointer(name))


@readable(router, "/datasets/{name}/versions/{version}/manifest.json", **_FILE)
def manifest(request: Request, catalog: CatalogPart, name: str, version: str) -> Response:
    """What a version consists of; its sha256 is the version."""
    catalog.require_version(name, version)
    path = catalog.folder / version_path(name, version)
    return immutable_response(request, path, version, _JSON, f"{path.name} was removed just now")


@readable(router, "/datasets/{name}/versions/{version}/dataset_stats.json", **_FILE)
def dataset_stats(request: Request, catalog: CatalogPart, name: str, version: str) -> Response:
    """What the build counted: the funnel, lengths, tags, use of the vocabulary."""
    return _for_people(request, catalog, name, version, STATISTICS)


@readable(router, "/datasets/{name}/versions/{version}/report.html", **_FILE)
def report(request: Request, catalog: CatalogPart, name: str, version: str) -> Response:
    """The same as a page to look at, with plots; it needs nothing but itself."""
    response = _for_people(request, catalog, name, version, REPORT)
    response.headers["content-security-policy"] = PAGE_POLICY
    response.headers["x-content-type-options"] = "nosniff"
    return response


def _for_people(request: Request, catalog: Catalog, name: str, version: str, file: str) -> Response:
    """A file beside a manifest, which the manifest does not name: its ETag is of its bytes."""
    catalog.require_version(name, version)
    path = catalog.folder / version_path(name, version, file)
    missing = (
        f"version {version} of {name!r} has no {file}; its manifest.json has the same under `stats`"
    )
    if not path.is_file():
        raise NotFoundError(missing)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return immutable_response(request, path, sha256, media_type(path.suffix), missing)


@readable(router, "/datasets", **_PAGE)
def datasets(catalog: CatalogPart, runner: RunnerPart, root: RootUrl) -> DatasetsPage:
    """The data sets that can be read."""
    entries = [catalog.dataset_entry(name, root) for name in catalog.names()]
    return DatasetsPage(datasets=entries, hint=None if entries else _why_empty(runner))


@readable(router, "/datasets/{name}", responses=_MISSING, **_PAGE)
def dataset(catalog: CatalogPart, root: RootUrl, name: str) -> DatasetPage:
    """One data set: its latest version and the ids of all."""
    return catalog.dataset_page(name, root)


@readable(router, "/datasets/{name}/versions", responses=_MISSING, **_PAGE)
def versions(catalog: CatalogPart, root: RootUrl, name: str) -> VersionsPage:
    """The versions of a data set, oldest first."""
    return VersionsPage(name=name, versions=catalog.version_entries(name, root))


@readable(router, "/datasets/{name}/versions/{version}", responses=_MISSING, **_PAGE)
def version_summary(catalog: CatalogPart, root: RootUrl, name: str, version: str) -> VersionPage:
    """One version in short."""
    return catalog.version_page(name, version, root)


@readable(router, "/", **_PAGE)
def home(root: RootUrl) -> HomePage:
    """What is where."""
    base = root.removesuffix("/datasets")
    return HomePage(
        service="PrometheusGPT Mini data service: versioned data sets; point a trainer at "
        f"{root}/NAME, or POST {base}/reshard to build a new version",
        links={
            "datasets": root,
            "jobs": f"{base}/jobs",
            "reshard (POST)": f"{base}/reshard",
            "alive": f"{base}/healthz",
            "ready": f"{base}/readyz",
            "openapi": f"{base}/openapi.json",
            "docs": f"{base}/docs",
        },
    )


@readable(router, "/healthz", **_PAGE)
async def healthz() -> HealthPage:
    """Whether the process answers; nothing is read."""
    return HealthPage()


@readable(
    router, "/readyz", response_model=ReadyPage, responses={503: {"model": ErrorPage}}, **_PAGE
)
def readyz(catalog: CatalogPart, runner: RunnerPart) -> Response | ReadyPage:
    """Whether a trainer that starts now finds a data set whose files are there."""
    problems = {name: catalog.problem(name) for name in catalog.names()}
    ready = [name for name, problem in problems.items() if problem is None]
    if ready:
        return ReadyPage(datasets=ready)
    reasons = [problem for problem in problems.values() if problem is not None]
    detail = "; ".join(reasons) or _why_empty(runner)
    return error_response(503, f"not ready: {detail}", {"retry-after": "5"})


def _why_empty(runner: JobRunner) -> str:
    """Why there is no data set: the job that builds one, or failed to, or that none was asked."""
    jobs = runner.jobs()
    for job in reversed(jobs):
        if job.state == "running":
            done = job.progress
            where = f": {done.stage}, {done.done} of {done.total or 'unknown'}" if done else ""
            return f"job {job.id} is building the first data set{where}; see GET /jobs/{job.id}"
    if jobs and jobs[0].is_open:
        return f"job {jobs[0].id} is queued; see GET /jobs/{jobs[0].id}"
    if jobs and jobs[0].error:
        return f"job {jobs[0].id} {jobs[0].state}: {jobs[0].error}"
    return "there is no data set yet; POST /reshard builds one"
