"""A small JSON body → a model of what may be asked for, or a refusal that says what is wrong."""

from typing import Final, TypeVar

from fastapi import HTTPException, Request
from pydantic import BaseModel, ValidationError

from dataservice.jobs.request import KNOWN, RequestError
from shards.cli.mistakes import describe_errors

MAX_BODY_BYTES: Final = 1 << 16

Model = TypeVar("Model", bound=BaseModel)


async def read_body(request: Request, model: type[Model]) -> Model:
    """The body as a model; an empty one is `{}`, and its Content-Type does not matter.

    Raises:
        RequestError: when it is no JSON object, or has an unknown key or a value that cannot work.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise HTTPException(
                413, f"the request's body is longer than {MAX_BODY_BYTES} bytes; nothing was done"
            )
    try:
        return model.model_validate_json(bytes(body) if body.strip() else b"{}")
    except ValidationError as error:
        told = describe_errors(error, model, consequence="nothing was done", known=KNOWN)
        raise RequestError(told) from error
