"""URLs of the documents' pages."""

from django.urls import path

from documents.pages import views

urlpatterns = [
    path("documents/", views.document_list, name="list"),
    path("documents/upload", views.upload, name="upload"),
    path("documents/delete", views.delete, name="delete"),
    path("documents/<str:id>", views.document, name="document"),
    path("documents/<str:id>/file", views.shown_file, name="file"),
    path("documents/<str:id>/preview", views.chunk_preview, name="preview"),
    path("search", views.search_page, name="search"),
]
