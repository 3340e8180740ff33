"""The faults of the chaos run: chosen at random, by a seed, and recorded with their time and their victims."""

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterable, Set
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import psycopg

from tests.chaos.database import Database
from tests.chaos.ledger import read
from tests.chaos.worker_tree import STARTS_WITHIN, Tree, children, is_alive, send

DEATH, STALL, CUT, CHILD = "death", "stall", "cut", "child"
SLOW = "slow_machine"
ORPHANS_AFTER = 2.0
START_KILLS_SECONDS = 4.0
STOPPED_AFTER = 30.0
UNNOTICED_AFTER = 12.0
"""Seconds, more than the silence after which a supervisor kills a child, or `make run` a supervisor."""


@dataclass
class Fault:
    """`pids` are its victims, None: all processes. `ended` is 0 while it lasts. Times are seconds since the epoch."""

    kind: str
    effect: str
    what: str
    began: float
    pids: Set[int] | None = frozenset()
    ended: float = 0.0
    processes: list[psutil.Process] = field(default_factory=list)

    def hits(self, pid: int, since: float, until: float) -> bool:
        return (self.pids is None or pid in self.pids) and self.began <= until and self.ended >= since

    @property
    def seconds(self) -> float:
        return self.ended - self.began


DECK = {
    "kill_runner": 5,
    "kill_sandbox_child": 2,
    "kill_fork_server": 1,
    "kill_tasks": 1,
    "kill_maintenance": 2,
    "kill_supervisor": 2,
    "kill_tree": 1,
    "kill_each_start": 1,
    "stop_tree": 1,
    "freeze_runner": 4,
    "freeze_maintenance": 1,
    "freeze_supervisor": 1,
    "freeze_runner_for_good": 1,
    "freeze_supervisor_for_good": 1,
    "freeze_tree": 2,
    "freeze_tree_for_long": 1,
    "kill_postgres": 1,
    "restart_postgres": 1,
    "kill_postgres_for_longer_than_a_lease": 1,
    "crash_a_backend": 1,
    "terminate_backends": 3,
    "cut_wire": 2,
    "lose_answers": 3,
    "silence_wire": 2,
}
"""How often each kind is in the deck. The deck is used up before it is shuffled again, so that a short run meets every
kind.
"""


class Chaos:
    """Causes one fault after another. A thread ends each fault that lasts."""

    def __init__(self, trees: list[Tree], database: Database, ledger: Path, lease: float, seed: int) -> None:
        self.trees = trees
        self.database = database
        self.ledger = ledger
        self.lease = lease
        self.chance = random.Random(seed)
        self.faults: list[Fault] = []
        self.orphans: list[str] = []
        self._cards: list[str] = []
        self._lasting: list[threading.Thread] = []
        self._began = time.time()
        self._spent: set[str] = set()

    # --- the deck of faults

    def play(self, seconds: float, gap: tuple[float, float]) -> None:
        """Causes faults for so many seconds. Returns when the last one is over."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.deal()
            time.sleep(self.chance.uniform(*gap))
        for thread in self._lasting:
            thread.join()
        self._wait_for_database()

    def deal(self) -> None:
        if not self._cards:
            self._cards = [kind for kind, number in DECK.items() for _ in range(number)]
            self.chance.shuffle(self._cards)
        kind = self._cards.pop()
        with suppress(psutil.Error, psycopg.Error, OSError):
            getattr(self, kind)(self.chance.choice(self.trees))

    def _note(self, kind: str, effect: str, what: str, victims: Iterable[psutil.Process] | Tree | None = None) -> Fault:
        """`victims` are processes, every process that a tree ever has, or None: all processes."""
        fault = Fault(kind, effect, what, time.time(), None)
        if isinstance(victims, Tree):
            fault.pids = victims.pids
        elif victims is not None:
            fault.processes = list(victims)
            fault.pids = frozenset(each.pid for each in fault.processes)
        self.faults.append(fault)
        print(f"{fault.began - self._began:7.2f} s  {kind}: {what}", flush=True)
        return fault

    def _later(self, seconds: float, then: Callable[[], None]) -> None:
        def wait() -> None:
            time.sleep(seconds)
            then()

        self._lasting.append(threading.Thread(target=wait, daemon=True))
        self._lasting[-1].start()

    def _duration(self) -> float:
        """A random duration, from half a second to more than two leases."""
        return self.chance.uniform(0.5, 2.7 * self.lease)

    def stood_still(self) -> float:
        """Seconds for which the machine itself stood still: see `machine_stalls`."""
        return sum(fault.seconds for fault in self.faults if fault.kind == SLOW)

    def has_outage(self, since: float, until: float) -> bool:
        """Whether PostgreSQL was unavailable at some point in this time."""
        outages = [fault for fault in self.faults if fault.pids is None and fault.kind != SLOW]
        return any(fault.began <= until and (fault.ended or until) >= since for fault in outages)

    # --- SIGKILL

    def _kill(self, kind: str, tree: Tree, target: psutil.Process | None, what: str) -> None:
        """Kills a process. All processes that it had started must end with it."""
        if target is None:
            return
        send(target, signal.SIGSTOP)  # so that it starts nothing while the list is made
        victims = [target, *children(target, deep=True)]
        fault = self._note(kind, DEATH, f"{what} {target.pid} of {tree.name}", victims)
        send(target, signal.SIGKILL)
        fault.ended = time.time()
        self._later(ORPHANS_AFTER, lambda: self._look_for_orphans(fault))

    def _look_for_orphans(self, fault: Fault) -> None:
        left = [each.pid for each in fault.processes if is_alive(each)]
        if left:
            self.orphans.append(f"{left} outlived {fault.kind}: {fault.what}")

    def _any(self, processes: list[psutil.Process]) -> psutil.Process | None:
        return self.chance.choice(processes) if processes else None

    def kill_runner(self, tree: Tree) -> None:
        self._kill("kill_runner", tree, self._any(tree.children_named("runner")), "runner")

    def kill_tasks(self, tree: Tree) -> None:
        self._kill("kill_tasks", tree, self._any(tree.children_named("tasks")), "tasks child")

    def kill_maintenance(self, tree: Tree) -> None:
        self._kill("kill_maintenance", tree, self._any(tree.children_named("maintenance")), "maintenance")

    def kill_supervisor(self, tree: Tree) -> None:
        self._kill("kill_supervisor", tree, tree.supervisor, "supervisor")

    def kill_tree(self, tree: Tree) -> None:
        everybody = tree.processes()
        fault = self._note("kill_tree", DEATH, f"all {len(everybody)} of {tree.name}", everybody)
        for process in everybody:
            send(process, signal.SIGKILL)
        fault.ended = time.time()
        self._later(ORPHANS_AFTER, lambda: self._look_for_orphans(fault))

    def kill_each_start(self, tree: Tree) -> None:
        """Kills all processes again and again, before they have started. None may give up for good."""
        starts = tree.starts
        fault = self._note("kill_each_start", DEATH, f"{tree.name} for {START_KILLS_SECONDS:g} s", tree)
        while time.time() < fault.began + START_KILLS_SECONDS:
            for process in tree.processes():
                send(process, signal.SIGKILL)
            time.sleep(0.1)
        fault.ended = time.time()
        fault.what += f", {tree.starts - starts} starts"

    def stop_tree(self, tree: Tree) -> None:
        """Stops a tree in the regular way: its steps go back to the queue at once."""
        everybody = tree.processes()
        if not everybody:
            return
        fault = self._note("stop_tree", DEATH, f"SIGTERM to {tree.name}", everybody)
        send(everybody[0], signal.SIGTERM)

        def wait_for_the_end() -> None:
            """It may take a while, because the tree may be frozen."""
            while is_alive(everybody[0]) and time.time() < fault.began + STOPPED_AFTER:
                time.sleep(0.1)
            fault.ended = time.time()

        self._later(0, wait_for_the_end)

    def kill_sandbox_child(self, tree: Tree) -> None:
        found = [(runner, child) for runner, server in tree.fork_servers() for child in children(server)]
        if found:
            runner, child = self.chance.choice(found)
            self._kill_child("kill_sandbox_child", tree, runner, [child], child)

    def kill_fork_server(self, tree: Tree) -> None:
        found = tree.fork_servers()
        if found:
            runner, server = self.chance.choice(found)
            self._kill_child("kill_fork_server", tree, runner, children(server), server)

    def _kill_child(
        self, kind: str, tree: Tree, runner: psutil.Process, hit: list[psutil.Process], target: psutil.Process
    ) -> None:
        """Kills a child or its fork server. No step is hit twice, because the third crash would end it."""
        pids = {child.pid for child in hit}
        steps = {line.step for line in read(self.ledger) if line.pid in pids and line.kind == "process"}
        crashed = self.database.execute(
            "SELECT count(*) FROM workflow_steps WHERE id = ANY(%s::uuid[]) AND crashes > 0", list(steps)
        )
        if crashed[0][0] or steps & self._spent:
            return
        self._spent |= steps
        fault = self._note(kind, CHILD, f"{target.pid} of runner {runner.pid} of {tree.name}", [runner])
        send(target, signal.SIGKILL)
        fault.ended = time.time() + 1

    # --- SIGSTOP, SIGCONT

    def _freeze(
        self, kind: str, tree: Tree, targets: list[psutil.Process], what: str, seconds: float | None = None
    ) -> None:
        if not targets:
            return
        seconds = seconds or self._duration()
        fault = self._note(kind, STALL, f"{what} of {tree.name} for {seconds:.1f} s", targets)
        for process in targets:
            send(process, signal.SIGSTOP)

        def go_on() -> None:
            fault.ended = time.time()
            for process in targets:
                if is_alive(process):
                    send(process, signal.SIGCONT)

        self._later(seconds, go_on)

    def freeze_runner(self, tree: Tree) -> None:
        runner = self._any(tree.children_named("runner"))
        self._freeze("freeze_runner", tree, [runner] if runner else [], f"runner {runner and runner.pid}")

    def freeze_maintenance(self, tree: Tree) -> None:
        self._freeze("freeze_maintenance", tree, tree.children_named("maintenance"), "maintenance")

    def freeze_supervisor(self, tree: Tree) -> None:
        supervisor = tree.supervisor
        self._freeze("freeze_supervisor", tree, [supervisor] if supervisor else [], "supervisor")

    def freeze_tree(self, tree: Tree) -> None:
        self._freeze("freeze_tree", tree, tree.processes(), "everybody")

    def freeze_tree_for_long(self, tree: Tree) -> None:
        """Freezes a whole machine: nobody watches the tree, and others must work in spite of its locks."""
        seconds = self.lease * self.chance.uniform(4, 6)
        tree.is_watched = False
        self._freeze("freeze_tree_for_long", tree, tree.processes(), "everybody", seconds)
        self._later(seconds, lambda: setattr(tree, "is_watched", True))

    def freeze_runner_for_good(self, tree: Tree) -> None:
        """Its supervisor must notice."""
        self._freeze_for_good("freeze_runner_for_good", tree, self._any(tree.children_named("runner")), "runner")

    def freeze_supervisor_for_good(self, tree: Tree) -> None:
        """Its parent must notice. Until then its children go on, and then they end with it."""
        self._freeze_for_good("freeze_supervisor_for_good", tree, tree.supervisor, "supervisor")

    def _freeze_for_good(self, kind: str, tree: Tree, target: psutil.Process | None, what: str) -> None:
        if target is None:
            return
        fault = self._note(kind, STALL, f"{what} {target.pid} of {tree.name}", [target])
        others = children(target, deep=True)
        # At its start a supervisor has more time until its first sign of life.
        is_starting = what == "supervisor" and not tree.has_started
        deadline = time.time() + UNNOTICED_AFTER + (STARTS_WITHIN if is_starting else 0)
        send(target, signal.SIGSTOP)

        def look() -> None:
            nonlocal deadline
            while is_alive(target) and time.time() < deadline:
                if not tree.is_watched:  # the whole machine is frozen, and so are the processes that must notice
                    deadline = max(deadline, time.time() + UNNOTICED_AFTER)
                time.sleep(0.1)
            fault.ended = time.time()
            if not is_alive(target):
                death = self._note("end_of_a_hung_process", DEATH, f"{what} {target.pid} of {tree.name}", others)
                death.ended = fault.ended
            elif target.status() == psutil.STATUS_STOPPED:  # otherwise the end of another fault let it continue
                self.orphans.append(f"{what} {target.pid} of {tree.name} is frozen, and nobody has noticed")
                send(target, signal.SIGKILL)

        self._later(0, look)

    # --- PostgreSQL

    def _wait_for_database(self) -> None:
        while not self.database.answers():
            time.sleep(0.05)

    def _outage(self, kind: str, what: str, begin: Callable[[], None], *, seconds: float = 0.0) -> None:
        """A fault that lasts until the server answers again."""
        fault = self._note(kind, STALL, what)
        begin()
        time.sleep(max(seconds, 0.1))
        self._wait_for_database()
        fault.ended = time.time()

    def kill_postgres(self, _: Tree) -> None:
        postmaster = self.database.postmaster
        self._outage("kill_postgres", "SIGKILL", lambda: send(postmaster, signal.SIGKILL))

    def restart_postgres(self, _: Tree) -> None:
        postmaster = self.database.postmaster
        self._outage("restart_postgres", "a fast shutdown", lambda: send(postmaster, signal.SIGINT))

    def kill_postgres_for_longer_than_a_lease(self, _: Tree) -> None:
        postmaster = self.database.postmaster
        manager = postmaster.parent()
        seconds = self.lease * self.chance.uniform(1.1, 2)

        def begin() -> None:
            if manager:
                send(manager, signal.SIGSTOP)
            send(postmaster, signal.SIGKILL)
            time.sleep(seconds)
            if manager:
                send(manager, signal.SIGCONT)

        self._outage("kill_postgres_for_longer_than_a_lease", f"SIGKILL, {seconds:.1f} s", begin)

    def crash_a_backend(self, _: Tree) -> None:
        """Kills a backend. The server then ends all others and recovers by itself."""
        backends = self._backends()
        if backends:
            pid = self.chance.choice(backends)
            self._outage("crash_a_backend", f"SIGKILL to backend {pid}", lambda: os.kill(pid, signal.SIGKILL))

    def _backends(self) -> list[int]:
        """The ids of the backends, active ones first."""
        rows = self.database.execute(
            "SELECT pid FROM pg_stat_activity WHERE usename = current_user AND pid <> pg_backend_pid()"
            " ORDER BY state = 'idle', random()"
        )
        return [row[0] for row in rows]

    def terminate_backends(self, _: Tree) -> None:
        """Terminates backends ten times within half a second, so that some are in the middle of a transaction."""
        fault = self._note("terminate_backends", CUT, "some, ten times")
        for _again in range(10):
            for pid in self._backends()[:3]:
                self.database.execute("SELECT pg_terminate_backend(%s)", pid)
            time.sleep(0.05)
        fault.ended = time.time()

    # --- the wire

    def _cut(self, kind: str, tree: Tree, what: str, cut: Callable[[], None]) -> None:
        fault = self._note(kind, CUT, f"{what} of {tree.name}", tree)
        cut()
        fault.ended = time.time() + self.lease

    def cut_wire(self, tree: Tree) -> None:
        self._cut("cut_wire", tree, "half of the connections", lambda: tree.wire.cut(0.5))

    def lose_answers(self, tree: Tree) -> None:
        self._cut("lose_answers", tree, "five commits' answers", lambda: tree.wire.lose_answers(5))

    def silence_wire(self, tree: Tree) -> None:
        seconds = self._duration()
        fault = self._note("silence_wire", STALL, f"the wire of {tree.name} for {seconds:.1f} s", tree)
        tree.wire.fall_silent()

        def go_on() -> None:
            fault.ended = time.time()
            tree.wire.speak()

        self._later(seconds, go_on)
