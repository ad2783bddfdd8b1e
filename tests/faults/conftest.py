"""One real data service for all tests of this room, started anew where a test has killed it."""

from collections.abc import Iterator

import pytest

from tests.faults.service import Service, publish


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    publish(folder / "datasets")
    running = Service(folder, "demo")
    yield running
    running.kill()
