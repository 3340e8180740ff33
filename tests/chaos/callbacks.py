"""An outside worker of the chaos run. It first answers a step with a value that the database refuses."""

import random
import threading
import time
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import DataError, Error, IntegrityError, connection
from django.utils import timezone

from workflows import engine
from workflows.engine.outside_answers import Answer, Reception
from workflows.models import StepStatus, WorkflowStep
from workflows.network import webhooks

REFUSED: tuple[dict[str, Any], ...] = ({"progress": 10**9}, {"message": "half a word\0"})
"""The API refuses such reports where they arrive. Here they come as far as the database."""


@dataclass
class Received:
    """What became of the odd reports. `accepted` must stay empty."""

    refused: int = 0
    accepted: list[UUID] = field(default_factory=list)


class OutsideWorker(threading.Thread):
    def __init__(self, seed: int) -> None:
        super().__init__(name="outside worker", daemon=True)
        self.chance = random.Random(seed)
        self.received = Received()
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.wait(0.1):
            try:
                self._answer_all()
            except Error:  # a fault cut the connection
                connection.close()
        connection.close()

    def end(self) -> None:
        self.ended.set()
        self.join(30)

    def _answer_all(self) -> None:
        for step in WorkflowStep.objects.filter(tool="CHAOS_OUTSIDE", answer_by__isnull=False).order_by("id"):
            token = webhooks.callback_token(step.pk, step.attempt)
            self._send_refused(step, token)
            done = Answer(StepStatus.COMPLETED, timezone.now(), token, output="done")
            engine.answer(step.execution_id, step.pk, done, actor="outside worker")
            time.sleep(0.01)

    def _send_refused(self, step: WorkflowStep, token: str) -> None:
        odd = Answer(StepStatus.RUNNING, timezone.now(), token, **self.chance.choice(REFUSED))
        try:
            reception = engine.answer(step.execution_id, step.pk, odd, actor="outside worker")
        except (DataError, IntegrityError):
            self.received.refused += 1
        else:
            if reception is Reception.ACCEPTED:
                self.received.accepted.append(step.pk)
