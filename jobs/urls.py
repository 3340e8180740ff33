"""Addresses of jobs: the pages, and the API without a slash at the end (see `web.middleware.ApiSlash`)."""

from django.urls import include, path

from jobs.api import callbacks, metrics, saved_workflows, schedules, views

app_name = "jobs"
urlpatterns = [
    path("", include("jobs.pages.urls")),
    path("api/jobs", views.jobs, name="api_jobs"),
    path("api/jobs/bulk", views.bulk, name="api_bulk"),
    path("api/jobs/<str:job_id>", views.job, name="api_job"),
    path("api/jobs/<str:job_id>/payload", views.job_payload, name="api_job_payload"),
    path("api/jobs/<str:job_id>/output", views.job_output, name="api_job_output"),
    path("api/jobs/<str:job_id>/steps", views.steps, name="api_steps"),
    path("api/jobs/<str:job_id>/steps/<str:step_id>", views.step, name="api_step"),
    path("api/jobs/<str:job_id>/steps/<str:step_id>/output", views.step_output, name="api_step_output"),
    path("api/jobs/<str:job_id>/steps/<str:step_id>/arguments", views.step_arguments, name="api_step_arguments"),
    path("api/jobs/<str:job_id>/events", views.events, name="api_events"),
    path("api/jobs/<str:job_id>/failures.csv", views.failures_csv, name="api_failures"),
    path("api/jobs/<str:job_id>/cancel", views.cancel, name="api_cancel"),
    path("api/jobs/<str:job_id>/retry", views.retry, name="api_retry"),
    path("api/jobs/<str:job_id>/rerun", views.rerun, name="api_rerun"),
    path("api/jobs/<str:job_id>/steps/<str:step_id>/retry", views.retry_step, name="api_retry_step"),
    path("api/jobs/<str:job_id>/steps/<str:step_id>/approve", views.approve, name="api_approve"),
    path("api/jobs/<str:job_id>/steps/<str:step_id>/reject", views.reject, name="api_reject"),
    path("api/workflows", saved_workflows.workflows, name="api_workflows"),
    path("api/workflows/<str:name>", saved_workflows.workflow, name="api_workflow"),
    path("api/workflows/<str:name>/versions", saved_workflows.versions, name="api_workflow_versions"),
    path("api/workflows/<str:name>/runs", saved_workflows.runs, name="api_workflow_runs"),
    path("api/schedules", schedules.schedules, name="api_schedules"),
    path("api/schedules/<str:schedule_id>", schedules.schedule, name="api_schedule"),
    path("api/schedules/<str:schedule_id>/run", schedules.run, name="api_schedule_run"),
    path("api/metrics/jobs", metrics.metrics_of_jobs, name="api_metrics"),
    path("api/metrics/dashboard", metrics.dashboard_figures, name="api_dashboard"),
    path("api/workflow/update-step", callbacks.update_step, name="api_update_step"),
    path("api/workflow/update-execution", callbacks.update_execution, name="api_update_execution"),
    path("api/tools", views.list_tools, name="api_tools"),
    path("api/modes", views.list_modes, name="api_modes"),
]
