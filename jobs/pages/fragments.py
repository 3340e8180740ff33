"""The live fragments that several pages of jobs show."""

from aiworkstation.web.live_fragments import Fragment
from jobs.display import Job


def job_state(job: Job, prefix: str) -> Fragment:
    shown = job.progress
    figures = (shown.percent, shown.completed, shown.total, shown.failed, shown.message)
    version = (job.status, figures, job.current, job.duration_ms, job.waiting_for, (job.error or {}).get("message"))
    context = {"job": job, "prefix": prefix}
    return Fragment(f"{prefix}-{job.id}-state", "jobs/_job_state.html", context, version)


def job_actions(job: Job, prefix: str) -> Fragment:
    version = (job.is_finished, job.is_retryable, job.progress.failed > 0)
    context = {"job": job, "prefix": prefix}
    return Fragment(f"{prefix}-{job.id}-actions", "jobs/_job_actions.html", context, version)
