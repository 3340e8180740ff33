"""The pages of documents and of search."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import FileResponse, Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST
from rest_framework.exceptions import ValidationError

from aiworkstation.web.live_fragments import Fragment, LiveFragments, is_poll, news, page_url
from aiworkstation.web.paging import page
from aiworkstation.web.requests import MAX_TEXT, Request, query_number, query_text
from documents.errors import DocumentError
from documents.lookup import find_documents, get_document
from documents.models import Document
from documents.pages.chunk_sizes import ChunkSizesForm
from documents.pages.filters import DocumentFilter
from documents.pages.upload_form import UploadForm, receive_files
from documents.reading.chunk_preview import preview
from documents.search import MAX_QUESTION, Answer, ChunkInPage, Question, Result, find_chunk_in_page, search
from documents.storage import stored_files
from documents.storage.multipart import answers_allowance, screened
from workflows.errors import ChildCrashed, ChildFailed

PAGES_SHOWN = 20
CHUNKS_SHOWN = 50
MEMBERS_SHOWN = 30
RESULTS_SHOWN = 20
PDF = "pdf"
SEARCH_FIELDS = ("q", "project", "tag", "type")


@login_required
@require_GET
def document_list(request: Request) -> HttpResponse:
    chosen = DocumentFilter.of(request)
    if not is_poll(request) and (wrong := chosen.unknown_choice()):
        messages.error(request, wrong)
    try:
        found = page(chosen.documents(), ["-created_at", "-uid"], cursor=request.GET.get("cursor", ""))
    except ValidationError:
        return redirect("documents:list")
    older = chosen.url(cursor=found.next_cursor) if found.next_cursor else ""
    context: dict[str, Any] = {"documents": found.rows, "filter": chosen, "older": older}
    listed = ([document.uid for document in found.rows], older)
    parts = [Fragment("document-list", "documents/_list.html", context, listed)]
    parts += [document_state(document) for document in found.rows]
    is_running = any(document.is_being_worked_on for document in found.rows)
    live = LiveFragments("document-list-live", page_url(request), parts, is_running)
    if is_poll(request):
        return live.answer(request)
    return render(request, "documents/list.html", {**context, "upload": UploadForm(user=request.user), "live": live})


def document_state(document: Document) -> Fragment:
    progress = (document.step.progress, document.step.message) if document.step else None
    shown = (document.state, progress, document.changed_at)
    return Fragment(f"document-{document.uid}-state", "documents/_state.html", {"document": document}, shown)


@screened
@login_required
@answers_allowance
@require_POST
def upload(request: Request) -> HttpResponse:
    """Stores the files only. `jobs:upload` also indexes them."""
    if stored := receive_files(request):
        noun = "document is" if len(stored) == 1 else "documents are"
        messages.success(request, f"{len(stored)} {noun} stored. Select documents below to index them.")
    return redirect("documents:list")


@login_required
@require_POST
def delete(request: Request) -> HttpResponse:
    found = find_documents(request.user, request.POST.getlist("document"))
    if not found:
        messages.warning(request, "Select a document first.")
    for document in found.values():
        try:
            stored_files.delete(document, request.user)
            messages.success(request, f"{document.filename} was deleted.")
        except DocumentError as error:
            messages.error(request, f"{document.filename}: {error.message}")
    return redirect("documents:list")


@dataclass(frozen=True)
class TextView:
    """The part of a document's text that is shown: some pages, perhaps with a chunk that was found, or some chunks."""

    document: Document
    view: str
    start: int
    chunk_id: int | None
    question: str

    @classmethod
    def of(cls, request: Request, document: Document) -> "TextView":
        view = "chunks" if request.GET.get("view") == "chunks" else "text"
        start, chunk_id = query_number(request, "from", digits=9), query_number(request, "chunk", digits=18)
        return cls(document, view, 1 if start is None else start, chunk_id, query_text(request, "q"))

    def found_chunk(self) -> ChunkInPage | None:
        return None if self.chunk_id is None else find_chunk_in_page(self.document, self.chunk_id, self.question)

    def pages(self) -> list[Any]:
        rows = self.document.current_pages().filter(number__gte=self.start)
        return list(rows.order_by("number")[:PAGES_SHOWN])

    def chunks(self) -> list[Any]:
        rows = self.document.current_chunks().filter(index__gte=self.start - 1)
        return list(rows.order_by("index")[:CHUNKS_SHOWN])

    @property
    def next_start(self) -> int | None:
        """The first page or chunk of the next screen, or None at the end."""
        if self.view == "chunks":
            following, total = self.start + CHUNKS_SHOWN, self.document.chunk_count
        else:
            following, total = self.start + PAGES_SHOWN, self.document.page_count or 0
        return following if following <= total else None

    @property
    def next_url(self) -> str:
        return f"?{urlencode({'view': self.view, 'from': self.next_start})}" if self.next_start else ""


@login_required
@require_GET
def document(request: Request, id: str) -> HttpResponse:
    found = get_document(request.user, id)
    text_view = TextView.of(request, found)
    members = list(found.members.order_by("created_at", "uid")[: MEMBERS_SHOWN + 1])
    context = {
        "document": found,
        "text": text_view,
        "members": members[:MEMBERS_SHOWN],
        "has_more": len(members) > MEMBERS_SHOWN,
    }
    announced = f"{found.filename}: {found.state}"
    parts = [
        news("document-news", announced),
        document_state(found),
        Fragment("document-facts", "documents/_facts.html", context, (found.changed_at, found.state)),
        Fragment(
            "document-text",
            "documents/_text.html",
            context,
            (found.generation, text_view.view, text_view.start),
        ),
    ]
    live = LiveFragments("document-live", page_url(request), parts, found.is_being_worked_on)
    if is_poll(request):
        return live.answer(request)
    return render(request, "documents/document.html", {**context, "news": announced, "live": live})


@login_required
@require_GET
def shown_file(request: Request, id: str) -> FileResponse:
    """Shows a PDF in the browser's own viewer, which opens it at `#page=3`. Other files can only be downloaded."""
    found = get_document(request.user, id)
    if found.file_type != PDF or not found.path.exists():
        raise Http404("There is no such PDF.")
    response = FileResponse(found.path.open("rb"), filename=found.filename, content_type="application/pdf")
    response.headers["Cache-Control"] = "private, no-cache"
    return response


@login_required
@require_GET
def chunk_preview(request: Request, id: str) -> HttpResponse:
    """Shows the chunks that a size and an overlap would give. Nothing is stored."""
    found = get_document(request.user, id)
    if not found.generation:
        messages.warning(request, f"{found.filename} has not been indexed yet, so there is no text to split.")
        return redirect("documents:document", id=found.uid)
    present = {"chunk_size": found.chunk_size, "overlap": found.overlap}
    form = ChunkSizesForm({name: request.GET.get(name, value) for name, value in present.items()})
    context: dict[str, Any] = {"document": found, "form": form}
    if request.GET and form.is_valid():
        try:
            context["preview"] = preview(found, **form.cleaned_data)
        except (ChildFailed, ChildCrashed) as error:
            context["failure"] = error.message
    return render(request, "documents/preview.html", context)


@login_required
@require_GET
def search_page(request: Request) -> HttpResponse:
    fields = {name: query_text(request, name, MAX_QUESTION + 1) for name in SEARCH_FIELDS}
    if len(fields["q"]) > MAX_QUESTION:
        return render(request, "documents/search.html", {**fields, "longest": MAX_QUESTION})
    question = Question(
        fields["q"],
        limit=RESULTS_SHOWN,
        project_id=fields["project"] or None,
        tag=fields["tag"] or None,
        file_type=fields["type"].lower() or None,
    )
    found = search(request.user, question) if question.text else Answer()
    named = find_documents(request.user, {result.document_id for result in found})
    results = [
        {
            "filename": result.filename,
            "page": result.page,
            "snippet": result.snippet.as_html(),
            "url": _chunk_url(named[result.document_id], result, question.text),
            "file_url": _file_url(named[result.document_id], result.page),
        }
        for result in found
        if result.document_id in named
    ]
    return render(request, "documents/search.html", {**fields, "results": results, "relaxed": found.is_relaxed})


def _chunk_url(document: Document, result: Result, question: str) -> str:
    query = urlencode({"from": result.page, "chunk": result.chunk_id, "q": question[:MAX_TEXT]})
    return f"{reverse('documents:document', args=[document.uid])}?{query}#passage"


def _file_url(document: Document, page: int) -> str:
    """Returns the URL of the page in the file, or "" if browsers cannot show the file."""
    return f"{reverse('documents:file', args=[document.uid])}#page={page}" if document.file_type == PDF else ""
