"""The step executor: runs a claimed step and returns its outcome, however the attempt ends.

A step runs a model, a tool with given arguments, or a tool whose arguments a model chooses.
"""

import asyncio
import importlib
import logging
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import InterfaceError, OperationalError

from aiworkstation import tracing
from aiworkstation.access.quota import OverQuota
from aiworkstation.log_format import log_step
from workflows import engine, tools
from workflows.engine.claims import Claim
from workflows.engine.outcomes import Outcome
from workflows.errors import PermanentError, StepError, TryLater
from workflows.llm.prompt import ModelTask, StepInput
from workflows.models import LargeJson, Mode, SecretGrant, StepStatus, WorkflowStep
from workflows.network import cooldowns, http_client, secrets
from workflows.tools import OutsideAnswer, PersonsAnswer, StepContext, Tool, parsed_arguments
from workflows.worker.outside_effects import ANYWHERE, reach_of
from workflows.worker.sandbox.client import Sandbox
from workflows.worker.stall_detector import StallDetector
from workflows.worker.threads import in_thread

if TYPE_CHECKING:
    from workflows.llm.chat import TokenUsage

logger = logging.getLogger(__name__)

ReportProgress = Callable[[int | None, str], None]
"""Percent, or None to leave it as it is, and a message."""


@dataclass(slots=True)
class StepResult:
    """What a step returned. `usage` is `{"inputTokens", "outputTokens", "costUsd"}`: model tokens and US dollars."""

    output: Any
    model: str | None = None
    usage: dict[str, Any] | None = None


class StepExecutor:
    """Runs claimed steps. It owns the threads and the sandbox of its process."""

    def __init__(self, *, threads: int) -> None:
        self.tools = ThreadPoolExecutor(threads, thread_name_prefix="tool")
        # Apart from the threads of tools, which may all be busy: grants, arguments and questions must not wait for
        # them.
        self.orm = ThreadPoolExecutor(2, thread_name_prefix="orm")
        self.stall_detector = StallDetector()
        self.sandbox = Sandbox(
            memory=settings.CONFIG.child_memory_mb << 20,
            seconds=settings.CONFIG.child_seconds,
            modules=settings.CHILD_MODULES,
        )

    async def close(self) -> None:
        self.stall_detector.stop()
        if llm := sys.modules.get("workflows.llm.client"):
            await llm.close()
        self.sandbox.close()
        # Not waited for: a tool may run for ever in its thread, and its step was given back.
        self.tools.shutdown(wait=False, cancel_futures=True)
        self.orm.shutdown(wait=False, cancel_futures=True)

    async def execute(
        self, claim: Claim, report: ReportProgress, leave_slot: Callable[[], object] = lambda: None
    ) -> Outcome:
        """Raises only if it is cancelled."""
        with (
            log_step(job=claim.execution_id, step=claim.step_id, user=claim.owner),
            tracing.span(f"step {claim.tool or 'model'}", "consumer", _about(claim), parent=claim.traceparent) as span,
        ):
            outcome = await self._execute(claim, report, leave_slot)
            span.set({"aiworkstation.step.outcome": outcome.action.removeprefix("step.")})
            if outcome.error_code:
                span.fail(outcome.error_code)
            return outcome

    async def _execute(self, claim: Claim, report: ReportProgress, leave_slot: Callable[[], object]) -> Outcome:
        self.stall_detector.start()
        context = self._context(claim, report, leave_slot)
        limit = asyncio.timeout(claim.timeout_seconds)
        try:
            async with limit:
                result = await self._run(claim, context)
            if isinstance(result.output, PersonsAnswer):
                # The question is stored before the outcome that makes the step wait: a waiting step always has its
                # question.
                await in_thread(self.orm, engine.ask, claim, result.output.question, result.output.group)
                return Outcome.asked(claim, result.output.seconds, model=result.model, usage=result.usage)
            if isinstance(result.output, OutsideAnswer):
                return Outcome.handed_over(claim, result.output.silence, model=result.model, usage=result.usage)
            outcome = Outcome.completed(claim, result.output, model=result.model, usage=result.usage)
            await self._take_room(outcome)
            return outcome
        except Exception as error:
            # Asked first: a timeout surfaces as whatever error the tool makes of its cancellation.
            if limit.expired():
                cause = StepError(f"the step did not finish within {claim.timeout_seconds} s", code="timed_out")
            else:
                cause = _as_step_error(error, claim)
        if self.stall_detector.stalled() and (cause.retryable or cause.code == "timed_out"):
            cause = TryLater(f"the worker's process stood still: {cause}", code=cause.code, delay=0.0)
        outcome = Outcome.of_error(claim, cause)
        if outcome.cooldown:
            cooldowns.start(dict([outcome.cooldown]))
        if outcome.status == StepStatus.FAILED:
            await self._notify_tool(claim, context, cause)
        return outcome

    async def _take_room(self, outcome: Outcome) -> None:
        """Counts a large output against its owner's quota. Raises PermanentError if there is no room."""
        claim, size = outcome.claim, len((outcome.output or "").encode())
        if not LargeJson.is_counted(size, claim.attempt):
            return
        try:
            await in_thread(self.orm, LargeJson.take_room, claim.owner_id, claim.execution_id, claim.step_id, size)
        except OverQuota as error:
            raise PermanentError(str(error), code=OverQuota.code) from error

    def _context(self, claim: Claim, report: ReportProgress, leave_slot: Callable[[], object]) -> StepContext:
        return StepContext(
            execution_id=claim.execution_id,
            step_id=claim.step_id,
            step_name=claim.name,
            attempt=claim.attempt,
            idempotency_key=claim.idempotency_key,
            owner_id=claim.owner_id,
            owner=claim.owner,
            project_id=claim.project_id or None,
            tags=claim.tags,
            mode=claim.mode,
            report=report,
            has_chosen_arguments=claim.has_chosen_arguments,
            claim_token=claim.token,
            query=partial(in_thread, self.orm),
            run_child=self.sandbox.run,
            leave_slot=leave_slot,
        )

    async def _run(self, claim: Claim, context: StepContext) -> StepResult:
        if not claim.is_owner_active:
            raise PermanentError(
                f"the user {claim.owner} is deactivated. Activate the user, then retry the job.", code="owner_inactive"
            )
        if claim.tool == tools.MODEL_STEP:
            return await self._run_model(claim, context)
        tool = tools.get(claim.tool)
        if tool is None:
            raise PermanentError(f"there is no tool {claim.tool}", code="unknown_tool")
        return await self._run_tool(tool, claim, context)

    async def _run_model(self, claim: Claim, context: StepContext) -> StepResult:
        task = await in_thread(self.orm, model_task, claim)
        answer = await _model_step().run_model_step(context, task)
        return StepResult(answer.output, answer.output["model"], _usage_json(answer.usage))

    async def _run_tool(self, tool: Tool, claim: Claim, context: StepContext) -> StepResult:
        tool.check_configured()
        result = StepResult(None)
        arguments = claim.arguments
        if arguments is None:
            task = await in_thread(self.orm, model_task, claim)
            choice = await _model_step().choose_arguments(context, tool, task)
            arguments, result.model, result.usage = choice.arguments, choice.model, _usage_json(choice.usage)
            # Committed before the tool runs: if the process dies in the tool, the next attempt must not ask the model
            # again and call the tool with other arguments.
            await in_thread(self.orm, engine.keep_arguments, claim, arguments, choice.model)
            context.has_chosen_arguments = True
        # Read only when a request names a secret, so that a step without one costs no query.
        secrets.use_grants(partial(in_thread, self.orm, secret_grants, claim.mode, claim.owner_id))
        checked = parsed_arguments(tool, arguments)
        reach = ANYWHERE
        if tool.has_outside_effects and context.has_chosen_arguments:
            reach = await in_thread(self.orm, reach_of, tool, claim, context, checked)
        if reach.question is not None:
            result.output = reach.question
            return result
        try:
            with http_client.only_to(reach.hosts):
                result.output = _redacted(await self._call(tool, context, checked))
        except Exception as error:
            error.args = tuple(secrets.redact(part, secrets.in_use()) for part in error.args)
            raise
        return result

    async def _call(self, tool: Tool, context: StepContext, arguments: Any) -> Any:
        if tool.slot == "thread":
            return await in_thread(self.tools, tool.run, context, arguments)
        return await tool.run(context, arguments)

    async def _notify_tool(self, claim: Claim, context: StepContext, error: StepError) -> None:
        tool = tools.get(claim.tool)
        if tool is None:
            return
        try:
            await in_thread(self.orm, tool.failed, context, claim.arguments or {}, error)
        except Exception:
            # The failure of the step must be recorded, whatever its tool does about it.
            logger.exception("%s.failed for step %s", claim.tool, claim.step_id)


def _about(claim: Claim) -> dict[str, Any]:
    """The attributes of a step's span."""
    return {
        "aiworkstation.job.id": str(claim.execution_id),
        "aiworkstation.step.id": str(claim.step_id),
        "aiworkstation.step.index": claim.step_index,
        "aiworkstation.step.attempt": claim.attempt,
        **({"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": claim.tool} if claim.tool else {}),
    }


def _redacted(output: Any) -> Any:
    try:
        return secrets.redact(output, secrets.in_use())
    except RecursionError:
        raise PermanentError("the tool's result is nested too deeply", code="bad_output") from None


def _as_step_error(error: Exception, claim: Claim) -> StepError:
    """Makes any error a StepError. Unexpected errors are retried. A lost database is a wait, not an attempt."""
    if isinstance(error, StepError):
        return error
    if isinstance(error, OperationalError | InterfaceError):
        return TryLater(f"the database went away: {error}", code="database_unavailable", delay=1.0)
    logger.error("step %s of %s", claim.step_id, claim.execution_id, exc_info=error)
    # The text of an exception need not be made of its `args`.
    message = secrets.redact(f"{type(error).__name__}: {error}", secrets.in_use())
    return StepError(message, code="exception")


def _model_step() -> ModuleType:
    """Imports it when a model is first needed: the client library costs 25 MB and half a second."""
    return importlib.import_module("workflows.llm.model_step")


def _usage_json(usage: "TokenUsage | None") -> dict[str, Any] | None:
    if usage is None:
        return None
    cost = None if usage.cost is None else str(usage.cost)
    return {"inputTokens": usage.input_tokens, "outputTokens": usage.output_tokens, "costUsd": cost}


def secret_grants(mode: str, owner_id: int) -> list[secrets.Grant]:
    """Reads the database."""
    return [
        secrets.Grant(grant.secret, frozenset(grant.hosts), frozenset(grant.places))
        for grant in SecretGrant.objects.for_job(mode, owner_id)
    ]


def model_task(claim: Claim) -> ModelTask:
    """All that a model may know about the step, its mode and the outputs of earlier steps. Reads the database."""
    mode = Mode.objects.filter(name=claim.mode).first() or Mode(name=claim.mode)
    before = WorkflowStep.objects.filter(execution_id=claim.execution_id, index__in=claim.depends_on)
    return ModelTask(
        step_name=claim.name,
        step_description=claim.description,
        workflow_name=claim.execution_name,
        workflow_description=claim.execution_description,
        mode_prompt=mode.prompt,
        model_id=claim.model_id,
        mode_default_model=mode.default_model,
        inputs=[StepInput(step.name, step.tool, step.output) for step in before.order_by("index")],
    )
