"""What servers and whatever stands before them answer → cases."""

from collections.abc import Iterator
from typing import Final

from tests.faults import faults
from tests.faults.case import CORRUPT, EDITED, EXACT, NOT_ALL, PORTAL, Case, both, once, unavailable
from tests.faults.proxy import Exchange

DEAD_HOST: Final = "http://127.0.0.1:9/elsewhere"  # the discard port: nobody listens


def _service(exchange: Exchange) -> str:
    return f"http://127.0.0.1:{exchange.proxy.service.port}{exchange.path}"


def _itself(exchange: Exchange) -> str:
    return f"http://{exchange.headers['host']}{exchange.path}"


def small_file(name: str, path: str) -> Iterator[Case]:
    """What may become of a file whose size nobody knows before."""
    on = f"/{path.rsplit('/', 1)[-1]}"
    for what, fault in {
        "no Content-Length, cut in half": faults.cut_unframed(),
        "the connection is cut in the headers": faults.cut_in_headers,
    }.items():
        yield from both(f"{name}: {what}", fault, "asks again", unavailable(NOT_ALL, path), on=on)
    packed = "Content-Encoding: gzip, though identity was asked for"
    yield from both(f"{name}: {packed}", faults.gzipped, "takes it", EXACT, on=on)
    portal = "the page of a portal (200, HTML)"
    yield from both(
        f"{name}: {portal}", faults.page, "asks again", unavailable(PORTAL, path), on=on
    )


ANSWERS: Final = (
    *both(
        "503 with Retry-After: 0",
        faults.status("503 Service Unavailable", Retry_After="0"),
        "asks again",
        unavailable("HTTP 503"),
        times=3,
    ),
    *both(
        "503 with a Retry-After that is a date",
        faults.status("503 Service Unavailable", Retry_After="Wed, 21 Oct 2015 07:28:00 GMT"),
        "asks again",
        unavailable("HTTP 503"),
        times=3,
    ),
    *both("429", faults.status("429 Too Many Requests"), "asks again", unavailable("HTTP 429")),
    *both(
        "500",
        faults.status("500 Internal Server Error"),
        "asks again",
        unavailable("HTTP 500"),
        times=3,
    ),
    *once(
        "503 in answer to a Range request",
        faults.cut(),
        faults.status("503 Service Unavailable"),
        reaction="asks for the rest",
    ),
    *once(
        "416 in answer to a Range request",
        faults.cut(),
        faults.status("416 Range Not Satisfiable"),
        reaction="asks again",
    ),
    *once(
        "200 with the whole file in answer to a Range request",
        faults.cut(),
        faults.whole,
        reaction="asks for the rest",
    ),
    *both(
        "the page of a portal (200, HTML) in place of the file",
        faults.page,
        "asks again",
        unavailable(PORTAL),
        times=2,
    ),
    *both("302 to the service itself", faults.redirect(_service), "takes it", EXACT, times=3),
    *both(
        "302 in a circle",
        faults.redirect(_itself),
        "asks again",
        unavailable("too many redirects"),
        times=6,
    ),
    *both(
        "302 to a host where nobody listens",
        faults.redirect(lambda _: DEAD_HOST),
        "asks again",
        unavailable(
            "Failed to establish a new connection: [Errno 111] Connection refused, at HOST, where "
            "it was redirected to"
        ),
        times=3,
    ),
    *both(
        "302 to what is no URL",
        faults.redirect(lambda _: "http://[elsewhere"),
        "asks again",
        unavailable("the URL, or one that it redirects to, cannot be used (Invalid IPv6 URL)"),
        times=3,
    ),
    *both(
        "two Content-Lengths that differ",
        faults.two_lengths,
        "asks again",
        unavailable("Content-Length contained multiple unmatching values …"),
    ),
)
BYTES: Final = (
    *both("one bit of the body is flipped", faults.other_bytes(faults.flip), "asks again", CORRUPT),
    *both(
        "the shard lacks a block: its tar was cut between two members and packed again",
        faults.other_bytes(faults.lose_block),
        "asks again",
        unavailable("ended after … of … bytes"),
        reaction_always="asks for the rest",
    ),
    *both(
        "the bytes are others, as many as there should be",
        faults.other_bytes(lambda data: data[::-1]),
        "asks again",
        CORRUPT,
    ),
    *both(
        "Content-Length is 100 too large",
        faults.wrong_length(100),
        "takes it",
        EXACT,
    ),
    *both(
        "Content-Length is 100 too small",
        faults.wrong_length(-100),
        "asks for the rest",
        unavailable("ended after … of … bytes"),
    ),
    *both(
        "more bytes follow behind the file's",
        faults.other_bytes(lambda data: data + b"more"),
        "takes it",
        EXACT,
    ),
    *once(
        "other content and ETag after a cut (200, since If-Range fails)",
        faults.cut(),
        faults.other_bytes(faults.flip, etag='"another"'),
        reaction="asks again",
    ),
    *once(
        "other content after a cut, as 206 in spite of If-Range",
        faults.cut(),
        faults.other_rest,
        reaction="asks again",
    ),
    *both(
        "Content-Encoding: gzip, though identity was asked for", faults.gzipped, "takes it", EXACT
    ),
    *both(
        "Content-Encoding: gzip, and cut in half",
        faults.gzipped_and_cut,
        "asks for the rest",
        unavailable("cut after … bytes: the connection ended early"),
    ),
)
SMALL_FILES: Final = (
    *small_file("manifest", "demo/versions/SHA/manifest.json"),
    *both(
        "manifest: one bit is flipped",
        faults.other_bytes(faults.flip),
        "asks again",
        EDITED,
        on="/manifest.json",
    ),
    *small_file("pointer", "demo/latest.json"),
)
