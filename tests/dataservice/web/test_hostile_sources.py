"""Hostile sources through the real service → a refusal or a failed job; what is served stays."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.dataservice.prepare.hostile import cases
from tests.dataservice.prepare.kills import unfinished

CHOSEN = (
    "cp1251 in place of UTF-8",
    "100,000 brackets",
    "33 kB of zstd that are 1 GiB",
    "a .gz whose last byte is missing",
    "a pipe that nobody writes to",
    "a link to such a device",
    "a .parquet whose footer says 4 GiB",
    "a million laughs in XML",
    "a .mo that promises 4 billion messages",
    "parallel files of unequal length",
)


@pytest.mark.slow
def test_hostile_sources_leave_the_version_that_is_served_as_it_was(
    new_client: Callable[..., TestClient],
    data_dir: Path,
    version: str,
    tmp_path: Path,
    wait_for_job: Callable[[TestClient, str], dict[str, Any]],
) -> None:
    root = tmp_path / "root"
    client = new_client(data_dir, real=True, source_root=root)
    known = {case.name: case for case in cases()}
    for number, name in enumerate(CHOSEN):
        folder = root / str(number)
        folder.mkdir(parents=True)
        source = {side: str(path) for side, path in known[name].make(folder).items()}
        response = client.post("/reshard", json={"sources": [source]})
        if response.status_code == 202:
            job = wait_for_job(client, response.json()["id"])
            assert job["state"] == "failed", name
            told = job["error"]
            assert (known[name].error or "") in told, name
        else:
            assert response.status_code in (403, 422), name
            told = response.json()["detail"]
        assert "Traceback" not in told, name
        assert "\n" not in told, name
        assert client.get("/datasets/demo/latest.json").json()["version"] == version, name
    assert unfinished(data_dir / "work") == []
    good = client.post("/reshard", json={"vocab_size": 650})
    assert wait_for_job(client, good.json()["id"])["state"] == "succeeded"
