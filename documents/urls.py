"""Addresses of documents: the pages, and the API's, without a slash at the end."""

from django.urls import include, path

from documents import api

app_name = "documents"
urlpatterns = [
    path("", include("documents.page_urls")),
    path("api/documents", api.documents, name="api_documents"),
    path("api/documents/<str:id>", api.document, name="api_document"),
    path("api/documents/<str:id>/chunks", api.chunks, name="api_chunks"),
    path("api/documents/<str:id>/preview", api.chunk_preview, name="api_preview"),
    path("api/documents/<str:id>/text", api.text, name="api_text"),
    path("api/documents/<str:id>/file", api.file, name="api_file"),
    path("api/search", api.search_documents, name="api_search"),
]
