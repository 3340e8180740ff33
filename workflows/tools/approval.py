"""APPROVAL: asks a person, and waits for the answer without holding anything."""

from typing import Any, ClassVar

from django.contrib.auth.models import Group
from pydantic import Field

from workflows.errors import BadArguments
from workflows.tools import Arguments, PersonsAnswer, StepContext, Tool, register

DEFAULT_SECONDS = 7 * 24 * 3600
MAX_SECONDS = 30 * 24 * 3600


class ApprovalArguments(Arguments):
    question: str = Field(min_length=1, max_length=2000, description="what the person decides")
    show: Any = Field(None, description="shown with the question; the person may change it before approving")
    group: str = Field("", max_length=150, description="a group whose members may answer, besides the owner and staff")
    timeout_seconds: float = Field(
        DEFAULT_SECONDS, alias="timeoutSeconds", gt=0, le=MAX_SECONDS, description="how long the step waits"
    )


@register
class Approval(Tool):
    slug = "APPROVAL"
    description = "Asks a person and waits for a yes or a no."
    slot = "thread"
    Arguments: ClassVar[type[Arguments]] = ApprovalArguments

    def run(self, context: StepContext, arguments: ApprovalArguments) -> PersonsAnswer:
        if arguments.group:
            self._check_group(context, arguments.group)
        return PersonsAnswer(arguments.question, arguments.timeout_seconds, arguments.group)

    def _check_group(self, context: StepContext, group: str) -> None:
        if context.has_chosen_arguments:
            raise BadArguments("A model cannot choose the group that may answer. Give the step its arguments.")
        if not Group.objects.filter(name=group).exists():
            raise BadArguments(f"group: there is no group {group}.")
