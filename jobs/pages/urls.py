"""Addresses of the pages of jobs."""

from django.urls import path

from jobs.pages import start_views, views

urlpatterns = [
    path("jobs/", views.job_list, name="list"),
    path("jobs/panel", views.compact_panel, name="panel"),
    path("jobs/new", start_views.new, name="new"),
    path("jobs/new/paste", start_views.paste, name="paste"),
    path("jobs/new/upload", start_views.upload, name="upload"),
    path("jobs/new/ingest", start_views.ingest, name="ingest"),
    path("jobs/<uuid:id>", views.job, name="job"),
    path("jobs/<uuid:id>/cancel", views.cancel, name="cancel"),
    path("jobs/<uuid:id>/retry", views.retry, name="retry"),
    path("jobs/<uuid:id>/failures.csv", views.failures_csv, name="failures"),
    path("jobs/<uuid:id>/events", views.events, name="events"),
    path("jobs/<uuid:id>/steps/<int:index>", views.step, name="step"),
]
