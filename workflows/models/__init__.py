"""The engine's rows: executions (jobs), their steps, and what belongs to the workers that run them.

Only the verbs of `engine` write a status.
"""

from workflows.models.executions import (
    FINISHED_EXECUTION,
    RETRYABLE_EXECUTION,
    ExecutionQuerySet,
    ExecutionStatus,
    Queue,
    WorkflowExecution,
)
from workflows.models.grants import Mode, SecretGrant
from workflows.models.large_json import LargeJson
from workflows.models.outside_workers import OutsideWorker, SeenWebhook
from workflows.models.processes import Cooldown, Counter, Duty, Pause, TaskRuns, Worker
from workflows.models.rollups import Rollup, RollupMark
from workflows.models.steps import (
    CLAIMABLE,
    FINISHED_STEP,
    RETRYABLE_STEP,
    StepQuerySet,
    StepStatus,
    WorkflowStep,
)

__all__ = [
    "CLAIMABLE",
    "FINISHED_EXECUTION",
    "FINISHED_STEP",
    "RETRYABLE_EXECUTION",
    "RETRYABLE_STEP",
    "Cooldown",
    "Counter",
    "Duty",
    "ExecutionQuerySet",
    "ExecutionStatus",
    "LargeJson",
    "Mode",
    "OutsideWorker",
    "Pause",
    "Queue",
    "Rollup",
    "RollupMark",
    "SecretGrant",
    "SeenWebhook",
    "StepQuerySet",
    "StepStatus",
    "TaskRuns",
    "Worker",
    "WorkflowExecution",
    "WorkflowStep",
]
