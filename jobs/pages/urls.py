"""Addresses of the pages of jobs."""

from django.urls import path

from jobs.pages import (
    actions,
    approvals,
    bulk_page,
    compact_panel,
    dashboard,
    embed,
    job_list,
    job_page,
    new_job,
    rerun_page,
    saved_workflows,
    workers,
)

urlpatterns = [
    path("jobs/", job_list.job_list, name="list"),
    path("embed/background-jobs-panel.js", embed.element, name="element"),
    path("jobs/embed", embed.frame, name="embed"),
    path("jobs/panel", compact_panel.panel, name="panel"),
    path("dashboard", dashboard.dashboard_page, name="dashboard"),
    path("workers", workers.workers, name="workers"),
    path("jobs/approvals", approvals.approvals, name="approvals"),
    path("jobs/bulk", bulk_page.bulk, name="bulk"),
    path("jobs/new", new_job.new, name="new"),
    path("jobs/new/paste", new_job.paste, name="paste"),
    path("jobs/new/upload", new_job.upload, name="upload"),
    path("jobs/new/ingest", new_job.ingest, name="ingest"),
    path("jobs/<uuid:id>", job_page.job, name="job"),
    path("jobs/<uuid:id>/cancel", actions.cancel, name="cancel"),
    path("jobs/<uuid:id>/retry", actions.retry, name="retry"),
    path("jobs/<uuid:id>/rerun", rerun_page.rerun, name="rerun"),
    path("jobs/<uuid:id>/delete", actions.delete, name="delete"),
    path("jobs/<uuid:id>/failures.csv", job_page.failures_csv, name="failures"),
    path("jobs/<uuid:id>/save", saved_workflows.save_job, name="save_job"),
    path("jobs/<uuid:id>/events", job_page.events, name="events"),
    path("jobs/<uuid:id>/steps/<int:index>", job_page.step, name="step"),
    path("jobs/<uuid:id>/steps/<int:index>/retry", actions.retry_step, name="retry_step"),
    path("jobs/<uuid:id>/steps/<uuid:step_id>/approve", approvals.approve, name="approve"),
    path("jobs/<uuid:id>/steps/<uuid:step_id>/reject", approvals.reject, name="reject"),
    path("workflows", saved_workflows.workflow_list, name="workflows"),
    path("workflows/<uuid:id>", saved_workflows.workflow, name="workflow"),
    path("schedules/<uuid:id>", saved_workflows.schedule, name="schedule"),
]
