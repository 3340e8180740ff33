"""Retention, the check of the engine's rows, and the commands for pause, resume, drain and stop."""

import subprocess
import sys
from datetime import timedelta
from io import StringIO
from pathlib import Path

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone
from django_q.models import Schedule, Task
from django_q.tasks import async_task
from pytest_django.fixtures import Settings

from aiworkstation import BASE_DIR
from aiworkstation.audit.models import AuditEvent
from tests.support.processes import database_url, environment, manage, wait_for
from tests.workflows.conftest import Start, chain, side_by_side
from tests.workflows.engine.test_verbs import end, take
from tests.workflows.worker.test_runner import lines
from workflows.engine.consistency import check
from workflows.engine.retention import prune
from workflows.engine.turn import WorkerInfo
from workflows.management.commands import work
from workflows.models import Pause, WorkflowExecution, WorkflowStep


def call(*arguments: str) -> str:
    output = StringIO()
    call_command(*arguments, stdout=output)
    return output.getvalue()


@pytest.fixture
def old(start: Start, worker: WorkerInfo) -> WorkflowExecution:
    execution = start(*chain(1))
    end(worker, take(worker)[0])
    WorkflowExecution.objects.update(finished_at=timezone.now() - timedelta(days=100))
    return execution


def test_prune_deletes_old_jobs_and_keeps_their_events(old: WorkflowExecution, start: Start) -> None:
    new = start(*chain(1))
    events = AuditEvent.objects.count()
    Task.objects.create(id="x", name="x", func="f", started=timezone.now(), stopped=timezone.now() - timedelta(100))
    assert (prune(days=90, dry_run=True).jobs, WorkflowExecution.objects.count()) == (1, 2)
    pruned = prune(days=90)
    assert (pruned.jobs, pruned.steps, pruned.tasks) == (1, 1, 1)
    assert list(WorkflowExecution.objects.all()) == [new]
    assert AuditEvent.objects.count() == events + 1
    assert prune(days=90).jobs == 0


@pytest.mark.django_db(transaction=True)
def test_prune_leaves_a_job_that_is_being_retried(old: WorkflowExecution, start: Start, worker: WorkerInfo) -> None:
    """The retry has its lock and has not committed yet. Nobody waits for it."""
    start(*chain(1))
    end(worker, take(worker)[0])
    WorkflowExecution.objects.update(finished_at=timezone.now() - timedelta(days=100))
    with psycopg.connect(database_url()) as retry, connection.cursor() as cursor:
        retry.execute("UPDATE workflow_executions SET status = 'queued', finished_at = NULL WHERE id = %s", [old.pk])
        cursor.execute("SET lock_timeout = '1s'")
        prune(days=90)
        cursor.execute("RESET lock_timeout")
    assert list(WorkflowExecution.objects.values_list("pk", "status")) == [(old.pk, "queued")]


def test_prune_keeps_everything_with_zero_days(old: WorkflowExecution) -> None:
    assert prune(days=0).jobs == 0
    assert WorkflowExecution.objects.exists()


def test_the_command_says_what_it_would_do(old: WorkflowExecution) -> None:
    assert "Would delete 1 jobs with 1 steps" in call("prune", "--dry-run")
    assert "Deleted 1 jobs" in call("prune")


@pytest.mark.parametrize("days", ["0", "-1", "36501", "1.5", "many", "٣", "9" * 30])
def test_the_command_refuses_a_wrong_number_of_days(old: WorkflowExecution, days: str) -> None:
    with pytest.raises(CommandError, match=r"--days: must be a whole number from 1 to 36,500"):
        call("prune", f"--days={days}")
    assert WorkflowExecution.objects.exists()


def test_the_command_names_the_setting_that_keeps_everything(old: WorkflowExecution, settings: Settings) -> None:
    settings.CONFIG = settings.CONFIG.model_copy(update={"retention_days": 0})
    assert "RETENTION_DAYS is 0" in call("prune")
    assert WorkflowExecution.objects.exists()
    assert "Deleted 1 jobs" in call("prune", "--days", "90")


def test_a_reason_that_is_too_long_is_refused(db: None) -> None:
    with pytest.raises(CommandError, match="--reason: has 301 characters"):
        call("pause", "--reason", "x" * 301)
    assert not Pause.objects.exists()


def test_a_schedule_prunes_daily(db: None) -> None:
    schedule = Schedule.objects.get(func="workflows.engine.retention.prune_daily")
    assert schedule.schedule_type == Schedule.DAILY


def test_every_schedule_of_the_application_may_start(db: None, settings: Settings) -> None:
    assert set(Schedule.objects.values_list("func", flat=True)) <= set(settings.SCHEDULED_FUNCTIONS)


def test_check_engine_finds_nothing_in_normal_operation(start: Start, worker: WorkerInfo) -> None:
    start(*chain(3))
    start(*side_by_side(3), max_parallel=2)
    take(worker, free=2)
    assert check() == []
    assert "0 broken" in call("check_engine")


def test_check_engine_names_broken_rows_and_exits_with_1(start: Start) -> None:
    execution = start(*chain(2))
    WorkflowExecution.objects.update(steps_completed=7)
    output = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("check_engine", stdout=output)
    assert ended.value.code == 1
    assert f"BROKEN  test ({execution.pk})" in output.getvalue()
    assert "counters agree" in output.getvalue()


def test_pause_and_resume_from_the_command_line(db: None) -> None:
    assert "continue to their end" in call("pause", "--reason", "a deploy")
    assert "paused already" in call("pause")
    assert Pause.objects.get().reason == "a deploy"
    assert "Work continues" in call("resume")
    assert "not paused" in call("resume")


@pytest.mark.django_db(transaction=True)
def test_drain_runs_due_work_and_ends(start: Start, ledger: Path, tmp_path: Path) -> None:
    execution = start(*chain(3, "PROBE_SLEEP"))
    later = start(*chain(1, "PROBE_SLEEP"), delay=600)
    task = async_task("math.floor", 2.5)
    with manage("work", "--drain", log=tmp_path / "log", WORKERS="2") as process:
        wait_for(lambda: not process.is_running() or process.status() == "zombie", what="the end of the drain")
    execution.refresh_from_db()
    later.refresh_from_db()
    assert (execution.status, later.status) == ("completed", "waiting")
    assert Task.objects.filter(id=task, success=True).exists()


@pytest.mark.django_db(transaction=True)
def test_a_drain_during_a_pause_says_what_it_left(start: Start) -> None:
    start(*chain(1, "PROBE_SLEEP"), delay=600)
    call("pause", "--reason", "a deploy")
    work.check_drained()  # nothing is due
    start(*chain(1, "PROBE_SLEEP"))
    command = [sys.executable, str(BASE_DIR / "manage.py"), "work", "--drain"]
    done = subprocess.run(
        command, cwd=BASE_DIR, env=environment(WORKERS="1"), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    said = "".join(line for line in done.stderr.splitlines() if line.startswith("CommandError"))
    assert "(a deploy)" in said
    assert "manage.py resume" in said


@pytest.mark.django_db(transaction=True)
def test_a_plain_task_goes_back_when_its_worker_stops(alice: object, tmp_path: Path, ledger: Path) -> None:
    async_task("tests.probe.tasks.slow", str(ledger))
    settings = {"WORKERS": "1", "STOP_GRACE": "0"}
    with manage("work", log=tmp_path / "log", **settings) as process:
        wait_for(lambda: lines(ledger, "plain"), what="the task")
        process.terminate()
        wait_for(
            lambda: not process.is_running() or process.status() == "zombie",
            seconds=40,
            what="an early stop",
        )
    with manage("work", log=tmp_path / "log", **settings):
        wait_for(lambda: len(lines(ledger, "plain")) == 2, what="the task again")
    assert not WorkflowStep.objects.exists()
