"""All that is known about a chaos run at its end, and what the faults explain."""

from dataclasses import dataclass, field
from uuid import UUID

from tests.chaos.call_server import CallServer
from tests.chaos.callbacks import Received
from tests.chaos.faults import CHILD, CUT, DEATH, SLOW, STALL, Fault
from tests.chaos.ledger import END, START, Line
from tests.chaos.trail import Claim, Trail

ZOMBIE_SECONDS = 2.0
"""Seconds that a process may take to stop its steps after it was frozen, or after their cancel."""


@dataclass
class Evidence:
    trail: Trail
    ledger: list[Line]
    calls: CallServer
    faults: list[Fault]
    acknowledged: list[UUID]
    tasks: list[str]
    lease: float
    reports: Received
    runs: dict[tuple[str, int], list[tuple[float, float]]] = field(default_factory=dict)
    """Maps step and worker to start and end of each run that was completed."""

    def __post_init__(self) -> None:
        began: dict[tuple[str, int], float] = {}
        for line in self.ledger:
            if line.word == START:
                began[line.step, line.holder] = line.at
            elif line.word == END:
                self.runs.setdefault((line.step, line.holder), []).append((began[line.step, line.holder], line.at))

    def keeps_a_ledger(self, claim: Claim) -> bool:
        tool = str(self.trail.steps[claim.step].tool)
        return tool.startswith("CHAOS_") and tool != "CHAOS_OUTSIDE"

    def run_of(self, claim: Claim) -> tuple[float, float] | None:
        """The run that was completed within this claim."""
        runs = self.runs.get((claim.step, claim.pid), [])
        return next((run for run in runs if claim.began <= run[0] and run[1] <= claim.ended), None)

    def explained(self, claim: Claim) -> bool:
        """Whether a fault at its worker explains that this claim ended without an outcome."""
        hits = self.hits(claim)
        stalls = [fault for fault in hits if fault.effect == STALL]
        if claim.end == "step.crashed":
            return any(fault.effect == CHILD for fault in hits)
        if claim.reason == "answer lost":
            return bool(stalls) or any(fault.effect == CUT for fault in hits) or self.waited(claim)
        if claim.end == "step.lease_lost":
            # An outage of the database alone makes the reaper take no steps.
            stalls = [fault for fault in stalls if fault.pids is not None or fault.kind == SLOW]
        # Leases are renewed six times a lease. After 0.8 of a lease without renewal the worker stops its steps.
        heavy = any(fault.seconds > self.lease / 3 for fault in stalls)
        return heavy or any(fault.effect == DEATH for fault in hits)

    def waited(self, claim: Claim) -> bool:
        """Whether its transaction may have waited for a lock of a frozen process, so that its answer came late."""
        frozen = [fault for fault in self.faults if fault.kind.startswith("freeze") and fault.seconds > self.lease / 3]
        return any(fault.began <= claim.began and fault.ended >= claim.began - ZOMBIE_SECONDS for fault in frozen)

    def hits(self, claim: Claim) -> list[Fault]:
        return [fault for fault in self.faults if fault.hits(claim.pid, claim.began - 0.2, claim.ended)]

    def frozen(self, pid: int, at: float) -> bool:
        """Whether this process was frozen at that time, or had just continued."""
        faults = [fault for fault in self.faults if fault.kind == SLOW or fault.kind.startswith("freeze")]
        return any(fault.hits(pid, at - ZOMBIE_SECONDS, at) for fault in faults)

    def stalled(self, pid: int, since: float, until: float) -> bool:
        return any(fault.effect == STALL and fault.hits(pid, since - ZOMBIE_SECONDS, until) for fault in self.faults)
