"""`manage.py work` as processes, and what happens when some of them are killed or frozen."""

import contextlib
import os
import signal
from pathlib import Path

import psutil
import pytest
from django_q.models import Schedule, Task
from django_q.tasks import async_task

from aiworkstation.audit.models import AuditEvent
from aiworkstation.ops.watchdog import Watch
from tests.support.processes import descendants, kill, manage, wait_for
from tests.workflows.conftest import Start, chain, error_of, side_by_side
from tests.workflows.engine.test_concurrency import locked
from tests.workflows.engine.test_verbs import actions
from tests.workflows.worker.test_runner import lines
from workflows.models import Worker, WorkflowExecution, WorkflowStep
from workflows.steps import NewStep

pytestmark = pytest.mark.django_db(transaction=True)

FAST = {"WORKERS": "1", "LEASE_SECONDS": "2", "STOP_GRACE": "1"}


def ended(execution: WorkflowExecution, *, seconds: float = 60) -> WorkflowExecution:
    def has_ended() -> bool:
        execution.refresh_from_db()
        return execution.is_finished

    wait_for(has_ended, seconds=seconds, what=f"{execution} has not ended")
    return execution


def running_in(ledger: Path, name: str) -> int:
    """The id of the process that runs the step of this name."""
    found = wait_for(lambda: [line for line in lines(ledger, "start") if line[1] == name], what=f"{name} starts")
    return int(found[-1][3])


def test_it_works(start: Start, ledger: Path, tmp_path: Path) -> None:
    execution = start(*chain(3, "PROBE_SLEEP"), NewStep("c", tool="PROBE_CHILD", arguments={}, depends_on=[2]))
    with manage("work", log=tmp_path / "log", **FAST):
        assert ended(execution).status == "completed"


def test_plain_tasks_and_schedules_run_too(alice: object, tmp_path: Path) -> None:
    task = async_task("math.floor", 3.7)
    failing = async_task("math.floor", "x")
    Schedule.objects.create(func="math.ceil", args="1.2,", schedule_type=Schedule.ONCE, repeats=-1)
    with manage("work", log=tmp_path / "log", **FAST, SCHEDULED_FUNCTIONS="math.ceil"):
        wait_for(lambda: Task.objects.filter(id=task, success=True).exists(), what="the task")
        wait_for(lambda: Task.objects.filter(id=failing, success=False).exists(), what="the failing task")
        wait_for(lambda: Task.objects.filter(func="math.ceil", success=True).exists(), what="the schedule")
    assert Task.objects.get(id=task).result == 3


def test_kill_of_a_runner_in_the_middle_of_a_step(start: Start, ledger: Path, tmp_path: Path) -> None:
    steps = chain(3, "PROBE_SLEEP")
    steps[1].arguments = {"seconds": 1.5}
    execution = start(*steps)
    with manage("work", log=tmp_path / "log", **FAST):
        kill(running_in(ledger, "s1"))
        assert ended(execution).status == "completed"
    started = [name for _, name, *_ in lines(ledger, "start")]
    assert started == ["s0", "s1", "s1", "s2"]
    step = execution.steps.get(index=1)
    assert (step.attempt, step.crashes) == (1, 1)


def test_kill_of_a_parsing_child_disturbs_nobody_else(start: Start, ledger: Path, tmp_path: Path) -> None:
    victim = start(NewStep("victim", tool="PROBE_CHILD", arguments={"seconds": 1.0}))
    other = start(NewStep("other", tool="PROBE_SLEEP", arguments={"seconds": 2.0}))
    with manage("work", log=tmp_path / "log", **FAST):
        (child,) = wait_for(lambda: lines(ledger, "child"), what="the child")
        kill(int(child[3]))
        assert ended(victim).status == "completed"
        assert ended(other).status == "completed"
    step = victim.steps.get()
    assert (step.attempt, step.crashes) == (1, 1)
    assert len(lines(ledger, "child")) == 2
    assert [name for _, name, *_ in lines(ledger, "start")].count("other") == 1


def test_the_third_kill_ends_a_step(start: Start, ledger: Path, tmp_path: Path) -> None:
    victim = start(NewStep("victim", tool="PROBE_CHILD", arguments={"seconds": 20}))
    with manage("work", log=tmp_path / "log", **FAST):
        for number in range(3):
            found = wait_for(lambda n=number: lines(ledger, "child")[n:], what="the child")  # type: ignore[misc]
            kill(int(found[0][3]))
        assert ended(victim).status == "failed"
    step = victim.steps.get()
    assert (error_of(victim)["code"], step.attempt, step.crashes) == ("crashed", 1, 3)


def test_a_tool_that_kills_its_process_ends_as_failed_and_costs_the_others_no_attempt(
    start: Start, ledger: Path, tmp_path: Path
) -> None:
    others = start(*[NewStep(f"o{i}", tool="PROBE_SLEEP", arguments={"seconds": 0.5}) for i in range(4)])
    poison = start(NewStep("poison", tool="PROBE_DIE", arguments={}))
    log = tmp_path / "log"
    with manage("work", log=log, **FAST):
        assert ended(poison).status == "failed", log.read_text()[-2000:]
        assert ended(others).status == "completed"
    step = poison.steps.get()
    assert (error_of(poison)["code"], step.attempt, step.crashes) == ("crashed", 1, 3)
    assert len({pid for _, name, _, pid, _ in lines(ledger, "start") if name == "poison"}) == 3
    assert {step.attempt for step in others.steps.all()} == {1}


def test_nothing_outlives_the_supervisor(start: Start, ledger: Path, tmp_path: Path) -> None:
    execution = start(NewStep("c", tool="PROBE_CHILD", arguments={"seconds": 600}))
    with manage("work", log=tmp_path / "log", **FAST) as work:
        wait_for(lambda: lines(ledger, "child"), what="the child")
        children = descendants(work)
        assert len(children) >= 5
        work.kill()
        wait_for(lambda: not any(alive(child) for child in children), what="children are left")
    execution.refresh_from_db()
    assert execution.status == "running"


def alive(process: psutil.Process) -> bool:
    return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)


@pytest.mark.parametrize("victim", ["tasks 1", "maintenance", "runner 1"])
def test_a_killed_process_is_started_again(start: Start, ledger: Path, tmp_path: Path, victim: str) -> None:
    with manage("work", log=tmp_path / "log", **FAST) as work:
        wait_for(Worker.objects.exists, what="a worker")
        killed = named(work, victim)
        kill(killed)
        wait_for(lambda: named(work, victim) != killed, what="a new child")
        execution = start(*chain(1, "PROBE_SLEEP"))
        task = async_task("math.floor", 1.5)
        assert ended(execution).status == "completed"
        wait_for(lambda: Task.objects.filter(id=task).exists(), what="the task")


def test_a_frozen_runner_and_a_frozen_maintenance_are_replaced(start: Start, ledger: Path, tmp_path: Path) -> None:
    execution = start(NewStep("x", tool="PROBE_SLEEP", arguments={"seconds": 1.0}))
    with manage("work", log=tmp_path / "log", **FAST) as work:
        runner = running_in(ledger, "x")
        frozen = [runner, named(work, "maintenance")]
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        assert ended(execution).status == "completed"
        wait_for(lambda: not any(psutil.pid_exists(pid) for pid in frozen), what="the frozen ones are killed")
    assert [pid for _, _, _, pid, _ in lines(ledger, "end")] != [str(runner)]
    assert execution.steps.get().attempt == 1


def test_a_frozen_supervisor_is_noticed_by_its_parent(alice: object, tmp_path: Path) -> None:
    """`manage.py run` then kills it and starts another: see tests/aiworkstation/ops."""
    watch = Watch(silence=2)
    with manage("work", log=tmp_path / "log", **FAST, **watch.environment) as work:
        wait_for(lambda: not watch.is_hung() and watch._heard_at, what="a sign of life")
        work.suspend()
        wait_for(watch.is_hung, what="the end of the signs")


def named(work: psutil.Process, name: str) -> int:
    """The id of the supervisor's child of this name."""
    return int(
        wait_for(lambda: [child.pid for child in work.children() if process_name(child.pid) == name], what=name)[0]
    )


def process_name(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def test_a_worker_that_was_frozen_as_a_whole_changes_nothing(start: Start, ledger: Path, tmp_path: Path) -> None:
    """Its supervisor was frozen too, so nobody kills the runner, and it continues."""
    execution = start(NewStep("x", tool="PROBE_SLEEP", arguments={"seconds": 1.5}))
    log = tmp_path / "log"
    with manage("work", log=log, **FAST) as frozen:
        victim = running_in(ledger, "x")
        tree = [frozen, *descendants(frozen)]
        for process in tree:
            process.suspend()
        with manage("work", log=tmp_path / "successor", **FAST):
            assert ended(execution).status == "completed"
        recorded = WorkflowStep.objects.values().get()
        for process in reversed(tree):
            process.resume()
        refused = AuditEvent.objects.filter(action="step.result_refused", execution_id=execution.pk)
        wait_for(refused.exists, what="the refusal")
        assert victim in {process.pid for process in descendants(frozen)}
    assert refused.get().actor.endswith(f":{victim}")
    assert WorkflowStep.objects.values().get() == recorded
    assert [pid for _, _, _, pid, _ in lines(ledger, "end")] == [str(running_in(ledger, "x"))]
    assert actions(execution.pk).count("step.completed") == 1


def test_a_maintenance_that_was_frozen_with_a_lock_stops_no_other(start: Start, ledger: Path, tmp_path: Path) -> None:
    execution = start(NewStep("x", tool="PROBE_SLEEP", arguments={"seconds": 2}))
    Schedule.objects.create(func="math.ceil", args="1.2,", schedule_type=Schedule.ONCE, repeats=-1)
    with locked("SELECT FROM django_q_schedule FOR UPDATE"), manage("work", log=tmp_path / "log", **FAST):
        kill(running_in(ledger, "x"))
        assert ended(execution).status == "completed"


@pytest.mark.slow
def test_a_tool_that_holds_the_interpreter_for_half_a_lease_costs_the_others_nothing(
    start: Start, ledger: Path, tmp_path: Path
) -> None:
    """Slow because the others need more than a lease, and half of one must be more than a busy machine stands still."""
    others = start(*[NewStep(f"o{i}", tool="PROBE_SLEEP", arguments={"seconds": 10}) for i in range(5)])
    with manage("work", log=tmp_path / "log", WORKERS="1", LEASE_SECONDS="8", STOP_GRACE="1"):
        running_in(ledger, "o0")
        hold = start(NewStep("h", tool="PROBE_HOLD", arguments={"seconds": 4}))
        assert ended(others).status == "completed"
        assert ended(hold).status == "completed"
    assert not AuditEvent.objects.filter(action__in=["step.lease_lost", "step.returned"]).exists()
    assert len(lines(ledger, "start")) == 6


def test_sigterm_stops_quickly_and_gives_steps_back(start: Start, ledger: Path, tmp_path: Path) -> None:
    execution = start(NewStep("x", tool="PROBE_SLEEP", arguments={"seconds": 600}))
    log = tmp_path / "log"
    with manage("work", log=log, **FAST) as work:
        running_in(ledger, "x")
        children = descendants(work)
        work.terminate()
        wait_for(lambda: not alive(work), what="the end of the supervisor")
        assert not any(alive(child) for child in children)
    assert "did not stop" not in log.read_text(), "the supervisor had to kill a child"
    step = execution.steps.get()
    assert (step.status, step.attempt, step.repeats_attempt) == ("ready", 1, True)
    assert not Worker.objects.exists()


def test_stock_qclusters_end_the_same_jobs(start: Start, ledger: Path, tmp_path: Path) -> None:
    jobs = [
        start(*chain(3, "PROBE_SLEEP"), queue="high"),
        start(*side_by_side(4, "PROBE_SLEEP"), queue="normal", max_parallel=2),
        start(NewStep("c", tool="PROBE_CHILD", arguments={}), queue="low"),
        start(NewStep("f", tool="PROBE_FAIL", arguments={"times": 1})),
    ]
    log = tmp_path / "log"
    with (
        manage("qcluster", log=log, Q_CLUSTER_NAME="high"),
        manage("qcluster", log=log),
        manage("qcluster", log=log, Q_CLUSTER_NAME="low"),
    ):
        for job in jobs:
            assert ended(job).status == "completed", log.read_text()[-3000:]
    assert sorted(name for _, name, *_ in lines(ledger, "end")) == sorted(["s0", "s1", "s2", "s0", "s1", "s2", "s3"])


def test_the_log_says_what_happened(start: Start, ledger: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    execution = start(NewStep("x", tool="PROBE_SLEEP", arguments={"seconds": 1}))
    with manage("work", log=log, **FAST):
        kill(running_in(ledger, "x"))
        ended(execution)
    assert "runner 1 ended (exit -9) and is started again" in log.read_text()
