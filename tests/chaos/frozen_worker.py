"""A worker is frozen past its lease. When it continues, other workers are running the steps that it held.

Only the claim tokens keep its results from being recorded. Among the random faults this happens by chance, and another
fault may then kill the worker before it records anything. So each run begins with this fault, undisturbed.
"""

import signal
import time

import psutil

from tests.chaos.database import Database
from tests.chaos.faults import STALL, Chaos, Fault
from tests.chaos.worker_tree import Tree, send

LONG = 4.0
"""Seconds that a step of the frozen worker must still take, so that its successor takes at least as long."""
PATIENCE = 30.0

_AT_LONG_STEPS = """
SELECT w.pid, array_agg(s.id) FROM workflow_workers w JOIN workflow_steps s ON s.worker = w.id
JOIN workflow_executions e ON e.id = s.execution_id AND e.payload->>'status' = 'completed'
WHERE s.status = 'running' AND s.tool = 'CHAOS_ASYNC'
  AND (s.arguments->>'seconds')::float8 - extract(epoch FROM clock_timestamp() - s.started_at) > %s
GROUP BY w.pid ORDER BY count(*) DESC LIMIT 1
"""
_TAKEN_OVER = """
SELECT count(*) FROM workflow_steps s JOIN workflow_workers w ON w.id = s.worker
WHERE s.id = ANY(%s) AND s.status = 'running' AND w.pid <> %s
"""


def freeze_past_its_lease(chaos: Chaos, trees: list[Tree], database: Database) -> int:
    """Returns how many steps others had claimed when the worker continued.

    The worker's supervisor is frozen too, because it would kill the worker.
    """
    began = time.time()
    while not (rows := database.execute(_AT_LONG_STEPS, LONG)) and time.time() < began + PATIENCE:
        time.sleep(0.1)
    ((pid, steps),) = rows
    (tree,) = (tree for tree in trees if pid in {runner.pid for runner in tree.children_named("runner")})
    assert tree.supervisor
    frozen = [tree.supervisor, psutil.Process(pid)]
    fault = Fault("freeze_past_its_lease", STALL, "", time.time(), frozenset(each.pid for each in frozen))
    chaos.faults.append(fault)
    tree.is_watched = False
    for process in frozen:
        send(process, signal.SIGSTOP)
    while not (taken := database.execute(_TAKEN_OVER, steps, pid)[0][0]) and time.time() < fault.began + PATIENCE:
        time.sleep(0.1)
    fault.ended = time.time()
    for process in frozen:
        send(process, signal.SIGCONT)
    tree.is_watched = True
    print(f"           runner {pid} of {tree.name} was frozen for {fault.seconds:.1f} s", flush=True)
    return int(taken)
