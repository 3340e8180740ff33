"""Plain django-q2 tasks: which process takes which, and what happens to their results."""

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.utils import timezone
from django_q.conf import Conf
from django_q.models import OrmQ, Task
from django_q.signals import post_execute
from django_q.signing import SignedPackage
from django_q.tasks import async_chain, async_task

from tests.probe import tasks as probe
from tests.support.processes import kill, manage, wait_for
from tests.workflows.conftest import Start, chain
from tests.workflows.worker.test_runner import lines
from workflows.django_q import broker
from workflows.django_q.messages import drop_orphans
from workflows.django_q.plain_tasks import MAX_CRASHES, PlainTasks
from workflows.django_q.task_lease import TaskLease
from workflows.django_q.task_results import keep_newest
from workflows.engine.pause import pause
from workflows.models import TaskRuns
from workflows.worker.task_process import run_tasks

pytestmark = pytest.mark.django_db(transaction=True)
Package = dict[str, Any]


@pytest.fixture
def tasks() -> Iterator[PlainTasks]:
    yield from draining()


@pytest.fixture
def other() -> Iterator[PlainTasks]:
    yield from draining()


def draining() -> Iterator[PlainTasks]:
    tasks = PlainTasks(TaskLease(), lambda: False, drain=True)
    yield tasks
    for each in (tasks, tasks.lease):
        if each._connection is not None:
            each._connection.close()


@pytest.fixture
def hooked() -> Iterator[list[Any]]:
    probe.hooked.clear()
    yield probe.hooked
    probe.hooked.clear()


def ended(task: Package, result: object = 1, *, success: bool = True) -> Package:
    """The task as django-q2's worker returns it."""
    return {**task, "result": result, "success": success, "stopped": timezone.now()}


def test_it_works(tasks: PlainTasks) -> None:
    task = async_task("math.floor", 1.5, group="g")
    tasks.put(ended(tasks.get()))
    row = Task.objects.get()
    assert (row.id, row.func, row.args, row.kwargs, row.group) == (task, "math.floor", (1.5,), {}, "g")
    assert (row.result, row.success, row.attempt_count, row.cluster) == (1, True, 1, "normal")
    assert not OrmQ.objects.exists()
    assert tasks.get() == "STOP"


def test_queues_in_their_order_and_each_in_its_own(tasks: PlainTasks) -> None:
    for queue, number in (("low", 1), ("normal", 2), ("normal", 3), ("high", 4)):
        async_task("math.floor", number, cluster=queue)
    found = []
    while (task := tasks.get()) != "STOP":
        found.append((task["cluster"], *task["args"]))
        tasks.put(ended(task))
    assert found == [("high", 4), ("normal", 2), ("normal", 3), ("low", 1)]


def test_the_next_is_taken_with_the_commit_that_records_the_last(tasks: PlainTasks, other: PlainTasks) -> None:
    first, second = async_task("math.floor", 1), async_task("math.floor", 2)
    task = tasks.get()
    assert task["id"] == first
    tasks.put(ended(task))
    message = OrmQ.objects.get()
    assert message.lock > timezone.now()
    assert other.get() == "STOP"
    assert tasks.get()["id"] == second


def test_two_do_not_get_the_same(tasks: PlainTasks, other: PlainTasks) -> None:
    for number in range(4):
        async_task("math.floor", number)
    found = []
    for each in (tasks, other, tasks, other):
        task = each.get()
        found += task["args"]
        each.put(ended(task))
    assert sorted(found) == [0, 1, 2, 3]
    assert not OrmQ.objects.exists()


def test_a_message_that_was_not_begun_goes_back(tasks: PlainTasks, other: PlainTasks) -> None:
    async_task("math.floor", 1)
    second = async_task("math.floor", 2)
    tasks.put(ended(tasks.get()))
    tasks.lease.give_back()
    assert other.get()["id"] == second


def test_messages_of_executions_and_pauses_are_left_alone(start: Start, tasks: PlainTasks) -> None:
    start(*chain(1))
    assert tasks.get() == "STOP"
    async_task("math.floor", 1)
    pause(actor="alice")
    assert tasks.get() == "STOP"


def test_waiting_jobs_cost_a_plain_task_nothing(start: Start, tasks: PlainTasks) -> None:
    """With a plan that was made and kept while the queue was empty."""
    for _ in range(3):
        tasks._take()
    for _ in range(200):
        start(*chain(1))
    for number in range(3):
        async_task("math.floor", number)
    line = tasks._open()
    with line.transaction():
        task = tasks.get()
        assert rows_read(line) < 20
        tasks.put(ended(task))
        assert rows_read(line) < 40
    assert tasks.get()["args"] == (1,)


def rows_read(line: psycopg.Connection[Any]) -> int:
    """Rows that this connection read, in its transaction, from the queue and the executions."""
    ((number,),) = line.execute(
        "SELECT sum(seq_tup_read + idx_tup_fetch)::int FROM pg_stat_xact_user_tables"
        " WHERE relname IN ('django_q_ormq', 'workflow_executions')"
    )
    return int(number)


def test_a_job_that_is_gone_leaves_no_message(start: Start) -> None:
    gone, left = start(*chain(1)), start(*chain(1))
    task = async_task("math.floor", 1.5)
    gone.delete()
    drop_orphans()
    assert {message.task_id() for message in OrmQ.objects.exclude(pk=left.message_id)} == {task}
    assert OrmQ.objects.count() == 2


def test_a_message_that_nobody_here_signed_is_left_and_stops_no_other(tasks: PlainTasks) -> None:
    OrmQ.objects.create(key="normal", payload="what is this?", lock=timezone.now() - timedelta(minutes=1))
    task = async_task("math.floor", 1)
    assert tasks.get()["id"] == task
    assert OrmQ.objects.count() == 2


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_result_is_offered_again_after_a_cut(
    monkeypatch: pytest.MonkeyPatch, tasks: PlainTasks, hooked: list[Any], moment: str
) -> None:
    async_chain([("math.floor", (1.5,), {"hook": "tests.probe.tasks.hook"}), ("math.ceil", (1.5,))])
    task = tasks.get()
    line = tasks._open()

    def cut(statement: str, parameters: Any) -> Any:
        monkeypatch.undo()
        if moment == "after":
            line.execute(statement, parameters)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [line.info.backend_pid])
        return line.execute("SELECT")

    monkeypatch.setattr(line, "execute", cut)
    tasks.put(ended(task))
    assert [(row.attempt_count, row.result) for row in (Task.objects.get(), *hooked)] == [(1, 1), (1, 1)]
    message = OrmQ.objects.get()
    assert SignedPackage.loads(message.payload)["func"] == "math.ceil"
    assert line.closed
    assert tasks.get()["func"] == "math.ceil"


def test_a_chain_goes_on_in_its_queue_and_group_and_sends_nothing_twice(tasks: PlainTasks) -> None:
    group = async_chain([("math.floor", (1.5,)), ("math.ceil", (1.5,)), ("math.trunc", (1.5,))])
    found = []
    while (task := tasks.get()) != "STOP":
        found.append((task["func"], task["group"], task["cluster"]))
        tasks.put(ended(task))
    assert found == [(f"math.{name}", group, "normal") for name in ("floor", "ceil", "trunc")]
    assert Task.objects.filter(group=group).count() == 3


@pytest.mark.parametrize("result", ["too long a name", lambda: "cannot be pickled"])
def test_a_result_that_cannot_be_stored_does_not_come_back(tasks: PlainTasks, result: object) -> None:
    async_task("math.floor", 1.5, task_name="x" * (1000 if isinstance(result, str) else 10))
    tasks.put(ended(tasks.get(), result))
    assert not Task.objects.exists()
    assert not OrmQ.objects.exists()


def test_a_hook_gets_the_row_and_nothing_is_taken_before_it_has_run(
    tasks: PlainTasks, other: PlainTasks, hooked: list[Any]
) -> None:
    async_task("math.floor", 1.5, hook="tests.probe.tasks.hook")
    second = async_task("math.floor", 2)
    tasks.put(ended(tasks.get()))
    assert hooked == [Task.objects.get()]
    assert other.get()["id"] == second


def test_django_q2s_signal_is_sent_and_a_receiver_that_raises_stops_nothing(tasks: PlainTasks) -> None:
    seen = []

    def receiver(task: Package, **more: object) -> None:
        seen.append(task["id"])
        raise RuntimeError

    task = async_task("math.floor", 1.5)
    post_execute.connect(receiver)
    try:
        tasks.put(ended(tasks.get()))
    finally:
        post_execute.disconnect(receiver)
    assert seen == [task]
    assert tasks.get() == "STOP"


def test_what_need_not_be_saved_is_not(tasks: PlainTasks) -> None:
    async_task("math.floor", 1.5, save=False)
    tasks.put(ended(tasks.get()))
    assert not Task.objects.exists()
    assert not OrmQ.objects.exists()


def test_a_cached_result_is_in_the_cache(tasks: PlainTasks) -> None:
    from django_q.tasks import result

    task = async_task("math.floor", 1.5, cached=60)
    tasks.put(ended(tasks.get(), 7))
    assert result(task, cached=True) == 7
    assert not Task.objects.exists()
    assert not OrmQ.objects.exists()


def come_back() -> None:
    """Makes the leases run out."""
    OrmQ.objects.update(lock=timezone.now() - timedelta(seconds=1))


def test_a_failure_that_is_not_acknowledged_comes_back_as_often_as_it_may(
    monkeypatch: pytest.MonkeyPatch, tasks: PlainTasks
) -> None:
    monkeypatch.setattr(Conf, "MAX_ATTEMPTS", 2)
    async_task("math.floor", "x", ack_failure=False)
    tasks.put(ended(tasks.get(), "first", success=False))
    come_back()
    tasks.put(ended(tasks.get(), "second", success=False))
    row = Task.objects.get()
    assert (row.result, row.attempt_count, row.success) == ("second", 2, False)
    assert not OrmQ.objects.exists()


def test_who_lost_the_lease_consumes_nothing_and_overwrites_no_success(tasks: PlainTasks, other: PlainTasks) -> None:
    async_task("math.floor", 1)
    late = tasks.get()
    come_back()
    task = other.get()
    tasks.put(ended(late, "late", success=False))
    assert OrmQ.objects.exists()
    other.put(ended(task, "good"))
    assert not OrmQ.objects.exists()
    tasks.put(ended(late, "later still", success=False))
    assert Task.objects.get().result == "good"


def test_a_lease_that_is_renewed_is_still_its_holders(tasks: PlainTasks) -> None:
    async_task("math.floor", 1)
    task = tasks.get()
    before = OrmQ.objects.get().lock
    tasks.lease.renew()
    assert OrmQ.objects.get().lock > before
    tasks.put(ended(task))
    assert not OrmQ.objects.exists()


def test_only_the_newest_results_are_kept(monkeypatch: pytest.MonkeyPatch, db: None) -> None:
    now = timezone.now()
    for number in range(6):
        stopped = now - timedelta(seconds=number)
        Task.objects.create(id=number, name="x", func="f", started=now, stopped=stopped, success=number != 5)
    monkeypatch.setattr(Conf, "SAVE_LIMIT", 3)
    keep_newest()
    assert sorted(Task.objects.values_list("id", flat=True)) == ["0", "1", "2", "5"]
    monkeypatch.setattr(Conf, "SAVE_LIMIT", 0)
    keep_newest()
    assert Task.objects.count() == 4


def test_a_slow_task_holds_up_no_other(alice: object, ledger: Path, tmp_path: Path) -> None:
    with manage("work", log=tmp_path / "log", WORKERS="1", STOP_GRACE="0"):
        async_task("tests.probe.tasks.slow", str(ledger))
        wait_for(lambda: lines(ledger, "plain"), what="the slow task")
        quick = [async_task("math.floor", number) for number in range(20)]
        wait_for(lambda: Task.objects.filter(id__in=quick).count() == 20, seconds=40, what="the others, before it ends")


def test_a_killed_childs_task_comes_back_within_a_lease(alice: object, ledger: Path, tmp_path: Path) -> None:
    async_task("tests.probe.tasks.slow", str(ledger))
    with manage("work", log=tmp_path / "log", WORKERS="1", LEASE_SECONDS="2", STOP_GRACE="0"):
        ((_, victim),) = wait_for(lambda: lines(ledger, "plain"), what="the task")
        time.sleep(3)
        assert len(lines(ledger, "plain")) == 1, "a lease that is kept runs out"
        kill(int(victim))
        wait_for(lambda: len(lines(ledger, "plain")) == 2, seconds=25, what="the task again, before a usual lease ends")


def test_each_runs_once_though_children_are_replaced(alice: object, ledger: Path, tmp_path: Path) -> None:
    """django-q2 replaces a worker after 500 tasks."""
    number = 1200
    for word in range(number):
        async_task("tests.probe.tasks.note", str(ledger), str(word))
    log = tmp_path / "log"
    with manage("work", log=log, WORKERS="2"):
        wait_for(lambda: not OrmQ.objects.exists(), what="the end of all")
        assert "ended (exit 0) and is started again" in log.read_text()
    assert sorted(int(word) for _, word in lines(ledger, "plain")) == list(range(number))
    mine = Task.objects.filter(func="tests.probe.tasks.note", success=True, attempt_count=1)
    assert mine.count() == number, "the others are of schedules"


@pytest.mark.parametrize("how", ["sys.exit", "KeyboardInterrupt", "GeneratorExit"])
def test_a_task_that_ends_its_process_has_failed(alice: object, ledger: Path, tmp_path: Path, how: str) -> None:
    task = async_task("tests.probe.tasks.leave", str(ledger), how)
    with manage("work", "--drain", log=tmp_path / "log", WORKERS="1", LEASE_SECONDS="1") as work:
        work.wait(60)
    row = Task.objects.get(id=task)
    assert (row.success, row.attempt_count) == (False, 1)
    assert {"sys.exit": "SystemExit(3)"}.get(how, how) in row.result
    assert task not in {message.task_id() for message in OrmQ.objects.all()}
    assert [word for _, word in lines(ledger, "plain")] == [how]


@pytest.mark.parametrize("how", ["os._exit", "SIGSEGV", "SIGKILL"])
def test_a_task_that_kills_its_process_fails_in_the_end(alice: object, ledger: Path, tmp_path: Path, how: str) -> None:
    task = async_task("tests.probe.tasks.die", str(ledger), how)
    with manage("work", log=tmp_path / "log", WORKERS="1", LEASE_SECONDS="1"):
        wait_for(lambda: Task.objects.filter(id=task).exists(), what="its failure")
        other = async_task("math.floor", 1.5)
        wait_for(lambda: Task.objects.filter(id=other, success=True).exists(), what="another task")
    row = Task.objects.get(id=task)
    assert (row.success, row.attempt_count) == (False, 1)
    assert row.result == f"its process died {MAX_CRASHES} times while it ran this task, so it is not run again"
    assert [word for _, word in lines(ledger, "plain")] == [how] * MAX_CRASHES
    assert not TaskRuns.objects.exists()


def crash(tasks: PlainTasks) -> None:
    """Simulates the death of the process that runs the tasks: only the lease is left, and it runs out."""
    tasks.lease.leave()
    OrmQ.objects.update(lock=timezone.now() - timedelta(seconds=1))


def test_runs_that_end_are_not_counted(tasks: PlainTasks) -> None:
    for _ in range(2 * MAX_CRASHES):
        task = async_task("math.floor", 1)
        tasks.get()
        crash(tasks)
        assert tasks.get()["id"] == task
        assert TaskRuns.objects.get().runs == 2
        tasks.put(ended(tasks._current or {}))
        assert not TaskRuns.objects.exists()


def test_a_task_that_is_given_back_has_not_crashed(tasks: PlainTasks) -> None:
    task = async_task("math.floor", 1)
    for _ in range(2 * MAX_CRASHES):
        assert tasks.get()["id"] == task
        tasks.lease.give_back()
        tasks._current = None
        assert not TaskRuns.objects.exists()


def test_a_task_that_cannot_be_read_here_has_not_crashed(tasks: PlainTasks) -> None:
    async_task("tests.probe.tasks.unreadable", probe.Unreadable())
    for _ in range(2 * MAX_CRASHES):
        assert tasks.get() == "STOP"
        OrmQ.objects.update(lock=timezone.now() - timedelta(seconds=1))
    assert (OrmQ.objects.count(), TaskRuns.objects.count(), Task.objects.count()) == (1, 0, 0)


def test_counts_of_deleted_messages_are_dropped(tasks: PlainTasks) -> None:
    async_task("math.floor", 1)
    tasks.get()
    crash(tasks)
    drop_orphans()
    assert TaskRuns.objects.count() == 1
    OrmQ.objects.all().delete()
    drop_orphans()
    assert TaskRuns.objects.count() == 0


def test_a_message_that_cannot_be_unpickled_stops_no_other(tasks: PlainTasks) -> None:
    async_task("tests.probe.tasks.unreadable", probe.Unreadable())
    task = async_task("math.floor", 1)
    assert tasks.get()["id"] == task
    assert OrmQ.objects.count() == 2


def test_a_stock_cluster_takes_messages_by_an_index_however_many_are_due(start: Start) -> None:
    now = timezone.now()
    messages = [OrmQ(key=f"{prefix}normal", payload="x", lock=now) for prefix in ("", "jobs-") for _ in range(3000)]
    OrmQ.objects.bulk_create(messages)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE django_q_ormq")
        values: dict[str, Any] = {"until": now, "keys": ["normal", "jobs-normal"], "limit": 1}
        cursor.execute(f"EXPLAIN {broker._TAKE}", values)
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "workflow_queue_order" in plan
    assert "Seq Scan on django_q_ormq" not in plan


def test_an_error_outside_a_task_ends_the_process(monkeypatch: pytest.MonkeyPatch, db: None) -> None:
    """Its supervisor logs this and restarts it after a back-off."""

    def fails(self: PlainTasks) -> None:
        raise LookupError("the table is gone")

    monkeypatch.setattr(PlainTasks, "get", fails)
    monkeypatch.setattr("workflows.worker.task_process.TaskLeaseRenewer.start", lambda self: None)
    with pytest.raises(LookupError):
        run_tasks(lambda: None, lambda: False, drain=True)
