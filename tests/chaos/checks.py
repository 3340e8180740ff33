"""The checks at the end of the chaos run. Each prints its figure, and one that does not hold fails the run."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate, pairwise
from statistics import median
from urllib.parse import urlsplit
from uuid import UUID

from django.db import connection
from django_q.models import OrmQ, Task

from tests.chaos.evidence import ZOMBIE_SECONDS, Evidence
from tests.chaos.faults import DEATH, STALL
from tests.chaos.ledger import START, Line
from tests.chaos.trail import OUTCOMES, Trail
from workflows.engine.consistency import check as broken_rules
from workflows.models import WorkflowExecution, WorkflowStep

SHOWN = 5


@dataclass
class Result:
    """The result of a check. It holds if there are no `problems`, of which each is one line."""

    name: str
    figure: str
    problems: list[str]

    def __str__(self) -> str:
        more = [f"        … and {len(self.problems) - SHOWN} more"] if len(self.problems) > SHOWN else []
        head = f"{'FAILS' if self.problems else 'holds'}  {self.name}: {self.figure}"
        return "\n".join([head, *(f"        {problem}" for problem in self.problems[:SHOWN]), *more])


CHECKS: list[Callable[[Evidence], Result]] = []


def check(function: Callable[[Evidence], Result]) -> Callable[[Evidence], Result]:
    CHECKS.append(function)
    return function


# --- ends


@check
def every_job_ends_as_it_should(evidence: Evidence) -> Result:
    problems = []
    for execution in evidence.trail.executions:
        steps = evidence.trail.steps_of(execution)
        states = [step.status for step in steps]
        if execution.status != execution.payload["status"] or states != execution.payload["steps"]:
            problems.append(f"{execution.name} ({execution.pk}) is {execution.status}: {states}")
    number = len(evidence.trail.executions)
    return Result("every execution ends as it should", f"{number} with {len(evidence.trail.steps)} steps", problems)


@check
def no_acknowledged_job_is_lost(evidence: Evidence) -> Result:
    there = {execution.pk for execution in evidence.trail.executions}
    lost = [f"{execution} is gone" for execution in evidence.acknowledged if execution not in there]
    return Result("no acknowledged job is lost", f"{len(evidence.acknowledged)} acknowledged", lost)


@check
def every_step_has_one_outcome(evidence: Evidence) -> Result:
    problems = [
        f"step {step} ({row.name} of {row.execution_id}) is {row.status}: {evidence.trail.finals[step]}"
        for step, row in evidence.trail.steps.items()
        if evidence.trail.finals[step] != [f"step.{row.status}"]
    ]
    number = sum(len(finals) for finals in evidence.trail.finals.values())
    return Result("every step has one recorded outcome", f"{number} outcomes", problems)


@check
def every_claim_has_one_end(evidence: Evidence) -> Result:
    """A refused result that changed something would be a second end."""
    problems = evidence.trail.problems + [f"{claim}" for claim in evidence.trail.claims if not claim.end]
    figure = f"{len(evidence.trail.claims)} claims, {evidence.trail.refused} results refused"
    return Result("every claim has one end, by its holder; refused results changed nothing", figure, problems)


@check
def late_results_are_refused(evidence: Evidence) -> Result:
    """At least those of the worker that was frozen past its lease at the beginning: see `frozen_worker`."""
    problems = [] if evidence.trail.refused else ["none was refused"]
    return Result("late results of a frozen worker are refused", f"{evidence.trail.refused} results", problems)


# --- repetitions


@check
def every_repetition_is_explained(evidence: Evidence) -> Result:
    lost = [claim for claim in evidence.trail.claims if claim.end not in OUTCOMES]
    problems = [f"{claim} without a fault" for claim in lost if not evidence.explained(claim)]
    counted: dict[str, int] = defaultdict(int)
    for claim in lost:
        counted[f"{claim.end.removeprefix('step.')} {claim.reason}".strip()] += 1
    figure = ", ".join(f"{number} {end}" for end, number in sorted(counted.items())) or "none"
    return Result("every claim without an outcome is explained by a fault at its worker", figure, problems)


@check
def lost_steps_go_on_soon(evidence: Evidence) -> Result:
    """Counts from the last fault at the worker. One maintenance process may be frozen for six leases while the other is
    killed. Then follow the step's own lease, a lease of grace after PostgreSQL's start, and one for new maintenance.
    """
    limit = 9 * evidence.lease
    waits = {}
    for claim in evidence.trail.claims:
        began = [fault.began for fault in evidence.hits(claim) if fault.effect in (DEATH, STALL)]
        if claim.end == "step.lease_lost" and began:
            waits[str(claim)] = claim.ended - max(began)
    problems = [f"{claim} after {wait:.1f} s" for claim, wait in waits.items() if wait > limit]
    figure = f"{max(waits.values(), default=0):.1f} s at most, {median(waits.values() or [0]):.1f} s in the median"
    return Result(f"steps of a dead worker continue within {limit:.0f} s", figure, problems)


@check
def what_is_recorded_did_happen(evidence: Evidence) -> Result:
    """For each completed step the ledger has a completed run by the process that recorded it."""
    completed = [
        claim for claim in evidence.trail.claims if claim.end == "step.completed" and evidence.keeps_a_ledger(claim)
    ]
    problems = [f"{claim}, but there it did not run" for claim in completed if evidence.run_of(claim) is None]
    return Result("every completed step ran to its end", f"{len(completed)} runs", problems)


@check
def every_call_belongs_to_a_claim(evidence: Evidence) -> Result:
    """Each claim makes at most one call, so what explains a repeated claim also explains its call."""
    claims = Counter(claim.step for claim in evidence.trail.claims)
    problems = []
    with evidence.calls.guard:
        called = {step: keys.total() for keys in evidence.calls.keys.values() for step in keys}
    for step, row in evidence.trail.steps.items():
        calls = called.get(step, 0)
        if not (row.status == "completed") <= calls <= claims[step]:
            problems.append(f"step {step} ({row.status}) called {calls} times in {claims[step]} claims")
    repeated = sum(number - 1 for number in called.values())
    return Result("every call belongs to a claim", f"{sum(called.values())} calls, {repeated} repeated", problems)


@check
def every_start_has_a_claim(evidence: Evidence) -> Result:
    """The ledger has at most one start for each claim, by the process that claimed."""
    starts = [line for line in evidence.ledger if line.word == START]
    free = defaultdict(list)
    for claim in evidence.trail.claims:
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
def what_was_begun_is_offered(evidence: Evidence) -> Result:
    """Only claims whose answer was lost may go back. A worker offers other results until they are taken."""
    starts: dict[tuple[str, int], list[float]] = defaultdict(list)
    for line in evidence.ledger:
        if line.word == START:
            starts[line.step, line.holder].append(line.at)
    lost = [claim for claim in evidence.trail.claims if claim.reason == "answer lost"]
    problems = [
        f"{claim}, but it had begun"
        for claim in lost
        if any(claim.began <= at <= claim.ended for at in starts[claim.step, claim.pid])
    ]
    return Result("results are offered until they are taken", f"{len(lost)} claims with lost answers", problems)


@check
def no_step_runs_twice_at_once(evidence: Evidence) -> Result:
    """Except in a frozen process, until it notices that it is late, and in threads, which cannot be stopped."""
    problems, pairs = [], 0
    for step, runs in _runs(evidence.ledger).items():
        for (_, last, line), (began, _, _) in pairwise(runs):
            pairs += 1
            if last > began and line.kind != "thread" and not evidence.frozen(line.holder, last):
                problems.append(f"step {step} still ran in {line.pid} {last - began:.2f} s after its successor began")
    return Result("no step runs twice at once, except in frozen processes", f"{pairs} successors", problems)


@check
def one_idempotency_key_a_step(evidence: Evidence) -> Result:
    problems = []
    steps = {urlsplit(step.arguments["url"]).path: pk for pk, step in evidence.trail.steps.items() if step.arguments}
    calls = 0
    with evidence.calls.guard:
        for path, keys in evidence.calls.keys.items():
            calls += sum(keys.values())
            if list(keys) != [steps.get(path)]:
                problems.append(f"{path} was called with {dict(keys)}")
    figure = f"{len(evidence.calls.keys)} steps called {calls} times"
    return Result("one idempotency key a step", figure, problems)


@check
def refused_values_fail_their_step_alone(evidence: Evidence) -> Result:
    odd = [step for step in evidence.trail.steps.values() if (step.arguments or {}).get("refuses")]
    codes = Counter(str((step.error or {}).get("code")) for step in odd)
    problems = [f"{number} ended with {code}" for code, number in codes.items() if code != "not_storable"]
    return Result("a value that the database refuses fails its step alone", f"{len(odd)} values", problems)


@check
def refused_reports_change_nothing(evidence: Evidence) -> Result:
    """Reports of the outside worker that the database refuses. The jobs end as they should, which `ends` checks."""
    problems = [f"an impossible report about step {step} was accepted" for step in evidence.reports.accepted]
    return Result("a report that the database refuses changes nothing", f"{evidence.reports.refused} reports", problems)


@check
def faults_are_no_attempts(evidence: Evidence) -> Result:
    problems = []
    for execution in evidence.trail.executions:
        for step, wanted in zip(evidence.trail.steps_of(execution), execution.payload["attempts"], strict=True):
            if step.attempt != wanted and not (wanted == -1 and step.attempt <= 1):
                problems.append(f"{step.name} of {execution.pk}: attempt {step.attempt}, not {wanted}")
    crashes = sum(step.crashes for step in evidence.trail.steps.values())
    return Result("attempts are not raised by faults", f"{crashes} crashes counted", problems)


# --- order


@check
def a_step_begins_after_those_before_it_are_recorded(evidence: Evidence) -> Result:
    first = {step: runs[0][0] for step, runs in _runs(evidence.ledger).items()}
    problems, pairs = [], 0
    for before, step in _edges(evidence.trail):
        began = first.get(str(step.pk))
        if began is None:
            continue
        pairs += 1
        if before.finished_at is None or before.finished_at.timestamp() > began:
            problems.append(f"{step.name} of {step.execution_id} began at {began:.3f}, before {before.name} ended")
    return Result("a step begins after its dependencies are recorded", f"{pairs} pairs", problems)


@check
def nothing_starts_after_its_record(evidence: Evidence) -> Result:
    """Except in a process that was frozen between claim and start. `a_cancel_is_obeyed` checks cancelled steps."""
    problems, late = [], 0
    for line in evidence.ledger:
        row = evidence.trail.steps.get(line.step)
        if line.word != START or row is None or row.status == "cancelled" or row.finished_at is None:
            continue
        if row.finished_at.timestamp() < line.at:
            late += 1
            if not evidence.frozen(line.holder, line.at):
                problems.append(f"step {line.step} started in {line.pid} after its end was recorded")
    return Result("no step starts after its recorded end, except in frozen processes", f"{late} late starts", problems)


@check
def max_parallel_holds(evidence: Evidence) -> Result:
    limits = {execution.pk: execution.max_parallel for execution in evidence.trail.executions}
    at_once = evidence.trail.most_at_once
    problems = [f"{pk}: {most} of {limits[pk]}" for pk, most in at_once.items() if most > limits[pk]]
    narrow = {pk for pk, limit in limits.items() if limit <= 3}
    full = sum(at_once[pk] == limits[pk] for pk in narrow)
    problems += list(_overlaps(evidence, limits))
    return Result("maxParallel is kept", f"{len(narrow)} narrow executions, {full} of them full", problems)


@check
def a_cancel_is_obeyed(evidence: Evidence) -> Result:
    last: dict[str, Line] = {line.step: line for line in evidence.ledger}
    problems, cut = [], 0
    for pk, row in evidence.trail.steps.items():
        if row.status != "cancelled" or pk not in last or row.finished_at is None:
            continue
        cut += 1
        line, at = last[pk], row.finished_at.timestamp()
        if line.at > at + ZOMBIE_SECONDS and not evidence.stalled(line.holder, at, line.at):
            problems.append(f"step {pk} lived in {line.pid} {line.at - at:.2f} s after its cancel")
    return Result("cancelled steps are cut off within two seconds", f"{cut} cut", problems)


# --- what is left


@check
def nothing_is_left_behind(evidence: Evidence) -> Result:
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
    return Result("no message, running step, broken rule or connection is left", f"{len(problems)} left", problems)


@check
def nothing_was_stranded(evidence: Evidence) -> Result:
    figure = f"{evidence.trail.stranded} found by the sweep"
    return Result("no job was ever stranded", figure, [figure] if evidence.trail.stranded else [])


@check
def plain_tasks_ran(evidence: Evidence) -> Result:
    ended = set(Task.objects.filter(success=True).values_list("id", flat=True))
    problems = [f"task {task} has no result" for task in evidence.tasks if task not in ended]
    return Result("every plain task ends well", f"{len(evidence.tasks)} tasks", problems)


# --- helpers


def _runs(ledger: list[Line]) -> dict[str, list[tuple[float, float, Line]]]:
    """The runs of each step in the order of their starts: start, last sign of life, and first line."""
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


def _overlaps(evidence: Evidence, limits: dict[UUID, int]) -> Iterator[str]:
    """Executions that ran more steps at once than they may, according to the ledger."""
    ends: dict[UUID, list[tuple[float, int]]] = defaultdict(list)
    for claim in evidence.trail.claims:
        run = evidence.run_of(claim) if claim.end == "step.completed" else None
        if run:
            ends[evidence.trail.steps[claim.step].execution_id] += [(run[0], 1), (run[1], -1)]
    for execution, changes in ends.items():
        most = max(accumulate(change for _, change in sorted(changes)))
        if most > limits[execution]:
            yield f"{execution}: {most} of {limits[execution]} by the ledger"
