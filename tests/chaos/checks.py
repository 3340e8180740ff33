"""What must have held in the chaos run. Each check prints its figure; any that does not hold fails the run."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate, pairwise
from statistics import median
from urllib.parse import urlsplit
from uuid import UUID

from django.db import connection
from django_q.models import OrmQ, Task

from tests.chaos.faults import DEATH, STALL
from tests.chaos.ledger import START, Line
from tests.chaos.seen import ZOMBIE, Seen
from tests.chaos.trail import OUTCOMES, Trail
from workflows.engine.consistency import check as broken_rules
from workflows.models import WorkflowExecution, WorkflowStep

SHOWN = 5


@dataclass
class Result:
    """`problems` has a line for each thing that is not as it must be."""

    name: str
    figure: str
    problems: list[str]

    def __str__(self) -> str:
        more = [f"        … and {len(self.problems) - SHOWN} more"] if len(self.problems) > SHOWN else []
        head = f"{'FAILS' if self.problems else 'holds'}  {self.name}: {self.figure}"
        return "\n".join([head, *(f"        {problem}" for problem in self.problems[:SHOWN]), *more])


CHECKS: list[Callable[[Seen], Result]] = []


def check(function: Callable[[Seen], Result]) -> Callable[[Seen], Result]:
    CHECKS.append(function)
    return function


# --- ends


@check
def every_job_ends_as_it_should(seen: Seen) -> Result:
    problems = []
    for execution in seen.trail.executions:
        steps = seen.trail.steps_of(execution)
        states = [step.status for step in steps]
        if execution.status != execution.payload["status"] or states != execution.payload["steps"]:
            problems.append(f"{execution.name} ({execution.pk}) is {execution.status}: {states}")
    number = len(seen.trail.executions)
    return Result("every execution ends as it should", f"{number} with {len(seen.trail.steps)} steps", problems)


@check
def no_acknowledged_job_is_lost(seen: Seen) -> Result:
    there = {execution.pk for execution in seen.trail.executions}
    lost = [f"{execution} is gone" for execution in seen.acknowledged if execution not in there]
    return Result("no acknowledged job is lost", f"{len(seen.acknowledged)} acknowledged", lost)


@check
def every_step_has_one_outcome(seen: Seen) -> Result:
    problems = [
        f"step {step} ({row.name} of {row.execution_id}) is {row.status}: {seen.trail.finals[step]}"
        for step, row in seen.trail.steps.items()
        if seen.trail.finals[step] != [f"step.{row.status}"]
    ]
    number = sum(len(finals) for finals in seen.trail.finals.values())
    return Result("every step has one recorded outcome", f"{number} outcomes", problems)


@check
def every_claim_has_one_end(seen: Seen) -> Result:
    """A refused result that had changed something would be a second end."""
    problems = seen.trail.problems + [f"{claim}" for claim in seen.trail.claims if not claim.end]
    figure = f"{len(seen.trail.claims)} claims, {seen.trail.refused} results refused"
    return Result("every claim has one end, by its holder; refused results changed nothing", figure, problems)


@check
def late_results_are_refused(seen: Seen) -> Result:
    """At least those of the worker that was frozen at the beginning, past its lease: see `comeback`."""
    problems = [] if seen.trail.refused else ["none was refused"]
    return Result("a worker that comes back too late is refused", f"{seen.trail.refused} results", problems)


# --- repetitions


@check
def every_repetition_is_explained(seen: Seen) -> Result:
    lost = [claim for claim in seen.trail.claims if claim.end not in OUTCOMES]
    problems = [f"{claim} without a fault" for claim in lost if not seen.explained(claim)]
    counted: dict[str, int] = defaultdict(int)
    for claim in lost:
        counted[f"{claim.end.removeprefix('step.')} {claim.reason}".strip()] += 1
    figure = ", ".join(f"{number} {end}" for end, number in sorted(counted.items())) or "none"
    return Result("every claim without an outcome is explained by a fault at its worker", figure, problems)


@check
def lost_steps_go_on_soon(seen: Seen) -> Result:
    """From the last fault at their worker on. One maintenance may be frozen meanwhile, for six leases, and the other be
    killed; then come the step's own lease, and a lease's grace after PostgreSQL's start and the new maintenance's.
    """
    limit = 9 * seen.lease
    waits = {}
    for claim in seen.trail.claims:
        began = [fault.began for fault in seen.hits(claim) if fault.effect in (DEATH, STALL)]
        if claim.end == "step.lease_lost" and began:
            waits[str(claim)] = claim.ended - max(began)
    problems = [f"{claim} after {wait:.1f} s" for claim, wait in waits.items() if wait > limit]
    figure = f"{max(waits.values(), default=0):.1f} s at most, {median(waits.values() or [0]):.1f} s in the median"
    return Result(f"what a dead worker left goes on within {limit:.0f} s", figure, problems)


@check
def what_is_recorded_did_happen(seen: Seen) -> Result:
    """In the ledger of each completed step there is one whole run by the process that recorded it."""
    completed = [claim for claim in seen.trail.claims if claim.end == "step.completed" and seen.keeps_a_ledger(claim)]
    problems = [f"{claim}, but there it did not run" for claim in completed if seen.run_of(claim) is None]
    return Result("what is recorded as completed did run to its end", f"{len(completed)} runs", problems)


@check
def every_call_belongs_to_a_claim(seen: Seen) -> Result:
    """Each claim calls once at most; so every repeated call is explained as its claim is."""
    claims = Counter(claim.step for claim in seen.trail.claims)
    problems = []
    with seen.server.guard:
        called = {step: keys.total() for keys in seen.server.keys.values() for step in keys}
    for step, row in seen.trail.steps.items():
        calls = called.get(step, 0)
        if not (row.status == "completed") <= calls <= claims[step]:
            problems.append(f"step {step} ({row.status}) called {calls} times in {claims[step]} claims")
    repeated = sum(number - 1 for number in called.values())
    return Result("every call belongs to a claim", f"{sum(called.values())} calls, {repeated} repeated", problems)


@check
def every_start_has_a_claim(seen: Seen) -> Result:
    """In the ledger as many starts as claims at most, each by the process that claimed."""
    starts = [line for line in seen.ledger if line.word == START]
    free = defaultdict(list)
    for claim in seen.trail.claims:
        free[claim.step, claim.pid].append(claim.began)
    problems = []
    for line in starts:
        began = free[line.step, line.holder]
        if began and began[0] <= line.at:
            began.pop(0)
        else:
            problems.append(f"step {line.step} starts in {line.pid} at {line.at:.2f} without a claim")
    repeated = len(starts) - len({(line.step, line.attempt) for line in starts})
    return Result("every start belongs to a claim", f"{len(starts)} starts, {repeated} repeat an attempt", problems)


@check
def what_was_begun_is_offered(seen: Seen) -> Result:
    """Only claims that their worker never heard of may go back as lost; what it ran it offers until it is taken."""
    starts: dict[tuple[str, int], list[float]] = defaultdict(list)
    for line in seen.ledger:
        if line.word == START:
            starts[line.step, line.holder].append(line.at)
    lost = [claim for claim in seen.trail.claims if claim.reason == "answer lost"]
    problems = [
        f"{claim}, but it had begun"
        for claim in lost
        if any(claim.began <= at <= claim.ended for at in starts[claim.step, claim.pid])
    ]
    return Result("what was begun is offered until it is taken", f"{len(lost)} claims never heard of", problems)


@check
def no_step_runs_twice_at_once(seen: Seen) -> Result:
    """But for what a frozen process does until it sees that it is late, and for threads, which nobody can stop."""
    problems, pairs = [], 0
    for step, runs in _runs(seen.ledger).items():
        for (_, last, line), (began, _, _) in pairwise(runs):
            pairs += 1
            if last > began and line.kind != "thread" and not seen.frozen(line.holder, last):
                problems.append(f"step {step} still ran in {line.pid} {last - began:.2f} s after its successor began")
    return Result("no step runs twice at once, but for frozen processes", f"{pairs} successors", problems)


@check
def one_idempotency_key_a_step(seen: Seen) -> Result:
    problems = []
    steps = {urlsplit(step.arguments["url"]).path: pk for pk, step in seen.trail.steps.items() if step.arguments}
    calls = 0
    with seen.server.guard:
        for path, keys in seen.server.keys.items():
            calls += sum(keys.values())
            if list(keys) != [steps.get(path)]:
                problems.append(f"{path} was called with {dict(keys)}")
    figure = f"{len(seen.server.keys)} steps called {calls} times"
    return Result("one idempotency key a step", figure, problems)


@check
def faults_are_no_attempts(seen: Seen) -> Result:
    problems = []
    for execution in seen.trail.executions:
        for step, wanted in zip(seen.trail.steps_of(execution), execution.payload["attempts"], strict=True):
            if step.attempt != wanted and not (wanted == -1 and step.attempt <= 1):
                problems.append(f"{step.name} of {execution.pk}: attempt {step.attempt}, not {wanted}")
    crashes = sum(step.crashes for step in seen.trail.steps.values())
    return Result("attempts are not raised by faults", f"{crashes} crashes counted", problems)


# --- order


@check
def a_step_begins_after_those_before_it_are_recorded(seen: Seen) -> Result:
    first = {step: runs[0][0] for step, runs in _runs(seen.ledger).items()}
    problems, pairs = [], 0
    for before, step in _edges(seen.trail):
        began = first.get(str(step.pk))
        if began is None:
            continue
        pairs += 1
        if before.finished_at is None or before.finished_at.timestamp() > began:
            problems.append(f"{step.name} of {step.execution_id} began at {began:.3f}, before {before.name} ended")
    return Result("step k+1 begins after k is recorded", f"{pairs} pairs", problems)


@check
def nothing_starts_after_its_record(seen: Seen) -> Result:
    """But in a process that was frozen between its claim and its start. A cancel may overtake a start: see there."""
    problems, late = [], 0
    for line in seen.ledger:
        row = seen.trail.steps.get(line.step)
        if line.word != START or row is None or row.status == "cancelled" or row.finished_at is None:
            continue
        if row.finished_at.timestamp() < line.at:
            late += 1
            if not seen.frozen(line.holder, line.at):
                problems.append(f"step {line.step} started in {line.pid} after its end was recorded")
    return Result("nothing starts after its end is recorded, but in frozen processes", f"{late} late starts", problems)


@check
def max_parallel_holds(seen: Seen) -> Result:
    limits = {execution.pk: execution.max_parallel for execution in seen.trail.executions}
    problems = [f"{pk}: {most} of {limits[pk]}" for pk, most in seen.trail.most.items() if most > limits[pk]]
    narrow = {pk for pk, limit in limits.items() if limit <= 3}
    full = sum(seen.trail.most[pk] == limits[pk] for pk in narrow)
    problems += list(_overlaps(seen, limits))
    return Result("maxParallel is kept", f"{len(narrow)} narrow executions, {full} of them full", problems)


@check
def a_cancel_is_obeyed(seen: Seen) -> Result:
    last: dict[str, Line] = {line.step: line for line in seen.ledger}
    problems, cut = [], 0
    for pk, row in seen.trail.steps.items():
        if row.status != "cancelled" or pk not in last or row.finished_at is None:
            continue
        cut += 1
        line, at = last[pk], row.finished_at.timestamp()
        if line.at > at + ZOMBIE and not seen.stalled(line.holder, at, line.at):
            problems.append(f"step {pk} lived in {line.pid} {line.at - at:.2f} s after its cancel")
    return Result("cancelled steps are cut off within two seconds", f"{cut} cut", problems)


# --- what is left


@check
def nothing_is_left_behind(seen: Seen) -> Result:
    problems = [str(finding) for finding in broken_rules()]
    problems += [f"message {message.pk} in {message.key}" for message in OrmQ.objects.all()]
    problems += [f"{step.pk} runs" for step in WorkflowStep.objects.filter(status="running")]
    problems += [f"{execution.pk} is {execution.status}" for execution in WorkflowExecution.objects.unfinished()]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT application_name FROM pg_stat_activity"
            " WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()"
        )
        problems += [f"a connection of {name!r}" for (name,) in cursor.fetchall()]
    return Result(
        "no message, no running step, no broken rule, no connection is left", f"{len(problems)} left", problems
    )


@check
def nothing_was_stranded(seen: Seen) -> Result:
    figure = f"{seen.trail.stranded} found by the sweep"
    return Result("no job was ever stranded", figure, [figure] if seen.trail.stranded else [])


@check
def plain_tasks_ran(seen: Seen) -> Result:
    ended = set(Task.objects.filter(success=True).values_list("id", flat=True))
    problems = [f"task {task} has no result" for task in seen.tasks if task not in ended]
    return Result("every plain task ends well", f"{len(seen.tasks)} tasks", problems)


# --- from rows to what is compared


def _runs(ledger: list[Line]) -> dict[str, list[tuple[float, float, Line]]]:
    """For each step its runs in the order of their starts: the start, the last sign of life, and a line of it."""
    runs: dict[str, list[tuple[float, float, Line]]] = defaultdict(list)
    place: dict[tuple[str, int], int] = {}
    for line in ledger:
        if line.word == START:
            place[line.step, line.pid] = len(runs[line.step])
            runs[line.step].append((line.at, line.at, line))
        else:
            number = place[line.step, line.pid]
            began, _, first = runs[line.step][number]
            runs[line.step][number] = (began, line.at, first)
    return runs


def _edges(trail: Trail) -> Iterator[tuple[WorkflowStep, WorkflowStep]]:
    for execution in trail.executions:
        steps = trail.steps_of(execution)
        for step in steps:
            yield from ((steps[number], step) for number in step.depends_on)


def _overlaps(seen: Seen, limits: dict[UUID, int]) -> Iterator[str]:
    """By the ledger: of each execution the runs that were recorded."""
    ends: dict[UUID, list[tuple[float, int]]] = defaultdict(list)
    for claim in seen.trail.claims:
        run = seen.run_of(claim) if claim.end == "step.completed" else None
        if run:
            ends[seen.trail.steps[claim.step].execution_id] += [(run[0], 1), (run[1], -1)]
    for execution, changes in ends.items():
        most = max(accumulate(change for _, change in sorted(changes)))
        if most > limits[execution]:
            yield f"{execution}: {most} of {limits[execution]} by the ledger"
