"""What goes wrong → `{"detail": sentence}` and the status that fits; caches keep none of them."""

from collections.abc import Mapping
from typing import Final

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from dataservice.collect.errors import TooManyLeasesError
from dataservice.jobs.request import ForbiddenSourceError, RequestError
from dataservice.jobs.runner import QueueFullError
from shards.cli.mistakes import shown, takes
from shards.errors import GoneError, NotFoundError, PrometheusError, StoreFullError

_MAX_DETAIL: Final = 4000
_STATUS: Final = (
    (GoneError, 410),
    (NotFoundError, 404),
    (ForbiddenSourceError, 403),
    (RequestError, 422),
    (QueueFullError, 429),
    (TooManyLeasesError, 429),
    (StoreFullError, 507),
    (PrometheusError, 500),
)


def add_error_handlers(app: FastAPI) -> None:
    """Give every error of an app the same form."""
    app.add_exception_handler(PrometheusError, _own_error)
    app.add_exception_handler(StarletteHTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid)


def error_response(
    status: int, detail: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """One sentence as JSON."""
    if len(detail) > _MAX_DETAIL:
        detail = f"{detail[:_MAX_DETAIL]}…"
    return JSONResponse(
        {"detail": detail}, status, headers={"cache-control": "no-store", **(headers or {})}
    )


async def _own_error(request: Request, error: Exception) -> JSONResponse:
    del request
    status = next(status for kind, status in _STATUS if isinstance(error, kind))
    return error_response(status, str(error))


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, StarletteHTTPException)
    detail = str(error.detail)
    if not isinstance(error, HTTPException):
        # raised by the router, which knows only the words of the status
        path = request.url.path[:200]
        detail = {
            404: f"there is nothing at {path!r}; GET / says what is where",
            405: f"{request.method} is not allowed at {path!r}; GET /openapi.json says what is",
        }.get(error.status_code, detail)
    return error_response(error.status_code, detail, error.headers)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    fields = {
        field.alias: field.field_info for field in request.scope["route"].dependant.query_params
    }
    problems = [
        f"parameter {name} = {shown(item['input'])}: give {takes(fields[name])}"
        for item in error.errors()
        for name in item["loc"][1:]
    ]
    return error_response(422, "; ".join([*problems, "nothing was done"]))
