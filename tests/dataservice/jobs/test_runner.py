"""Jobs in a queue → each run alone, in order, ended and recorded whatever its process does."""

import asyncio
import itertools
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from dataservice.jobs.records import JobRecord, JobsInUseError, RecordFolder, new_record
from dataservice.jobs.runner import JobRunner, QueueFullError
from dataservice.settings import BuildSettings

NewRunner = Callable[..., JobRunner]
Ask = Callable[[str], BuildSettings]

pytestmark = pytest.mark.slow


async def run_jobs(runner: JobRunner, *settings: BuildSettings) -> list[JobRecord]:
    """The jobs' records once all have ended."""
    await runner.start()
    try:
        jobs = [await runner.submit(each, {"name": each.name}) for each in settings]
        async with asyncio.timeout(60):
            return [await runner.wait(job.id) for job in jobs]
    finally:
        await runner.stop()


def test_a_job_that_succeeds_tells_its_version_times_and_last_progress(
    new_runner: NewRunner, ask: Ask, tmp_path: Path
) -> None:
    (job,) = asyncio.run(run_jobs(new_runner(), ask("fine")))
    assert (job.state, job.version, job.error) == ("succeeded", "ab" * 32, None)
    assert job.settings == {"name": "fine"}
    assert job.progress is not None
    assert job.progress.model_dump() == {"stage": "read", "done": 3, "total": 7}
    assert job.started is not None
    assert job.finished is not None
    assert job.created <= job.started <= job.finished
    stored = json.loads((tmp_path / "jobs" / f"{job.id}.json").read_bytes())
    assert JobRecord.model_validate(stored) == job
    assert stored["created"].endswith("Z")


def test_the_settings_file_says_all_that_the_build_needs(
    new_runner: NewRunner, tmp_path: Path
) -> None:
    settings = BuildSettings(
        name="fine",
        data_dir=tmp_path,
        default_author="Ёжик😀",
        sources=["дом\x85\u2028.jsonl"],
    )
    (job,) = asyncio.run(run_jobs(new_runner(), settings))
    loaded = yaml.safe_load((tmp_path / "jobs" / f"{job.id}.yaml").read_bytes())
    assert BuildSettings.model_validate(loaded) == settings


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("refused", "no pair is left to build from"),
        ("crash", "exit status 1 and without a reason"),
        ("crash", "something unforeseen"),
        ("mute", "without saying which version"),
        ("other", "without saying which version"),
        ("killed", "SIGKILL"),
        ("orphans", "SIGKILL"),
    ],
)
def test_a_job_that_fails_says_why_and_the_next_one_runs(
    new_runner: NewRunner, ask: Ask, name: str, expected: str
) -> None:
    bad, good = asyncio.run(run_jobs(new_runner(), ask(name), ask("fine")))
    assert (bad.state, bad.version, good.state) == ("failed", None, "succeeded")
    assert expected in str(bad.error)


def test_a_command_that_cannot_be_started_fails_its_job_alone(
    new_runner: NewRunner, ask: Ask
) -> None:
    runner = new_runner(command=lambda file: ("/nonexistent/program", str(file)))
    jobs = asyncio.run(run_jobs(runner, ask("fine"), ask("fine")))
    assert [job.state for job in jobs] == ["failed", "failed"]
    assert "could not be started (No such file or directory)" in str(jobs[0].error)


def test_a_command_that_raises_fails_its_job_alone(new_runner: NewRunner, ask: Ask) -> None:
    def broken(file: Path) -> tuple[str, ...]:
        raise RuntimeError(f"no command for {file.suffix}")

    jobs = asyncio.run(run_jobs(new_runner(command=broken), ask("fine"), ask("fine")))
    assert [job.state for job in jobs] == ["failed", "failed"]
    assert "no command for .yaml" in str(jobs[1].error)


def test_endless_lines_do_not_fill_the_memory_or_stop_the_job(
    new_runner: NewRunner, ask: Ask
) -> None:
    (job,) = asyncio.run(run_jobs(new_runner(), ask("noise")))
    assert job.state == "succeeded"


def test_the_services_variables_do_not_reach_the_build(
    new_runner: NewRunner, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATASERVICE_VOCAB_SIZE", "500")
    (job,) = asyncio.run(run_jobs(new_runner(), ask("environment")))
    assert job.error == "variables: []"


def test_jobs_run_one_at_a_time_in_the_order_they_came(
    new_runner: NewRunner, ask: Ask, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "gate")

    async def scenario() -> list[JobRecord]:
        runner = new_runner()
        await runner.start()
        jobs = [await runner.submit(ask(name), {}) for name in ("gate", "fine", "fine")]
        # the first build opens the other end, so it runs, and goes on only now
        with await asyncio.to_thread((tmp_path / "gate").open, "w"):
            assert [job.state for job in runner.jobs()] == ["queued", "queued", "running"]
        ended = [await runner.wait(job.id) for job in jobs]
        assert [job.id for job in runner.jobs()] == [job.id for job in reversed(jobs)]
        await runner.stop()
        return ended

    ended = asyncio.run(scenario())
    assert [job.state for job in ended] == ["succeeded"] * 3
    for before, after in itertools.pairwise(ended):
        assert before.finished is not None
        assert after.started is not None
        assert before.finished <= after.started


@pytest.mark.parametrize(("name", "grace_s"), [("hang", 30.0), ("stubborn", 0.05)])
def test_stopping_ends_the_running_build_and_interrupts_what_is_open(
    new_runner: NewRunner, ask: Ask, tmp_path: Path, name: str, grace_s: float
) -> None:
    os.mkfifo(tmp_path / "gate")

    async def scenario() -> list[JobRecord]:
        runner = new_runner(grace_s=grace_s)
        await runner.start()
        jobs = [await runner.submit(ask(each), {}) for each in (name, "fine")]
        await asyncio.to_thread((tmp_path / "gate").read_bytes)
        await runner.stop()
        return [await runner.wait(job.id) for job in jobs]

    jobs = asyncio.run(scenario())
    assert [job.state for job in jobs] == ["interrupted", "interrupted"]
    assert "was running" in str(jobs[0].error)
    assert "was queued" in str(jobs[1].error)
    assert "POST /reshard again" in str(jobs[1].error)
    on_disk = RecordFolder(tmp_path / "jobs").load()
    assert on_disk == jobs


def test_a_service_that_was_killed_finds_its_open_jobs_interrupted(
    new_runner: NewRunner, tmp_path: Path
) -> None:
    folder = RecordFolder(tmp_path / "jobs")
    queued, running = new_record("a", {}), new_record("b", {}).started_now()
    done = new_record("c", {}).started_now().succeeded("0" * 64)
    for record in (queued, running, done):
        folder.save(record)
    (folder.folder / "20200101T000000-dead.json").write_text("{")

    async def scenario() -> dict[str, JobRecord]:
        runner = new_runner()
        await runner.start()
        records = {job.dataset: job for job in runner.jobs()}
        await runner.stop()
        return records

    records = asyncio.run(scenario())
    assert {name: job.state for name, job in records.items()} == {
        "a": "interrupted",
        "b": "interrupted",
        "c": "succeeded",
    }
    assert {job.dataset: job for job in folder.load()} == records


def test_more_jobs_than_the_queue_keeps_are_refused_and_leave_no_record(
    new_runner: NewRunner, ask: Ask, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "gate")

    async def scenario() -> None:
        runner = new_runner(max_queued=2)
        await runner.start()
        await runner.submit(ask("hang"), {})
        await asyncio.to_thread((tmp_path / "gate").read_bytes)
        results = await asyncio.gather(
            *(runner.submit(ask("fine"), {}) for _ in range(5)), return_exceptions=True
        )
        assert [type(each) for each in results] == [JobRecord] * 2 + [QueueFullError] * 3
        await runner.stop()

    asyncio.run(scenario())
    assert len(RecordFolder(tmp_path / "jobs").load()) == 3


def test_two_services_do_not_share_a_jobs_folder(new_runner: NewRunner) -> None:
    async def scenario() -> None:
        first, second = new_runner(), new_runner()
        await first.start()
        with pytest.raises(JobsInUseError, match="another service"):
            await second.start()
        await second.stop()
        await first.stop()
        third = new_runner()
        await third.start()
        await third.stop()

    asyncio.run(scenario())


def test_a_job_runs_a_real_build_and_reports_its_refusal(tmp_path: Path) -> None:
    settings = BuildSettings(
        data_dir=tmp_path,
        sources=[str(tmp_path / "missing.jsonl")],
        processes=1,
    )
    (job,) = asyncio.run(run_jobs(JobRunner(tmp_path / "jobs"), settings))
    assert job.state == "failed"
    assert "missing.jsonl" in str(job.error)
    assert sys.executable not in str(job.error)
