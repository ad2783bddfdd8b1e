"""POST /reshard and /jobs → jobs queued, and how they are."""

import json
from typing import Annotated, Any, Final, NoReturn

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from dataservice.jobs.records import JobRecord
from dataservice.jobs.request import SERVICE_ONLY, RequestError, merge_settings
from dataservice.settings import BuildSettings
from dataservice.source_settings import SourceSettings
from dataservice.web.pages import ErrorPage, JobPage, JobsPage
from dataservice.web.parts import (
    RootUrl,
    RunnerPart,
    SettingsPart,
    readable,
    refuse_other_sites,
    revalidate,
)
from shards.errors import NotFoundError
from shards.manifest import canonical_json

MAX_BODY_BYTES: Final = 1 << 20


def _body_schema() -> dict[str, Any]:
    """What a reshard request may hold, written out: OpenAPI has no place for nested references."""
    schema = BuildSettings.model_json_schema()
    schema.pop("$defs", None)
    properties = {k: v for k, v in schema["properties"].items() if k not in SERVICE_ONLY}
    source = {"anyOf": [{"type": "string"}, SourceSettings.model_json_schema()]}
    for name in ("sources", "test_sources"):
        properties[name] = {**properties[name], "items": source}
    schema |= {"properties": properties, "title": "ReshardRequest"}
    schema["description"] = "Any setting of a build; what is left out is as the service has it."
    return {"required": False, "content": {"application/json": {"schema": schema}}}


router = APIRouter(tags=["jobs"])


@router.post(
    "/reshard",
    status_code=202,
    dependencies=[Depends(refuse_other_sites), Depends(revalidate)],
    responses={status: {"model": ErrorPage} for status in (403, 413, 422, 429, 507)},
    openapi_extra={"requestBody": _body_schema()},
)
async def reshard(
    request: Request,
    response: Response,
    settings: SettingsPart,
    runner: RunnerPart,
    root: RootUrl,
) -> JobPage:
    """Queue a build with the service's settings, and those of the body over them."""
    overrides = parse_body(await _read_body(request))
    # in a thread: folders and patterns may take a while to look through
    merged = await run_in_threadpool(merge_settings, settings, overrides)
    record = await runner.submit(merged, overrides)
    response.headers["location"] = f"/jobs/{record.id}"
    return _page(record, root)


@readable(router, "/jobs", dependencies=[Depends(revalidate)])
async def jobs(
    runner: RunnerPart,
    root: RootUrl,
    limit: Annotated[int, Query(ge=1, le=10_000, description="How many at most")] = 100,
) -> JobsPage:
    """Jobs, newest first."""
    return JobsPage(jobs=[_page(record, root) for record in runner.jobs()[:limit]])


@readable(
    router,
    "/jobs/{job_id}",
    dependencies=[Depends(revalidate)],
    responses={404: {"model": ErrorPage}},
)
async def job(runner: RunnerPart, root: RootUrl, job_id: str) -> JobPage:
    """One job as it is now."""
    record = runner.get(job_id)
    if record is None:
        raise NotFoundError(f"there is no job {job_id[:80]!r}; GET /jobs lists them")
    return _page(record, root)


def parse_body(body: bytes) -> dict[str, Any]:
    """The settings in a request's body; none when it is empty.

    Raises:
        RequestError: when it is no JSON object that could be written down again.
    """
    if not body.strip():
        return {}
    try:
        value = json.loads(body, parse_constant=_no_constant)
        if isinstance(value, dict):
            # refuses what JSON has no word for: 1e999, lone surrogates
            canonical_json(value)
            return value
        reason = f"it is a JSON {type(value).__name__}"
    except RecursionError:
        reason = "it is nested too deep"
    except ValueError as error:
        reason = str(error)
    raise RequestError(
        f"the request's body is no JSON object of settings: {reason}; nothing was queued; send "
        'for example {"vocab_size": 4000}, or no body for the service\'s own settings'
    )


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


async def _read_body(request: Request) -> bytes:
    """The body, if it is not longer than it may be: no more than that is ever held."""
    body = bytearray()
    declared = request.headers.get("content-length", "0")
    if not declared.isdigit() or int(declared) <= MAX_BODY_BYTES:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                break
        else:
            return bytes(body)
    raise HTTPException(
        413,
        f"the request's body is longer than {MAX_BODY_BYTES} bytes; nothing was queued; name files "
        "below --source-root as `sources` instead of sending text",
    )


def _page(record: JobRecord, root: str) -> JobPage:
    version = f"{root}/{record.dataset}/versions/{record.version}" if record.version else None
    return JobPage(**record.model_dump(), url=version)
