"""The chaos run: two worker trees, jobs, faults, and the checks at the end."""

import select
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import Error, connection

from aiworkstation.ops import postgres
from tests.chaos import ledger, trail
from tests.chaos.call_server import CallServer
from tests.chaos.callbacks import OutsideWorker
from tests.chaos.checks import CHECKS, Result
from tests.chaos.database import Database
from tests.chaos.evidence import ZOMBIE_SECONDS, Evidence
from tests.chaos.faults import Chaos
from tests.chaos.frozen_worker import freeze_past_its_lease
from tests.chaos.jobs import Producer, canary
from tests.chaos.machine_stalls import StallWitness
from tests.chaos.wire import PORT, Wire
from tests.chaos.worker_tree import Tree
from workflows.models import Worker, WorkflowExecution, WorkflowStep

DRAIN_SECONDS = 90.0
STOP_SECONDS = 10.0


T = TypeVar("T")


def until_answered(ask: Callable[[], T]) -> T:
    """Asks until the database answers, because faults cut this process's own connection too."""
    while True:
        try:
            return ask()
        except Error:
            connection.close()
            time.sleep(0.05)


class Run:
    def __init__(
        self, home: Path, database: Database, calls: CallServer, environment: dict[str, str], seed: int
    ) -> None:
        self.home = home
        self.database = database
        self.calls = calls
        self.lease = settings.CONFIG.lease_seconds
        self.ledger = home / "ledger"
        self.ledger.touch()
        call_command("migrate", verbosity=0)
        self.owners = [User.objects.create_user(name) for name in ("alice", "bob", "charlie")]
        self.trees = [self._tree(name, environment) for name in ("one", "two")]
        self.chaos = Chaos(self.trees, database, self.ledger, self.lease, seed)
        self.stall_witness = StallWitness(database, self.chaos, self.lease / 3)
        self.producer = Producer(calls, seed)
        self.outside_worker = OutsideWorker(seed)
        self.results: list[Result] = []
        self.is_over = threading.Event()

    def play(self, seconds: float, gap: tuple[float, float], *, at_least: int, patience: float) -> bool:
        """Returns whether every check holds, and at least so many jobs were started.

        `patience` raises the limits of the time until all works again, for a machine that has other work.
        """
        threading.Thread(target=self._restart_database, daemon=True).start()
        boot = self._wait_for_workers()
        self.stall_witness.start()
        self.producer.start()
        self.outside_worker.start()
        time.sleep(1)
        taken = freeze_past_its_lease(self.chaos, self.trees, self.database)
        self._result("a frozen worker finds successors when it comes back", f"{taken} steps", taken == 0)
        time.sleep(ZOMBIE_SECONDS)
        self.chaos.play(seconds, gap)
        at_work = until_answered(WorkflowStep.objects.filter(status="running").count)
        self._result("work is under way up to the last fault", f"{at_work} steps at work", at_work == 0)
        limit = max(self.lease, 2 * boot) * patience
        over = self._now()
        self._canary(limit, boot)
        self._wait_for_children(over + limit)
        self.producer.end()
        number = len(self.producer.acknowledged)
        self._result(f"there are {at_least} executions at least", str(number), number < at_least)
        self._drain()
        self.outside_worker.end()
        self._stop()
        self.stall_witness.end()
        self.is_over.set()
        self._check()
        return not any(result.problems for result in self.results)

    def _now(self) -> float:
        """A clock that stops while the machine stands still, so that limits do not depend on it."""
        return time.monotonic() - self.chaos.stood_still()

    def _tree(self, name: str, environment: dict[str, str]) -> Tree:
        wire = Wire(self.home / f"{name}.wire", postgres.home(self.home))
        role = f"{postgres.ROLE}:{postgres.password(self.home)}"
        address = f"postgresql://{role}@/{postgres.DATABASE}?host={wire.directory}&port={PORT}"
        return Tree(name, wire, environment | {"DATABASE_URL": address}, self.home)

    def _restart_database(self) -> None:
        """Starts PostgreSQL again when its manager is gone, as `make run` does."""
        while not self.is_over.wait(0.5):
            if select.select([self.database.manager], [], [], 0)[0]:
                print("           PostgreSQL has ended; it is started again", flush=True)
                self.database.manager = postgres.join(self.home)

    def _wait_for_workers(self) -> float:
        """Returns the seconds until both trees have workers: what a start costs on this machine."""
        began = time.monotonic()
        while Worker.objects.count() < 2 * len(self.trees):
            if time.monotonic() - began > 60:
                raise RuntimeError(f"no worker starts:\n{self.trees[0].log.read_text()[-3000:]}")
            time.sleep(0.05)
        return time.monotonic() - began

    def _canary(self, limit: float, boot: float) -> None:
        """A job that is started after the last fault ends within a lease, or within two starts on a slow machine."""
        began = self._now()
        started = until_answered(lambda: canary(self.owners[0].pk, self.calls.url))
        while not until_answered(WorkflowExecution.objects.finished().filter(pk=started).exists):
            if self._now() - began > limit + DRAIN_SECONDS:
                break
            time.sleep(0.02)
        took = self._now() - began
        figure = f"{took:.2f} s, limit {limit:.1f} s ({self.lease:g} s of lease, both trees start in {boot:.1f} s)"
        self._result("a canary after the last fault completes", figure, took > limit)

    def _wait_for_children(self, deadline: float) -> None:
        while any(tree.missing for tree in self.trees) and self._now() < deadline:
            time.sleep(0.1)
        missing = [f"{sorted(tree.missing)} of {tree.name}" for tree in self.trees if tree.missing]
        figure = ", ".join(missing) + " missing" if missing else f"{len(self.trees)} whole trees"
        self._result("what was killed is back", figure, bool(missing))

    def _drain(self) -> None:
        began = self._now()
        while until_answered(WorkflowExecution.objects.unfinished().exists) and self._now() - began < DRAIN_SECONDS:
            time.sleep(0.1)
        took = self._now() - began
        self._result("everything drains", f"{took:.1f} s, limit {DRAIN_SECONDS:.0f} s", took >= DRAIN_SECONDS)

    def _stop(self) -> None:
        began = self._now()
        late = [tree.name for tree in self.trees if not self._ends(tree, began + STOP_SECONDS)]
        took = self._now() - began
        self._result("both trees stop at SIGTERM", f"{took:.1f} s", bool(late))
        left = [f"{process.pid} {' '.join(process.cmdline())[:100]}" for tree in self.trees for process in tree.left()]
        problems = [*left, *self.chaos.orphans]
        figure = f"{sum(len(tree.pids) for tree in self.trees)} processes seen, {len(problems)} outlived their parent"
        self.results.append(Result("no process outlives its parent", figure, problems))

    def _ends(self, tree: Tree, deadline: float) -> bool:
        while not tree.end(1):
            if self._now() > deadline:
                return False
        return True

    def _result(self, name: str, figure: str, fails: bool) -> None:
        self.results.append(Result(name, figure, [figure] if fails else []))

    def _check(self) -> None:
        evidence = Evidence(
            trail=trail.read(),
            ledger=ledger.read(self.ledger),
            calls=self.calls,
            faults=self.chaos.faults,
            acknowledged=self.producer.acknowledged,
            tasks=self.producer.tasks,
            reports=self.outside_worker.received,
            lease=self.lease,
        )
        self.results += [check(evidence) for check in CHECKS]
        faults = Counter(fault.kind for fault in self.chaos.faults)
        print(f"\n{faults.total()} faults: {', '.join(f'{number} {kind}' for kind, number in faults.most_common())}")
        print("\n".join(map(str, self.results)))
        if not any(result.problems for result in self.results):
            return
        print("\nThe last log lines of the workers:")
        for tree in self.trees:
            print("\n".join(tree.log.read_text().splitlines()[-15:]))
