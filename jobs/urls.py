"""Addresses of jobs: the pages, and the API's, without a slash at the end."""

from django.urls import include, path

from jobs import api, callbacks

app_name = "jobs"
urlpatterns = [
    path("", include("jobs.page_urls")),
    path("api/jobs", api.jobs, name="api_jobs"),
    path("api/jobs/<str:job_id>", api.job, name="api_job"),
    path("api/jobs/<str:job_id>/steps", api.steps, name="api_steps"),
    path("api/jobs/<str:job_id>/events", api.events, name="api_events"),
    path("api/jobs/<str:job_id>/failures.csv", api.failures_csv, name="api_failures"),
    path("api/jobs/<str:job_id>/cancel", api.cancel, name="api_cancel"),
    path("api/jobs/<str:job_id>/retry", api.retry, name="api_retry"),
    path("api/workflow/update-step", callbacks.update_step, name="api_update_step"),
    path("api/workflow/update-execution", callbacks.update_execution, name="api_update_execution"),
    path("api/tools", api.list_tools, name="api_tools"),
    path("api/modes", api.list_modes, name="api_modes"),
]
