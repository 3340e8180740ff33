"""A runner in the test's process: lanes, all kinds of outcomes, cancel, stop."""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from django.db import connection

from aiworkstation.audit.models import AuditEvent
from tests.support.processes import environment
from tests.support.runner import work as work
from tests.workflows.conftest import Start, chain, error_of, side_by_side
from workflows import engine
from workflows.database_connections import connect
from workflows.engine.claims import Claim
from workflows.engine.leases import RENEW
from workflows.engine.outcomes import Outcome
from workflows.engine.turn import take_turn
from workflows.steps import NewStep
from workflows.worker.capacity import EndedStep, SlotSizes
from workflows.worker.lease_renewer import LeaseRenewer
from workflows.worker.runner import Runner

pytestmark = pytest.mark.django_db(transaction=True)


def lines(ledger: Path, word: str) -> list[list[str]]:
    return [line.split() for line in ledger.read_text().splitlines() if line.startswith(word)]


def test_it_works(start: Start, ledger: Path) -> None:
    execution = start(*chain(5, "PROBE_SLEEP"))
    work(execution)
    assert execution.status == "completed"
    assert [name for _, name, *_ in lines(ledger, "start")] == ["s0", "s1", "s2", "s3", "s4"]


def test_max_parallel_is_a_sliding_window(start: Start, ledger: Path) -> None:
    steps = [NewStep(f"s{i}", tool="PROBE_SLEEP", arguments={"seconds": 1.5 if i == 0 else 0.05}) for i in range(8)]
    execution = start(*steps, max_parallel=2)
    work(execution)
    ended = [name for _, name, *_ in lines(ledger, "end")]
    # A batch would have waited for s0 before s2 began.
    assert ended.index("s0") >= 2
    assert sorted(ended) == sorted(f"s{i}" for i in range(8))


def test_a_retry_comes_after_its_delay(start: Start, ledger: Path) -> None:
    execution = start(NewStep("x", tool="PROBE_FAIL", arguments={"times": 1}))
    work(execution)
    first, second = (float(line[4]) for line in lines(ledger, "start"))
    assert execution.status == "completed"
    assert second - first >= 0.7
    assert execution.steps.get().attempt == 2


def test_a_permanent_failure_is_not_retried(start: Start, ledger: Path) -> None:
    execution = start(NewStep("x", tool="PROBE_FAIL", arguments={"times": 9, "retryable": False}))
    work(execution)
    assert execution.status == "failed"
    assert len(lines(ledger, "start")) == 1


def test_waits_hold_no_slot_and_are_no_attempts(start: Start, ledger: Path) -> None:
    waiting = start(NewStep("w", tool="PROBE_WAIT", arguments={"times": 2, "delay": 0.3}, max_attempts=1))
    other = start(*chain(2, "PROBE_SLEEP"))
    work(waiting, other, sizes=SlotSizes(coroutines=1))
    assert (waiting.status, waiting.steps.get().attempt) == ("completed", 1)
    names = [name for _, name, *_ in lines(ledger, "start")]
    assert names.index("s1") < len(names) - 1


def test_a_slot_that_was_left_goes_to_the_next_step(start: Start, ledger: Path) -> None:
    execution = start(*side_by_side(3, "PROBE_LEAVE", seconds=1.0))
    work(execution, sizes=SlotSizes(children=1))
    assert [line.split()[0] for line in ledger.read_text().splitlines()] == ["start"] * 3 + ["end"] * 3


def test_a_step_that_was_cut_off_has_no_slot_to_leave(start: Start, ledger: Path) -> None:
    execution = start(*side_by_side(2, "PROBE_LEAVE", seconds=0.5, late=True))
    runners: list[Runner] = []

    async def during(runner: Runner) -> None:
        runners.append(runner)
        while len(lines(ledger, "start")) < 2:
            await asyncio.sleep(0.01)
        runner.cut_off(list(runner.held), "returned")

    work(execution, sizes=SlotSizes(children=2), during=during)
    assert execution.status == "completed"
    assert len(lines(ledger, "start")) == 4
    assert {name: kind.busy for name, kind in runners[0].capacity.pools.items()} == dict.fromkeys(runners[0].sizes, 0)


@pytest.mark.parametrize(("stopped_as", "starts"), [("returned", 1), ("cancelled", 0)])
def test_a_step_that_is_cut_off_before_it_begins_is_not_held(
    start: Start, ledger: Path, monkeypatch: pytest.MonkeyPatch, stopped_as: str, starts: int
) -> None:
    execution = start(*chain(1, "PROBE_SLEEP"))
    begin, cut = Runner._begin, list[Claim]()

    def begin_and_cut_off(runner: Runner, claims: list[Claim], ended: list[EndedStep]) -> None:
        begin(runner, claims, ended)
        if claims and not cut:
            cut.extend(claims)
            if stopped_as == "cancelled":
                in_other_thread_at_once(lambda: engine.cancel(execution.pk, actor="alice"))
            runner.cut_off([claim.token for claim in claims], stopped_as)

    monkeypatch.setattr(Runner, "_begin", begin_and_cut_off)
    work(execution, limit=20)
    assert execution.status == ("completed" if starts else "cancelled")
    assert len(lines(ledger, "start")) == starts


def in_other_thread_at_once(function: Callable[[], object]) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(in_other_thread, function).result()


def test_a_step_that_takes_too_long_fails_its_attempt(start: Start, ledger: Path) -> None:
    step = NewStep("x", tool="PROBE_SLEEP", arguments={"seconds": 30}, timeout_seconds=1, max_attempts=1)
    execution = start(step)
    work(execution)
    assert error_of(execution)["code"] == "timed_out"


@pytest.mark.parametrize(("tool", "status"), [("PROBE_ODD", "failed"), ("PROBE_NUL", "completed")])
def test_odd_results_affect_only_their_step(start: Start, ledger: Path, tool: str, status: str) -> None:
    odd = start(NewStep("odd", tool=tool, arguments={}, max_attempts=1))
    fine = start(*chain(3, "PROBE_SLEEP"))
    work(odd, fine)
    assert (odd.status, fine.status) == (status, "completed")


@pytest.mark.parametrize("depth", [201, 500, 5000])
def test_a_result_that_is_nested_too_deeply_fails_at_once(start: Start, ledger: Path, depth: int) -> None:
    execution = start(NewStep("deep", tool="PROBE_DEEP", arguments={"depth": depth}))
    work(execution)
    error = error_of(execution)
    assert (error["code"], error["retryable"]) == ("bad_output", False)
    assert "nested" in error["message"]
    assert execution.steps.get().attempt == 1


def test_a_database_that_went_away_costs_no_attempt(start: Start, ledger: Path) -> None:
    execution = start(NewStep("x", tool="PROBE_DATABASE", arguments={}, max_attempts=1))
    work(execution)
    assert (execution.status, execution.steps.get().attempt) == ("completed", 1)
    assert len(lines(ledger, "start")) == 2


def test_a_timeout_while_the_process_stood_still_is_no_attempt(start: Start, ledger: Path) -> None:
    steps = [
        NewStep("own", tool="PROBE_LIMITED", arguments={"seconds": 0.8, "patience": 1.2}, max_attempts=1),
        NewStep("limit", tool="PROBE_SLEEP", arguments={"seconds": 0.8}, timeout_seconds=1, max_attempts=1),
    ]
    execution = start(*steps)

    async def stand_still(runner: Runner) -> None:
        while len(lines(ledger, "start")) < 2:
            await asyncio.sleep(0.01)
        time.sleep(2.5)

    work(execution, during=stand_still)
    assert execution.status == "completed"
    assert [step.attempt for step in execution.steps.all()] == [1, 1]


def test_a_timeout_of_the_tool_is_an_error_of_the_tool(start: Start, ledger: Path) -> None:
    execution = start(NewStep("x", tool="PROBE_OWN_TIMEOUT", arguments={}, max_attempts=1))
    work(execution)
    assert error_of(execution) == {"code": "exception", "message": "TimeoutError: a socket", "retryable": True}


def test_bad_arguments_name_what_is_wrong(start: Start, ledger: Path) -> None:
    execution = start(NewStep("x", tool="PROBE_SLEEP", arguments={"seconds": "many", "minutes": 1}))
    work(execution)
    error = error_of(execution)
    assert error["code"] == "bad_arguments"
    assert "seconds" in error["message"]
    assert "minutes" in error["message"]


def test_cancel_cuts_a_running_step_off(start: Start, ledger: Path) -> None:
    execution = start(NewStep("x", tool="PROBE_SLEEP", arguments={"seconds": 60}))
    cut: list[float] = []

    async def cancel(runner: Runner) -> None:
        while not runner.held:
            await asyncio.sleep(0.01)
        began = time.monotonic()
        await asyncio.to_thread(in_other_thread, lambda: engine.cancel(execution.pk, actor="alice"))
        while runner.held:
            await asyncio.sleep(0.01)
        cut.append(time.monotonic() - began)

    work(execution, during=cancel)
    assert execution.status == "cancelled"
    assert not lines(ledger, "end")
    assert cut[0] < 50


def test_a_cancel_whose_notification_got_lost_is_seen_too(
    start: Start, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution = start(NewStep("x", tool="PROBE_SLEEP", arguments={"seconds": 60}))
    monkeypatch.setattr("workflows.worker.listener.Listener._handle", ignore)

    async def cancel(runner: Runner) -> None:
        while not runner.held:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(in_other_thread, lambda: engine.cancel(execution.pk, actor="alice"))
        while runner.held:
            await asyncio.sleep(0.01)

    work(execution, during=cancel)
    assert not lines(ledger, "end")


async def ignore(listener: object, connection: object, channel: str, payload: str) -> None:
    """Replaces Listener._handle."""


def in_other_thread(function: Callable[[], object]) -> object:
    try:
        return function()
    finally:
        connection.close()


def test_a_stop_gives_running_steps_back_at_once(start: Start, ledger: Path) -> None:
    execution = start(NewStep("x", tool="PROBE_SLEEP", arguments={"seconds": 60}))

    async def main() -> None:
        runner = Runner("worker test", 30, SlotSizes())
        running = asyncio.create_task(runner.run())
        while not runner.held:
            await asyncio.sleep(0.01)
        await runner.stop(grace=0.1)
        await asyncio.wait_for(running, 30)

    asyncio.run(main())
    step = execution.steps.get()
    assert (step.status, step.attempt, step.repeats_attempt, step.crashes) == ("ready", 1, True, 0)
    execution.refresh_from_db()
    assert execution.message_id is not None


def test_a_cut_connection_costs_no_attempt(start: Start, ledger: Path) -> None:
    execution = start(NewStep("x", tool="PROBE_SLEEP", arguments={"seconds": 1}), *chain(3, "PROBE_SLEEP")[1:])

    async def cut(runner: Runner) -> None:
        while not runner.held:
            await asyncio.sleep(0.01)
        async with await connect("engine", "the cutter") as own:
            await own.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND application_name LIKE 'worker test%%'"
            )

    work(execution, during=cut)
    assert execution.status == "completed"
    assert all(step.attempt == 1 and step.crashes == 0 for step in execution.steps.all())


@pytest.mark.parametrize("is_committed", [True, False])
def test_a_finished_result_is_offered_until_the_database_takes_it(
    start: Start, ledger: Path, monkeypatch: pytest.MonkeyPatch, is_committed: bool
) -> None:
    execution = start(*chain(2, "PROBE_SLEEP"))
    cuts = iter([True, True])

    async def unlucky(connection, worker, outcomes, *rest, **options):  # type: ignore[no-untyped-def]
        is_cut = bool(outcomes) and next(cuts, False)
        result = None
        if is_committed or not is_cut:
            result = await take_turn(connection, worker, outcomes, *rest, **options)
        if is_cut:
            raise psycopg.OperationalError("cut")
        return result

    monkeypatch.setattr("workflows.worker.runner.take_turn", unlucky)
    work(execution)
    assert execution.status == "completed"
    assert [name for _, name, *_ in lines(ledger, "end")].count("s0") == 1
    assert all(step.attempt == 1 for step in execution.steps.all())


def test_a_blocking_tool_does_not_stop_the_others(start: Start, ledger: Path) -> None:
    blocking = start(NewStep("b", tool="PROBE_BLOCK", arguments={"seconds": 0.8}))
    other = start(*chain(3, "PROBE_SLEEP"))
    work(blocking, other)
    assert [name for _, name, *_ in lines(ledger, "end")] == ["s0", "s1", "s2", "b"]


@pytest.mark.slow
def test_a_step_of_ten_leases_runs_once(start: Start, ledger: Path) -> None:
    """Slow because a lease takes at least a second.

    If the machine stands still for most of a lease, the test is repeated with a longer lease.
    """
    assert any(runs_once(start, ledger, lease) for lease in (1, 4))


def runs_once(start: Start, ledger: Path, lease: int) -> bool:
    execution = start(NewStep(f"x{lease}", tool="PROBE_SLEEP", arguments={"seconds": 10 * lease}))
    stop = threading.Event()

    def reap() -> None:
        while not stop.wait(0.1):
            in_other_thread(engine.reap)

    reaper = threading.Thread(target=reap)
    reaper.start()
    work(execution, lease=lease, limit=300)
    stop.set()
    reaper.join()
    starts = [name for _, name, *_ in lines(ledger, "start") if name == f"x{lease}"]
    return len(starts) == 1 and execution.steps.get().crashes == 0


def test_a_step_is_stopped_within_its_lease_while_its_renewal_hangs(
    start: Start, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network is silent: no statement fails, and none returns."""
    execution = start(NewStep("x", tool="PROBE_SLEEP", arguments={"seconds": 1.2}))
    execute, hung = LeaseRenewer._execute, threading.Event()

    def hanging(renewer: LeaseRenewer, statement: str, parameters: dict[str, object]) -> object:
        if statement == RENEW and not hung.is_set():
            hung.set()
            time.sleep(2)
        return execute(renewer, statement, parameters)

    monkeypatch.setattr(LeaseRenewer, "_execute", hanging)
    work(execution, lease=1)
    first, second = AuditEvent.objects.filter(action__in=["step.started", "step.returned"]).order_by("id")[:2]
    assert (first.action, second.action) == ("step.started", "step.returned")
    assert (second.at - first.at).total_seconds() < 1.9
    assert execution.status == "completed"
    assert execution.steps.get().attempt == 1


def test_claims_whose_answer_is_late_are_not_begun(start: Start, ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    execution = start(*chain(1, "PROBE_SLEEP"))
    late: list[object] = []

    async def slow(*arguments, **options):  # type: ignore[no-untyped-def]
        result = await take_turn(*arguments, **options)
        if result.claims and not late:
            late.append(result)
            await asyncio.sleep(1)
        return result

    monkeypatch.setattr("workflows.worker.runner.take_turn", slow)
    work(execution, lease=1)
    step = execution.steps.get()
    assert (step.status, step.attempt, step.crashes) == ("completed", 1, 0)
    assert AuditEvent.objects.filter(action="step.returned").count() == 1
    assert len(lines(ledger, "start")) == 1


def test_a_process_that_cannot_start_is_a_wait(start: Start, ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    execution = start(*chain(1, "PROBE_SLEEP"))
    execution.steps.update(crashes=2)

    async def start_nothing() -> None:
        monkeypatch.undo()
        for name, value in environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("PROBE_LEDGER", str(ledger))
        raise OSError("Cannot allocate memory")

    monkeypatch.setattr("workflows.worker.crash_isolation._start_child", start_nothing)
    work(execution)
    step = execution.steps.get()
    assert (step.status, step.attempt, step.crashes) == ("completed", 1, 2)
    assert AuditEvent.objects.filter(action="step.waiting", changes__error__code="not_started").count() == 1


def test_only_some_are_alone_at_once(start: Start, ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A runner that was killed twice leaves hundreds of steps. That many processes would block the machine."""
    execution = start(*side_by_side(16, "PROBE_SLEEP"), max_parallel=16)
    execution.steps.update(crashes=2)
    now, most = 0, 0

    async def perform(claim: Claim, report: object) -> Outcome:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.05)
        now -= 1
        return Outcome.completed(claim, None)

    monkeypatch.setattr("workflows.worker.runner.execute_alone", perform)
    work(execution, sizes=SlotSizes(alone=3))
    assert execution.status == "completed"
    assert most == 3


def test_children_work_side_by_side_and_the_third_crash_ends_the_step(
    start: Start, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment().items():  # for the process in which the third run is alone
        monkeypatch.setenv(name, value)
    poison = start(NewStep("p", tool="PROBE_CHILD", arguments={"function": "die"}))
    good = start(*side_by_side(4, "PROBE_CHILD"))
    work(poison, good, sizes=SlotSizes(children=2))
    step = poison.steps.get()
    assert (step.status, error_of(poison)["code"], step.attempt, step.crashes) == ("failed", "crashed", 1, 3)
    assert good.status == "completed"
    assert all(step.attempt == 1 for step in good.steps.all())


def test_a_child_has_no_secrets(start: Start, ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "of-nobodys-business")
    execution = start(*side_by_side(1, "PROBE_CHILD"))
    work(execution)
    output = execution.steps.get().output
    assert isinstance(output, dict)
    names = output["names"]
    assert "PATH" in names
    assert not {"OPENAI_API_KEY", "SECRET_KEY", "DATABASE_URL"} & set(names)
