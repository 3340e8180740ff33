"""Pauses of a tool and of a project, and drained workers."""

import asyncio
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.db import connection

from tests.support.jobs import SLOTS, WORKER, claim, start_job
from tests.support.runner import work
from tests.support.turns import turn
from workflows import engine
from workflows.engine.outcomes import Outcome
from workflows.engine.pause import drain, end_drain, pause, resume
from workflows.engine.turn import Demand
from workflows.engine.why_waiting import waiting_for
from workflows.models import Pause, Worker, WorkflowExecution, WorkflowStep
from workflows.monitoring.readiness import readiness
from workflows.worker.runner import Runner

PROJECT, TOOL = Pause.Kind.PROJECT, Pause.Kind.TOOL


def with_tool(user: User, **job: object) -> WorkflowExecution:
    steps = [{"name": "Call", "tool": "HTTP_REQUEST", "arguments": {"url": "https://example.com"}}, {"name": "Write"}]
    return start_job(user, payload={"workflowName": "Tool first", "steps": steps}, **job)


def picked(free: int = 10, newcomers: int = 0) -> list[str]:
    """The names of the jobs of which a turn claims a step."""
    claims = []
    for slot in SLOTS:
        claims += turn(WORKER, [], [Demand(slot, free=free, newcomers=newcomers)]).claims
    return sorted(claim.execution_name for claim in claims)


@pytest.mark.parametrize("demand", [{"free": 10}, {"free": 0, "newcomers": 10}])
def test_a_paused_tool(alice: User, bob: User, demand: dict[str, int]) -> None:
    job, other = with_tool(alice), start_job(bob)
    assert pause(actor="charlie", reason="quota", kind=TOOL, name="HTTP_REQUEST")
    assert picked(**demand) == [other.name]
    sentence = waiting_for([job])[job.pk]
    assert sentence.startswith("The tool HTTP_REQUEST is paused since 20")
    assert "by charlie: quota." in sentence
    assert resume(actor="charlie", kind=TOOL, name="HTTP_REQUEST")
    assert picked(**demand) == [job.name]


@pytest.mark.parametrize("demand", [{"free": 10}, {"free": 0, "newcomers": 10}])
def test_a_paused_project(alice: User, bob: User, demand: dict[str, int]) -> None:
    job, other = with_tool(alice, projectId="p1"), start_job(bob, projectId="p2")
    pause(actor="charlie", reason="audit", kind=PROJECT, name="p1")
    assert picked(**demand) == [other.name]
    assert waiting_for([job])[job.pk].startswith("The project p1 is paused since 20")
    resume(actor="charlie", kind=PROJECT, name="p1")
    assert picked(**demand) == [job.name]


def test_paused_model_steps(alice: User) -> None:
    job, other = start_job(alice), with_tool(alice)
    pause(actor="charlie", kind=TOOL, name="")
    assert picked() == [other.name]
    assert waiting_for([job])[job.pk].startswith("Model steps are paused since 20")


@pytest.mark.parametrize("by", [{"kind": PROJECT, "name": "p1"}, {"kind": TOOL, "name": ""}, {}])
def test_a_lane_does_not_go_on(alice: User, by: dict[str, str]) -> None:
    """The outcome of a running step is recorded, but its lane claims no step of what is paused."""
    job = start_job(alice, projectId="p1")
    (step,) = claim(job.pk)
    pause(actor="charlie", **by)  # type: ignore[arg-type]
    outcome = Outcome.completed(step, "done")
    outcome.keeps = "async"
    assert not turn(WORKER, [outcome], []).claims
    job.refresh_from_db()
    assert (job.steps_completed, job.steps_running) == (1, 0)
    assert not claim(job.pk)  # a stock cluster with the job's message
    resume(actor="charlie", **by)  # type: ignore[arg-type]
    assert claim(job.pk)
    assert engine.stranded() == []


def test_lanes_of_other_projects_go_on(alice: User) -> None:
    job = start_job(alice, projectId="p2")
    (step,) = claim(job.pk)
    pause(actor="charlie", kind=PROJECT, name="p1")
    outcome = Outcome.completed(step, "done")
    outcome.keeps = "async"
    assert len(turn(WORKER, [outcome], []).claims) == 1


def test_pauses_add_up(alice: User) -> None:
    with_tool(alice)
    start_job(alice, projectId="p1")
    pause(actor="charlie", kind=TOOL, name="HTTP_REQUEST")
    pause(actor="charlie", kind=PROJECT, name="p1")
    pause(actor="charlie")
    resume(actor="charlie")
    assert picked() == []
    resume(actor="charlie", kind=PROJECT, name="p1")
    assert picked() == ["Two steps"]


def test_a_pause_is_no_failure(alice: User) -> None:
    with_tool(alice)
    WorkflowExecution.objects.update(wake_at="2020-01-01T00:00:00Z")
    Worker.objects.create(kind="runner", host="here", pid=1, slots=7, sizes={"async": 5})
    assert not readiness()["checks"]["queue"]["ok"]
    pause(actor="charlie", kind=TOOL, name="HTTP_REQUEST", reason="secret")
    found = readiness()["checks"]["queue"]
    assert found["ok"]
    assert found["detail"].endswith("Pauses of tools or projects: 1.")


def test_when_all_workers_are_drained(alice: User) -> None:
    job = start_job(alice)
    Worker.objects.create(kind="runner", host="here", pid=1, slots=7, draining=True, is_drained=True)
    assert waiting_for([job])[job.pk].startswith("All workers are drained.")
    found = readiness()["checks"]["workers"]
    assert not found["ok"]
    assert found["detail"].startswith("All workers are drained.")


@pytest.mark.django_db(transaction=True)
def test_a_drained_worker_takes_nothing_until_it_is_resumed(alice: User) -> None:
    jobs: list[WorkflowExecution] = []

    def begin() -> bool:
        jobs.append(start_job(alice))
        return True

    async def during(runner: Runner) -> None:
        await until(Worker.objects.exists)
        assert await in_thread(lambda: drain(runner.identity.id, actor="charlie"))
        await until(lambda: Worker.objects.get().draining)
        assert await in_thread(begin)
        runner.wake()
        for _ in range(20):
            await asyncio.sleep(0.05)
        assert not runner.held
        assert await in_thread(lambda: not WorkflowStep.objects.exclude(attempt=0).exists())
        assert await in_thread(lambda: end_drain(runner.identity.id, actor="charlie"))
        await until(lambda: not WorkflowExecution.objects.unfinished().exists())

    work(during=during, lease=3)
    jobs[0].refresh_from_db()
    assert jobs[0].status == "completed"


async def in_thread(work: Callable[[], bool]) -> bool:
    def closing() -> bool:
        try:
            return work()
        finally:
            connection.close()

    return await asyncio.to_thread(closing)


async def until(is_true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not await in_thread(is_true):
            await asyncio.sleep(0.02)
