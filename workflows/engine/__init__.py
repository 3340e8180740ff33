"""The engine's verbs: the only code, with a worker's turn, that changes the state of executions and steps.

Every verb is a function with one transaction in it, and keeps to one order:

1. Lock the executions, in the order of their ids. (A turn picks further ones with SKIP LOCKED, which never waits.)
2. Change their steps. An outcome counts only from the worker that holds the step's token.
3. Claim the next steps, if a worker asks for some.
4. Settle: bring the execution's row in line with its steps, and its message with what is to be done next.

Nobody changes a step's state without its execution's lock, so what a statement reads after part 1 holds until the
commit. Two steps that end at once are therefore both counted, and verbs cannot deadlock.

Each change writes its audit event in the same transaction. Notifications are sent after the commit.
"""

from workflows.engine.approvals import answer_approval, ask
from workflows.engine.broken_jobs import fail_broken_jobs
from workflows.engine.outside_answers import Answer, Reception, answer, end_silence
from workflows.engine.reaper import reap, release_strays, stranded, sweep
from workflows.engine.rerun_job import rerun
from workflows.engine.running_step import add_steps, keep_arguments
from workflows.engine.start_job import start
from workflows.engine.steer_job import cancel, delete, fail, prioritize, retry
from workflows.engine.step_retry import retry_step

__all__ = [
    "Answer",
    "Reception",
    "add_steps",
    "answer",
    "answer_approval",
    "ask",
    "cancel",
    "delete",
    "end_silence",
    "fail",
    "fail_broken_jobs",
    "keep_arguments",
    "prioritize",
    "reap",
    "release_strays",
    "rerun",
    "retry",
    "retry_step",
    "start",
    "stranded",
    "sweep",
]
