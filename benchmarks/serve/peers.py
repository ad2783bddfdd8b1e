"""`static FOLDER PORT` or `route FOLDER PORT` → a peer: Starlette and Uvicorn as they come.

`static` serves a folder by StaticFiles; `route` answers with the folder's files from memory, by the
least that a Starlette application can do.
"""

import sys
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles


def static(folder: Path) -> BaseRoute:
    """The folder below /datasets."""
    return Mount("/datasets", StaticFiles(directory=folder))


def route(folder: Path) -> BaseRoute:
    """Every file of the folder, held in memory, below /bare."""
    files = {path.name: path.read_bytes() for path in folder.iterdir()}

    async def answer(request: Request) -> Response:
        name = request.path_params["name"]
        etag = f'"{name.removesuffix(".json")}"'
        headers = {"etag": etag, "cache-control": "public, max-age=31536000, immutable"}
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers=headers)
        return Response(files[name], headers=headers, media_type="application/json")

    return Route("/bare/{name}", answer)


def main() -> None:
    """Entry point."""
    kind, folder, port = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    app = Starlette(routes=[{"static": static, "route": route}[kind](folder)])
    uvicorn.run(app, port=port, log_level="warning")


if __name__ == "__main__":
    main()
