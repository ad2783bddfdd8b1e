"""A bucket of S3, Google or Azure → bytes, complete and verified; and the way into one, for a push.

One attempt is one request: waiting, going on after a cut and giving up are decided here, by the
policy, and not inside the library, whose own retries may take minutes before they say a word.
"""

import os
import re
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final, TypeVar

from shards.attempts import Fetch, RetryPolicy, TransientError, persist
from shards.errors import NotFoundError, ShardError
from shards.manifest import BlobInfo
from shards.reader import check_blob

SCHEMES: Final = ("s3://", "gs://", "az://")
IMMUTABLE: Final = "public, max-age=31536000, immutable"

_CHUNK_BYTES: Final = 1  # at least: they come as large as the network gives them
_REQUEST_S: Final = 120.0
_IF_MISSING: Final = "check the URL, or put the data set there with `dataservice push`"
_MAX_REASON: Final = 200
_ACCESS: Final = {
    "s3": "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION, or AWS_SKIP_SIGNATURE=true",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, or GOOGLE_SKIP_SIGNATURE=true",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or AZURE_SKIP_SIGNATURE=true",
}
_ENDPOINTS: Final = {
    "s3": ("AWS_ENDPOINT", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ALLOW_HTTP"),
    "gs": ("GOOGLE_BASE_URL", "GOOGLE_ALLOW_HTTP"),
    "az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT", "AZURE_ALLOW_HTTP"),
}
_NO_BUCKET = re.compile(r"NoSuchBucket|ContainerNotFound|specified bucket does not exist")
_NO_ACCESS = re.compile(
    r"169\.254\.169\.254|metadata\.google|/latest/(?:api|meta-data)/|token request"
)
_STATUS = re.compile(r"non-2xx status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_CAUSE = re.compile(r'(?:message|error): "([^"]+)"|source: (TimedOut)|kind: (Timeout)')
_REQUEST = re.compile(r"^Generic \w+ error: |Error performing [A-Z]+ \S+ in \S+ - ")
_PASSING: Final = frozenset({408, 416, 425, 429})

T = TypeVar("T")


class ObjectStore:
    """A tree of data sets in a bucket; safe to use from several threads and to send to processes.

    Endpoint and credentials are those of the environment, as the providers' own tools take them.
    """

    def __init__(
        self,
        root: str,
        *,
        policy: RetryPolicy | None = None,
        sleep: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`root` is s3://BUCKET, gs://BUCKET or az://CONTAINER, with a prefix or without.

        Raises:
            ShardError: when the library is not installed, or the environment cannot be right.
        """
        self.root = root.rstrip("/")
        self.policy = policy or RetryPolicy()
        self._sleep = sleep
        self._clock = clock
        self._answered = False
        self._remote = _connect(self.root, self.policy)

    def __getstate__(self) -> dict[str, object]:
        return {key: value for key, value in self.__dict__.items() if key != "_remote"}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._remote = _connect(self.root, self.policy)

    def read(self, path: str) -> bytes:
        """The whole of a small object, unverified."""
        return self._fetch(path, None)

    def read_blob(self, info: BlobInfo) -> bytes:
        """The whole of a blob, verified against the manifest."""
        return self._fetch(info.path, info)

    def fetch(self, path: str, fetch: Fetch) -> None:
        """The whole of an object into the buffer of its fetch, with the same patience."""
        self._patiently(path, lambda: self._receive(path, fetch), fetch)

    def size(self, path: str) -> int | None:
        """The size of an object in bytes; None when there is none."""
        import obstore

        try:
            return self._patiently(path, lambda: int(obstore.head(self._remote, path)["size"]))
        except NotFoundError:
            return None

    def put(self, path: str, data: bytes, *, cache_control: str, create: bool = False) -> bool:
        """Store an object, whole or not at all; False where it was there and only had to be made.

        A store that knows no create-only puts gets a plain one.
        """
        import obstore
        from obstore.exceptions import AlreadyExistsError

        attributes = {"Cache-Control": cache_control}

        def attempt() -> bool:
            if create:
                try:
                    obstore.put(self._remote, path, data, attributes=attributes, mode="create")
                    return True
                except AlreadyExistsError:
                    return False
                except (NotImplementedError, _base_error()) as error:
                    if not _is_unsupported(error):
                        raise
            obstore.put(self._remote, path, data, attributes=attributes, use_multipart=False)
            return True

        return self._patiently(path, attempt)

    def _fetch(self, path: str, info: BlobInfo | None) -> bytes:
        fetch = self._begin(path, info)

        def attempt() -> bytes:
            self._receive(path, fetch)
            if info is not None:
                check_blob(fetch.received, info)
            return bytes(fetch.received)

        return self._patiently(path, attempt, fetch)

    def _begin(self, path: str, info: BlobInfo | None = None) -> Fetch:
        return Fetch(f"{self.root}/{path}", info, self._clock(), if_missing=_IF_MISSING)

    def _receive(self, path: str, fetch: Fetch) -> None:
        """One request that goes on where `received` ends; what has come counts if it is cut."""
        import obstore

        policy, received, info = self.policy, fetch.received, fetch.info
        began, had = self._clock(), len(received)
        options: Any = {"range": {"offset": had}} if received else None
        result = obstore.get(self._remote, path, options=options)
        # chunks as they come: what has come counts at once, and a link that drips is seen to
        for chunk in result.stream(_CHUNK_BYTES):
            received += chunk
            if len(received) > fetch.limit:
                received.clear()
                raise TransientError(f"more than the expected {fetch.limit} bytes came")
            silent_at = policy.silent_at(began, len(received) - had)
            if self._clock() > min(silent_at, policy.deadline(fetch)):
                raise TransientError(f"timed out after {len(received)} bytes: too little came")
        wanted = result.meta["size"] if info is None else info.bytes
        if len(received) < wanted <= result.meta["size"]:
            raise TransientError(f"ended after {len(received)} of {wanted} bytes")

    def _patiently(self, path: str, attempt: Callable[[], T], fetch: Fetch | None = None) -> T:
        """Try until it works, cannot work, or the policy's patience is at its end."""
        fetch = fetch or self._begin(path)

        def judged() -> T:
            try:
                result = attempt()
            except (OSError, ValueError, _base_error()) as error:
                reason = self._judge(fetch, error)
                if (status := _STATUS.search(str(error))) and status[1] == "416":
                    fetch.received.clear()
                raise TransientError(reason) from error
            self._answered = True
            return result

        return persist(fetch, judged, self.policy, self._sleep, self._clock)

    def _judge(self, fetch: Fetch, error: Exception) -> str:
        """Why an attempt failed, when that may pass; raises the final error when it will not."""
        scheme, _, rest = self.root.partition("://")
        bucket, text, url = rest.partition("/")[0], str(error), fetch.url
        told = _reason(error)
        if _NO_BUCKET.search(text):
            raise ShardError(
                f"bucket {bucket!r} of {url} is not there; check the URL and the endpoint"
            ) from error
        if isinstance(error, FileNotFoundError):
            raise NotFoundError(f"{url} is not there; {fetch.if_missing}") from error
        if _is_denied(error):
            raise ShardError(
                f"{url} was refused ({told}): the object is missing, or these credentials may not "
                f"have it; check the URL and {_ACCESS[scheme]} for a public bucket"
            ) from error
        if _NO_ACCESS.search(text) and not self._answered:
            raise ShardError(
                f"{url} needs credentials and none were found; set {_ACCESS[scheme]} for a public "
                "bucket"
            ) from error
        if "incorrectly configured region" in text:
            raise ShardError(f"{url} lies in another region; set AWS_REGION to it") from error
        status = _STATUS.search(text)
        if status and 400 <= int(status[1]) < 500 and int(status[1]) not in _PASSING:
            raise ShardError(f"{url} was refused with {told}; check the URL and access") from error
        if isinstance(error, ValueError):
            raise ShardError(f"{url} cannot be asked for ({told}); check the URL") from error
        return told


def _connect(root: str, policy: RetryPolicy) -> Any:
    """The library's store for a root."""
    scheme, _, rest = root.partition("://")
    bucket, _, prefix = rest.partition("/")
    try:
        from obstore import store as stores
    except ModuleNotFoundError as error:
        raise ShardError(
            f"{root} is a bucket, for which the package obstore is needed and not installed; "
            "install it: pip install 'prometheusgpt-mini[object-stores]'"
        ) from error
    kinds: dict[str, Any] = {
        "s3": stores.S3Store,
        "gs": stores.GCSStore,
        "az": stores.AzureStore,
    }
    try:
        return kinds[scheme](
            bucket,
            prefix=prefix or None,
            client_options={
                # a user who names an endpoint without TLS means it; else nothing goes without
                "allow_http": any(map(_without_tls, _ENDPOINTS[scheme])),
                "connect_timeout": timedelta(seconds=policy.connect_timeout_s),
                "read_timeout": timedelta(seconds=policy.read_timeout_s),
                # a blob goes on in another request after this; a small object must fit into it
                "timeout": timedelta(seconds=max(policy.deadline_s, _REQUEST_S)),
            },
            retry_config={"max_retries": 0},
        )
    except (_base_error(), OSError, ValueError) as error:
        raise ShardError(
            f"{root} cannot be opened ({_reason(error)}); check the URL and {_ACCESS[scheme]} for "
            "a public bucket"
        ) from error


def _without_tls(variable: str) -> bool:
    value = os.environ.get(variable, "").lower()
    return value.startswith("http://") or (
        variable.endswith("_ALLOW_HTTP") and value in ("1", "true", "yes", "on")
    )


def _base_error() -> type[Exception]:
    from obstore.exceptions import BaseError

    return BaseError


def _is_unsupported(error: Exception) -> bool:
    """Whether a store said that it does not know what was asked."""
    status = _STATUS.search(str(error))
    return isinstance(error, NotImplementedError) or (status is not None and status[1] == "501")


def _is_denied(error: Exception) -> bool:
    from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

    return isinstance(error, PermissionDeniedError | UnauthenticatedError)


def _reason(error: Exception) -> str:
    """The cause in the library's words, without its Rust structures, in one line."""
    text, _, structure = str(error).partition("\n\nDebug source:")
    if status := _STATUS.search(text):
        code = _CODE.search(text)
        return f"HTTP {status[1]}" + (f" {code[1]}" if code else "")
    words = " ".join(_REQUEST.sub("", text).split())[:_MAX_REASON]
    causes = [next(filter(None, match.groups())) for match in _CAUSE.finditer(structure)]
    if not causes:
        return words
    return f"{words}: " + ("timed out" if causes[-1].startswith("Tim") else causes[-1])
