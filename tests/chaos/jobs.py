"""The work of the chaos run: jobs of many shapes, each with the end that it must have."""

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import Error, connection
from django_q.tasks import async_task

from tests.chaos.call_server import CallServer
from workflows import engine
from workflows.models import WorkflowExecution
from workflows.steps import NewExecution, NewStep

UNDER_WAY = 36
CANCEL_AFTER = 2.0


@dataclass
class Expected:
    """How a job must end: its status, and the status and attempts of each step. It is stored in the job's payload."""

    status: str = "completed"
    steps: list[str] = field(default_factory=list)
    attempts: list[int] = field(default_factory=list)


@dataclass
class Shape:
    steps: list[NewStep]
    expected: Expected = field(default_factory=Expected)
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.expected.steps = self.expected.steps or ["completed"] * len(self.steps)
        self.expected.attempts = self.expected.attempts or [1] * len(self.steps)


class Shapes:
    """Makes jobs of random shapes. The steps call `url`."""

    def __init__(self, url: str, chance: random.Random) -> None:
        self.url = url
        self.chance = chance
        self.tag = 0

    def any(self) -> Shape:
        self.tag += 1
        common: list[Callable[[], Shape]] = [self.chain, self.chain, self.lanes, self.lanes, self.http, self.children]
        common += [self.long, self.long]
        common += [self.refused, self.outside]
        rare = [self.waits, self.fails, self.tolerates, self.blocks, self.cancelled, self.delayed]
        return self.chance.choice([*common, *rare])()

    def step(
        self, name: str, seconds: float = 0.0, after: Sequence[int] = (), *, tool: str = "ASYNC", **more: Any
    ) -> NewStep:
        busy = more.pop("busy", 0)
        url = f"{self.url}/{self.tag}/{name}?busy={busy}"
        arguments = {"url": url, "seconds": round(seconds, 2), **more}
        return NewStep(name, tool=f"CHAOS_{tool}", arguments=arguments, depends_on=list(after))

    def chain(self) -> Shape:
        return Shape([self.step(f"s{i}", self.chance.uniform(0, 0.4), [i - 1] if i else []) for i in range(6)])

    def http(self) -> Shape:
        """Steps of the product's own tool."""
        steps = []
        for i in range(4):
            arguments = {"method": "POST", "url": f"{self.url}/{self.tag}/s{i}?seconds=0.2", "json": {}}
            steps.append(NewStep(f"s{i}", tool="HTTP_REQUEST", arguments=arguments, depends_on=[i - 1] if i else []))
        return Shape(steps)

    def lanes(self) -> Shape:
        middle = [self.step(f"m{i}", self.chance.uniform(0.1, 0.8), [0]) for i in range(8)]
        last = self.step("in", 0.0, range(1, 9))
        return Shape([self.step("out"), *middle, last], options={"max_parallel": 3})

    def children(self) -> Shape:
        middle = [self.step(f"c{i}", self.chance.uniform(0.1, 1.0), [0], tool="CHILD") for i in range(3)]
        return Shape([self.step("out"), *middle, self.step("in", 0.0, [1, 2, 3])], options={"max_parallel": 2})

    def long(self) -> Shape:
        """A step that takes several leases, so that a frozen worker finds its successor at work when it continues."""
        return Shape([self.step("long", self.chance.uniform(4, 12)), self.step("after", 0.1, [0])])

    def waits(self) -> Shape:
        steps = [self.step("busy", busy=2), self.step("flaky", 0.1, [0], failures=1), self.step("after", 0.0, [1])]
        return Shape(steps, Expected(attempts=[1, 2, 1]))

    def fails(self) -> Shape:
        steps = [self.step("fine", 0.1), self.step("bad", 0.1, [0], failures=9, retryable=False)]
        steps.append(self.step("after", 0.0, [1]))
        return Shape(steps, Expected("failed", ["completed", "failed", "skipped"], [1, 1, 0]))

    def tolerates(self) -> Shape:
        steps = [self.step(f"s{i}", 0.3, failures=9 if i == 1 else 0, retryable=i != 1) for i in range(4)]
        expected = Expected("completed_with_errors", ["completed", "failed", "completed", "completed"])
        return Shape(steps, expected, {"tolerates_failures": True, "max_parallel": 2})

    def refused(self) -> Shape:
        """A model or a tool returns a value that the database refuses. The step beside it is not cut off."""
        odd = self.step("odd", 0.2, refuses=self.chance.choice(["model", "output", "usage"]))
        odd.max_attempts = 1
        return Shape([odd, self.step("fine", 1.0)], Expected("failed", ["failed", "completed"], [1, 1]))

    def outside(self) -> Shape:
        """A step that an outside worker answers, first with a value that the database refuses."""
        return Shape([self.step("outside", tool="OUTSIDE"), self.step("after", 0.1, [0])])

    def blocks(self) -> Shape:
        """Steps that run plain functions in threads."""
        return Shape([self.step(f"b{i}", self.chance.uniform(0.2, 1.5), tool="THREAD") for i in range(3)])

    def cancelled(self) -> Shape:
        steps = [self.step("endless", 600), self.step("never", 0.0, [0])]
        return Shape(steps, Expected("cancelled", ["cancelled", "cancelled"], [-1, 0]))

    def delayed(self) -> Shape:
        return Shape([self.step("later"), self.step("after", 0.2, [0])], options={"delay": 2.0})


class Producer(threading.Thread):
    """Starts jobs, so that there is always work, and cancels some of them, until `end` is called."""

    def __init__(self, server: CallServer, seed: int) -> None:
        super().__init__(name="producer", daemon=True)
        self.chance = random.Random(seed)
        self.shapes = Shapes(server.url, self.chance)
        self.owners: list[int] = list(User.objects.values_list("pk", flat=True))
        self.acknowledged: list[UUID] = []
        self.tasks: list[str] = []
        self.next_task = 0.0
        self.to_cancel: list[tuple[float, UUID]] = []
        self.is_unsure = False
        """Whether a start or a cancel may have succeeded although its answer was lost."""
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.is_set() or self.to_cancel or self.is_unsure:
            try:
                self._find_lost_starts()
                self._cancel_due()
                self._start_task()
                if not self.ended.is_set() and WorkflowExecution.objects.unfinished().count() < UNDER_WAY:
                    self._start()
                else:
                    self.ended.wait(0.1)
                    time.sleep(0.05)
            except Error:  # whether it was committed is not known until the database answers
                self.is_unsure = True
                connection.close()
                time.sleep(0.2)
        connection.close()

    def end(self) -> None:
        self.ended.set()
        self.join(90)

    def _start(self) -> None:
        shape = self.shapes.any()
        new = NewExecution(
            self.chance.choice(self.owners),
            "workflow",
            f"chaos {self.shapes.tag}",
            shape.steps,
            payload=asdict(shape.expected),
            queue=self.chance.choice(["high", "normal", "normal", "low"]),
            **shape.options,
        )
        execution = engine.start(new, actor="chaos")
        self.acknowledged.append(execution)
        if shape.expected.status == "cancelled":
            self.to_cancel.append((time.monotonic() + self.chance.uniform(0.5, 2) * CANCEL_AFTER, execution))

    def _start_task(self) -> None:
        """Starts a plain django-q2 task once a second."""
        if not self.ended.is_set() and time.monotonic() > self.next_task:
            self.next_task = time.monotonic() + 1
            self.tasks.append(async_task("tests.chaos.tasks.note", len(self.tasks)))

    def _find_lost_starts(self) -> None:
        """Finds jobs that were stored although the answer was lost, if they would run for ever."""
        if self.is_unsure:
            endless = WorkflowExecution.objects.unfinished().filter(payload__status="cancelled")
            lost = endless.exclude(pk__in=self.acknowledged).values_list("pk", flat=True)
            self.to_cancel += [(time.monotonic(), execution) for execution in lost]
            self.is_unsure = False

    def _cancel_due(self) -> None:
        for due, execution in list(self.to_cancel):
            if time.monotonic() >= due:
                engine.cancel(execution, actor="chaos")
                self.to_cancel.remove((due, execution))


def canary(owner: int, url: str) -> UUID:
    """Starts a job that has nothing to wait for."""
    shape = Shape([NewStep("canary", tool="CHAOS_ASYNC", arguments={"url": f"{url}/canary/s"})])
    new = NewExecution(owner, "workflow", "canary", shape.steps, payload=asdict(shape.expected))
    return engine.start(new, actor="chaos")
