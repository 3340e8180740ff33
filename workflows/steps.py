"""The classes that describe a new job and its steps, for job types and extensions."""

from workflows.engine.claims import ClaimedStep
from workflows.engine.new_jobs import NewExecution, NewStep

__all__ = ["ClaimedStep", "NewExecution", "NewStep"]
