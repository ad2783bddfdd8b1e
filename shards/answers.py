"""An answer over HTTP, or none → whether what came is of use, and what to say if it is not."""

import hashlib
import http.client
import json
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    DecodeError,
    IncompleteRead,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
)
from urllib3.util import parse_url

from shards.attempts import Fetch, TransientError
from shards.errors import NotFoundError, ShardError

_MAX_REASON: Final = 300

_OBJECT = re.compile(r"^<?\w+\(host=.*?\)>?: |^<[^>]*>: ")
_MANIFEST = re.compile(r"(?:^|/)versions/([0-9a-f]{64})/manifest\.json$")


def check_status(fetch: Fetch, response: urllib3.BaseHTTPResponse) -> None:
    """Whether a body of use comes, and where it goes on; a ShardError if none ever will."""
    status, headers, received = response.status, response.headers, fetch.received
    if status in (200, 206) and headers.get("Content-Type", "").startswith("text/html"):
        raise TransientError(
            "a web page came (text/html), not the file; something on the way answers for the "
            "server, a proxy or a portal to sign in to"
        )
    if status == 206 and received:
        start = headers.get("Content-Range", "").removeprefix("bytes ").split("-")[0]
        if start == str(len(received)) and not is_packed(response):
            return
        received.clear()
        raise TransientError(f"the answer to a Range request starts at {start or 'no offset'}")
    if status == 200:
        received.clear()
        etag = headers.get("ETag", "")
        fetch.etag = etag if etag.startswith('"') else None  # a weak one does not vouch for bytes
        return
    if status in (404, 410):
        raise NotFoundError(f"{fetch.url} is not there (HTTP {status}); {fetch.if_missing}")
    if status in (206, 416):
        received.clear()
    if status in (206, 408, 416, 425, 429) or status >= 500:
        raise TransientError(f"HTTP {status}", _retry_after_s(response))
    raise ShardError(f"{fetch.url} was refused with HTTP {status}; check the URL and your access")


def check_small(fetch: Fetch, response: urllib3.BaseHTTPResponse) -> None:
    """Doubt a small file that cannot be right, until the same has come twice."""
    data = bytes(fetch.received)
    if len(data) == fetch.limit:
        raise TransientError(f"{fetch.limit} bytes came, and more: that is no small file")
    if _can_be_right(fetch.url, data):
        return
    if "Content-Length" not in response.headers and not response.headers.get("Transfer-Encoding"):
        raise TransientError(
            f"{len(data)} bytes came, which are not all, and no Content-Length says how many"
        )
    if data != fetch.doubtful:
        fetch.doubtful = data
        raise TransientError(f"{len(data)} bytes came, which are not those of the file")


def _can_be_right(url: str, data: bytes) -> bool:
    if found := _MANIFEST.search(url):
        return hashlib.sha256(data).hexdigest() == found[1]
    if not url.endswith(".json"):
        return True
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True


def is_packed(response: urllib3.BaseHTTPResponse) -> bool:
    """Whether a body was packed on the way; `zstd` is left out: some hosts call a .zst file so."""
    return response.headers.get("Content-Encoding", "").lower() in ("gzip", "x-gzip", "deflate")


def _retry_after_s(response: urllib3.BaseHTTPResponse) -> float | None:
    """Seconds that a server asks to wait, in its own time where it gives a date."""
    told = response.headers.get("Retry-After", "")
    if told.isascii() and told.isdigit():
        return float(told)
    try:
        at, date = parsedate_to_datetime(told), response.headers.get("Date")
        now = parsedate_to_datetime(date) if date else datetime.now(UTC)
        return (at - now).total_seconds()
    except (TypeError, ValueError):  # no date, or one without a zone
        return None


def plain_reason(
    error: Exception, url: str, connect_timeout_s: float, read_timeout_s: float
) -> str:
    """Why a request failed, by its first cause, in one line that is the same each time."""
    reason: object = getattr(error, "reason", None) or error
    if isinstance(reason, (ProtocolError, DecodeError)) and isinstance(reason.args[-1], Exception):
        reason = reason.args[-1]
    if isinstance(reason, ReadTimeoutError):
        text = f"timed out: nothing came for {read_timeout_s:g} s, or too little"
    elif isinstance(reason, ConnectTimeoutError) and not isinstance(reason, NewConnectionError):
        text = f"timed out: no connection in {connect_timeout_s:g} s"
    elif isinstance(reason, (IncompleteRead, http.client.IncompleteRead)):
        text = "the connection ended early"
    elif type(reason) is http.client.BadStatusLine:
        text = f"the answer is no HTTP, it begins with {str(reason).strip()[:40]!r}"
    else:
        text = _OBJECT.sub("", " ".join(str(reason).split()))[:_MAX_REASON]
    if isinstance(error, ValueError):
        text = f"the URL, or one that it redirects to, cannot be used ({text})"
    if (pool := getattr(error, "pool", None)) is not None:
        asked = parse_url(url)
        if (pool.host, pool.port) != ((asked.host or "").strip("[]"), asked.port or pool.port):
            text += f", at {pool.host}:{pool.port}, where it was redirected to"
    return text
