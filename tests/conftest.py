"""Settings for all tests: nothing leaks in from the user's environment."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.buckets import S3, s3_server, use_s3

# Set before torch is imported: spinning threads starve the servers and trainers that tests start.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# On a busy machine an example may take longer, and that says nothing about it.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

_OURS = ("DATASERVICE_", "TRAINER_", "AWS_", "GOOGLE_", "AZURE_")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(_OURS):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def s3_process() -> Iterator[S3]:
    with s3_server() as running:
        yield running


@pytest.fixture
def s3(s3_process: S3, monkeypatch: pytest.MonkeyPatch, _clean_environment: None) -> S3:
    """An S3 server that the environment points to; buckets outlive a test, so name them apart."""
    use_s3(monkeypatch, s3_process.url)
    return s3_process
