"""`workflow`: steps that run one after another, or as `dependsOn` says. Each step is a tool or a model."""

from collections.abc import Mapping
from typing import Any

from django.contrib.auth.models import User

from aiworkstation.web.serializers import (
    BoundedList,
    Errors,
    Integer,
    JsonObject,
    Name,
    StrictSerializer,
    Text,
    invalid,
)
from jobs.job_type import JobType, PayloadSerializer, Plan, register
from jobs.payloads.step_dependencies import dependencies
from jobs.payloads.tool_arguments import argument_errors
from workflows import placeholders, tools
from workflows.engine.retry_policy import DEFAULT
from workflows.models import Mode
from workflows.steps import NewStep

MAX_STEPS = 200
STEPS_MESSAGES: dict[str, Any] = {
    "min_length": "Add at least one step.",
    "max_length": f"At most {MAX_STEPS} steps are allowed.",
}
MAX_ATTEMPTS = 20
MAX_TIMEOUT = 30 * 24 * 3600


class ToolField(Name):
    """The slug of a tool."""

    default_error_messages = {"unknown": "There is no tool {slug}. Choose one of: {known}."}

    def to_internal_value(self, data: Any) -> str:
        slug = super().to_internal_value(data)
        known = [tool.slug for tool in tools.offered_tools()]
        if slug not in known:
            self.fail("unknown", slug=slug, known=", ".join(known))
        return slug


class StepSerializer(StrictSerializer):
    name = Name(max_length=300)
    description = Text(required=False, allow_blank=True)
    tool = ToolField(max_length=100, required=False)
    arguments = JsonObject(required=False)
    dependsOn = BoundedList(child=Name(max_length=300), max_length=MAX_STEPS, required=False, source="depends_on")
    maxAttempts = Integer(min_value=1, max_value=MAX_ATTEMPTS, required=False, source="max_attempts")
    timeoutSeconds = Integer(min_value=1, max_value=MAX_TIMEOUT, required=False, source="timeout_seconds")

    def cross_check(self, data: Mapping[str, Any], value: dict[str, Any], errors: Errors) -> None:
        if "arguments" not in value or "tool" in errors:
            return
        if "tool" not in value:
            errors["arguments"] = invalid("A step without a tool takes no arguments. Name a tool, or remove them.")
        elif found := argument_errors(value["tool"], value["arguments"]):
            errors["arguments"] = found


class WorkflowPayload(PayloadSerializer):
    workflowName = Name(max_length=300, source="name")
    workflowDescription = Text(required=False, allow_blank=True, source="description")
    steps = BoundedList(
        child=StepSerializer(),
        min_length=1,
        max_length=MAX_STEPS,
        error_messages=STEPS_MESSAGES,
    )
    modelId = Name(max_length=200, required=False, source="model_id")

    def cross_check(self, data: Mapping[str, Any], value: dict[str, Any], errors: Errors) -> None:
        steps = data.get("steps")
        if not isinstance(steps, list) or isinstance(errors.get("steps"), list):
            return
        for key, wrong in _references(data, ("workflowName", "workflowDescription"), steps).items():
            errors.setdefault(key, wrong)
        value["dependencies"], found = dependencies(steps)
        for index, step in enumerate(steps):
            if isinstance(step, Mapping) and (wrong := _references(step, ("name", "description"), steps)):
                _merge(found, {index: wrong})
        if isinstance(mode := value.get("mode"), Mode):
            _merge(found, _disallowed_tools(steps, mode))
            if mode.model_ids and (model := value.get("model_id")) and model not in mode.model_ids:
                known = ", ".join(mode.model_ids)
                message = f"The mode {mode.name} does not allow the model {model}. It allows: {known}."
                errors["modelId"] = invalid(message, "not_allowed")
        if found:
            _merge(errors.setdefault("steps", {}), found)


def _references(texts: Mapping[str, Any], keys: tuple[str, ...], steps: list[Any]) -> Errors:
    """Reports texts that models would get with a `{{…}}` that means the output of a step."""
    names = [step["name"] for step in steps if isinstance(step, Mapping) and isinstance(step.get("name"), str)]
    given = {key: texts[key] for key in keys if isinstance(texts.get(key), str)}
    found = {key: placeholders.step_reference(text, names) for key, text in given.items()}
    return {key: invalid(placeholders.prompt_message(text), "placeholder") for key, text in found.items() if text}


def _disallowed_tools(steps: list[Any], mode: Mode) -> dict[int, Errors]:
    named = {index: step.get("tool") for index, step in enumerate(steps) if isinstance(step, Mapping)}
    return {
        index: {"tool": invalid(f"The mode {mode.name} does not allow the tool {tool}.", "not_allowed")}
        for index, tool in named.items()
        if isinstance(tool, str) and tools.get(tool) and not mode.allows(tool)
    }


def _merge(errors: dict[int, Any], more: Mapping[int, Errors]) -> None:
    """Adds errors of steps. An error that a field has already stays."""
    for index, found in more.items():
        step_errors = errors.setdefault(index, {})
        if isinstance(step_errors, dict):
            for name, detail in found.items():
                step_errors.setdefault(name, detail)


@register
class Workflow(JobType):
    name = "workflow"
    description = "Runs steps one after another, or in the order that dependsOn gives."
    Payload = WorkflowPayload

    def plan(self, payload: dict[str, Any], owner: User) -> Plan:
        pairs = zip(payload["steps"], payload["dependencies"], strict=True)
        return Plan(
            name=payload["name"],
            description=payload.get("description", ""),
            model_id=payload.get("model_id", ""),
            steps=[_new_step(step, parents) for step, parents in pairs],
        )


def _new_step(step: dict[str, Any], parents: list[int]) -> NewStep:
    return NewStep(
        name=step["name"],
        description=step.get("description", ""),
        tool=step.get("tool", ""),
        arguments=step.get("arguments"),
        depends_on=parents,
        max_attempts=step.get("max_attempts", DEFAULT.max_attempts),
        timeout_seconds=step.get("timeout_seconds"),
    )
