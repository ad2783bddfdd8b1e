"""Settings for all tests: nothing leaks in from the user's environment."""

import os

import pytest

# Set before torch is imported: spinning threads starve the servers and trainers that tests start.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("DATASERVICE_", "TRAINER_")):
            monkeypatch.delenv(name)
