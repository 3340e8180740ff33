"""What extensions use to describe a job: its steps, and the job itself."""

from workflows.engine.new_jobs import NewExecution, NewStep

__all__ = ["NewExecution", "NewStep"]
