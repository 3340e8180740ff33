"""A worker comes back from the dead: it was frozen past its lease, and others are at work on what it held.

Only the token stands against what it records then. Among the other faults this happens by chance, and then something
else may kill the worker before it says a word; so each run begins with it, undisturbed.
"""

import signal
import time

import psutil

from tests.chaos.database import Server
from tests.chaos.faults import STALL, Chaos, Fault
from tests.chaos.trees import Tree, send

LONG = 4.0
"""Seconds that a step still takes whose worker is frozen, and so its successor at the least."""
PATIENCE = 30.0

_AT_LONG_STEPS = """
SELECT w.pid, array_agg(s.id) FROM workflow_workers w JOIN workflow_steps s ON s.worker = w.id
JOIN workflow_executions e ON e.id = s.execution_id AND e.payload->>'status' = 'completed'
WHERE s.status = 'running' AND s.tool = 'CHAOS_ASYNC'
  AND (s.arguments->>'seconds')::float8 - extract(epoch FROM clock_timestamp() - s.started_at) > %s
GROUP BY w.pid ORDER BY count(*) DESC LIMIT 1
"""
_SUCCEEDED = """
SELECT count(*) FROM workflow_steps s JOIN workflow_workers w ON w.id = s.worker
WHERE s.id = ANY(%s) AND s.status = 'running' AND w.pid <> %s
"""


def come_back(chaos: Chaos, trees: list[Tree], server: Server) -> int:
    """How many steps others had taken up when it came back. Its supervisor is frozen too: it would kill it."""
    began = time.time()
    while not (rows := server.execute(_AT_LONG_STEPS, LONG)) and time.time() < began + PATIENCE:
        time.sleep(0.1)
    ((pid, steps),) = rows
    (tree,) = (tree for tree in trees if pid in {runner.pid for runner in tree.members("runner")})
    assert tree.supervisor
    frozen = [tree.supervisor, psutil.Process(pid)]
    fault = Fault("freeze_past_its_lease", STALL, "", time.time(), frozenset(each.pid for each in frozen))
    chaos.faults.append(fault)
    tree.is_watched = False
    for process in frozen:
        send(process, signal.SIGSTOP)
    while not (taken := server.execute(_SUCCEEDED, steps, pid)[0][0]) and time.time() < fault.began + PATIENCE:
        time.sleep(0.1)
    fault.ended = time.time()
    for process in frozen:
        send(process, signal.SIGCONT)
    tree.is_watched = True
    print(f"           runner {pid} of {tree.name} was frozen for {fault.seconds:.1f} s", flush=True)
    return int(taken)
