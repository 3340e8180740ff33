"""URLs of the documents' pages and API. The API's have no slash at the end."""

from django.urls import include, path

from documents.api import views

app_name = "documents"
urlpatterns = [
    path("", include("documents.pages.urls")),
    path("api/documents", views.documents, name="api_documents"),
    path("api/documents/<str:id>", views.document, name="api_document"),
    path("api/documents/<str:id>/chunks", views.chunks, name="api_chunks"),
    path("api/documents/<str:id>/preview", views.chunk_preview, name="api_preview"),
    path("api/documents/<str:id>/text", views.text, name="api_text"),
    path("api/documents/<str:id>/file", views.file, name="api_file"),
    path("api/search", views.search_documents, name="api_search"),
]
