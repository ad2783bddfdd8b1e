"""/datasets/NAME/versions/SHA/leases → versions held by readers, for a time."""

import functools
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import anyio.to_thread
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from dataservice.collect.leases import Holder, Lease, LeaseFolder, TtlSeconds
from dataservice.web.body import read_body
from dataservice.web.pages import ErrorPage, LeasePage, LeasesPage
from dataservice.web.parts import (
    CatalogPart,
    RootUrl,
    readable,
    refuse_other_sites,
    revalidate,
)
from shards.lease import DEFAULT_TTL_S

Result = TypeVar("Result")

_LEASES = "/datasets/{name}/versions/{version}/leases"


class LeaseRequest(BaseModel):
    """Who wants to hold a version, and for how long at a time."""

    model_config = ConfigDict(extra="forbid")

    holder: Holder = Field(description="Who reads, for people: host and run, for example")
    ttl_s: TtlSeconds = Field(DEFAULT_TTL_S, description="Seconds until it ends unless renewed")


class RenewRequest(BaseModel):
    """For how long to hold on; as before when left out."""

    model_config = ConfigDict(extra="forbid")

    ttl_s: TtlSeconds | None = None


def _leases(request: Request) -> LeaseFolder:
    leases: LeaseFolder = request.app.state.leases
    return leases


LeasesPart = Annotated[LeaseFolder, Depends(_leases)]


async def _off_loop(request: Request, function: Callable[..., Result], *values: Any) -> Result:
    """Run in a thread of the few for leases.

    While a collection runs they wait for its lock, and downloads need the other threads.
    """
    limiter: anyio.CapacityLimiter = request.app.state.lease_threads
    return await anyio.to_thread.run_sync(functools.partial(function, *values), limiter=limiter)


def _schema(model: type[BaseModel], *, required: bool) -> dict[str, Any]:
    content = {"application/json": {"schema": model.model_json_schema()}}
    return {"requestBody": {"required": required, "content": content}}


router = APIRouter(
    tags=["leases"],
    responses={status: {"model": ErrorPage} for status in (404, 410)},
)
_CHANGE: dict[str, Any] = {"dependencies": [Depends(refuse_other_sites), Depends(revalidate)]}
_REFUSED: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorPage} for status in (403, 413, 422, 429, 507)
}


@router.post(
    _LEASES,
    status_code=201,
    responses=_REFUSED,
    openapi_extra=_schema(LeaseRequest, required=True),
    **_CHANGE,
)
async def acquire(
    request: Request,
    response: Response,
    catalog: CatalogPart,
    leases: LeasesPart,
    root: RootUrl,
    name: str,
    version: str,
) -> LeasePage:
    """Hold a version: no collection takes it before the lease ends."""
    catalog.require_version(name, version)
    asked = await read_body(request, LeaseRequest)
    lease = await _off_loop(request, leases.acquire, name, version, asked.holder, asked.ttl_s)
    page = _page(lease, root)
    response.headers["location"] = page.url
    return page


@router.put(
    f"{_LEASES}/{{lease}}",
    responses=_REFUSED,
    openapi_extra=_schema(RenewRequest, required=False),
    **_CHANGE,
)
async def renew(
    request: Request,
    catalog: CatalogPart,
    leases: LeasesPart,
    root: RootUrl,
    name: str,
    version: str,
    lease: str,
) -> LeasePage:
    """Hold on for another while."""
    catalog.require_version(name, version)
    asked = await read_body(request, RenewRequest)
    return _page(await _off_loop(request, leases.renew, name, version, lease, asked.ttl_s), root)


@router.delete(f"{_LEASES}/{{lease}}", status_code=204, responses=_REFUSED, **_CHANGE)
async def give_back(
    request: Request, leases: LeasesPart, name: str, version: str, lease: str
) -> None:
    """End a lease before its time."""
    await _off_loop(request, leases.give_back, name, version, lease)


@readable(router, _LEASES, dependencies=[Depends(revalidate)])
async def held(
    request: Request,
    catalog: CatalogPart,
    leases: LeasesPart,
    root: RootUrl,
    name: str,
    version: str,
) -> LeasesPage:
    """The leases that hold a version now."""
    catalog.require_version(name, version)
    found = await _off_loop(request, leases.active, name, version)
    return LeasesPage(name=name, version=version, leases=[_page(lease, root) for lease in found])


def _page(lease: Lease, root: str) -> LeasePage:
    url = f"{root}/{lease.dataset}/versions/{lease.version}/leases/{lease.id}"
    return LeasePage(**lease.model_dump(), url=url)
