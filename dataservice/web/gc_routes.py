"""POST /gc → old versions collected, and a report of what stayed and why."""

import functools
from typing import Any

import anyio.to_thread
from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from dataservice.collect.marks import Rules
from dataservice.collect.sweep import CollectReport, collect
from dataservice.jobs.request import RequestError
from dataservice.settings import ServiceSettings
from dataservice.web.body import read_body
from dataservice.web.pages import ErrorPage
from dataservice.web.parts import SettingsPart, refuse_other_sites, revalidate


class CollectRequest(BaseModel):
    """Rules of one collection: none below the service's own, which hold where one is left out."""

    model_config = ConfigDict(extra="forbid")

    keep: int | None = Field(None, ge=1, description="Newest versions of each data set that stay")
    grace_s: int | None = Field(None, ge=0, description="What is younger stays")
    dry_run: bool = Field(False, description="Report, and remove nothing")


router = APIRouter(tags=["collection"])
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": False,
        "content": {"application/json": {"schema": CollectRequest.model_json_schema()}},
    }
}


@router.post(
    "/gc",
    dependencies=[Depends(refuse_other_sites), Depends(revalidate)],
    responses={status: {"model": ErrorPage} for status in (403, 413, 422, 507)},
    openapi_extra=_BODY,
)
async def gc(request: Request, settings: SettingsPart) -> CollectReport:
    """Retire old versions and remove the blobs that nobody needs; the answer comes at the end."""
    asked = await read_body(request, CollectRequest)
    rules = _rules(asked, settings)
    clock = request.app.state.leases.clock
    work = functools.partial(collect, settings.data_dir, rules, dry_run=asked.dry_run, clock=clock)
    return await anyio.to_thread.run_sync(work, limiter=request.app.state.collect_threads)


def _rules(asked: CollectRequest, settings: ServiceSettings) -> Rules:
    """What a request asks for; whoever reaches the port may keep more, and never less.

    Raises:
        RequestError: when a value is lower than the service's own.
    """
    own = {"keep": settings.keep_versions, "grace_s": settings.collect_grace_s}
    taken = own | asked.model_dump(include=set(own), exclude_none=True)
    for key, least in own.items():
        if taken[key] < least:
            option = f"--{key.replace('_', '-')} {taken[key]:g}"
            raise RequestError(
                f"{key} = {taken[key]:g} is lower than the service's own {least:g}, and a request "
                "can only raise it; nothing was done; run "
                f"`dataservice gc {option}` on the data box, or set the service otherwise"
            )
    return Rules(keep=int(taken["keep"]), grace_s=taken["grace_s"])
