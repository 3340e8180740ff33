"""The rules of `manage.py check_engine` for documents."""

from documents.models import Document
from documents.storage.shared_uploads import is_here
from workflows.engine.consistency import RULES, rows_found_by

_IN_A_FINISHED_JOB = """
SELECT d.uid, d.filename FROM documents d
JOIN workflow_steps s ON s.id = d.step_id JOIN workflow_executions e ON e.id = s.execution_id
WHERE s.status IN ('pending', 'ready', 'running', 'waiting') AND e.status NOT IN ('queued', 'running', 'waiting')
"""
_GENERATIONS = """
SELECT uid, filename FROM documents
WHERE generation > latest_generation OR embedded_generation > generation OR (status = 'indexed') <> (generation > 0)
"""
_CHUNKS = """
SELECT uid, filename FROM documents d
WHERE generation > 0 AND (
  chunk_count <> (SELECT count(*) FROM document_chunks c WHERE c.document_id = d.uid AND c.generation = d.generation)
  OR page_count <> (SELECT count(*) FROM document_pages p WHERE p.document_id = d.uid AND p.generation = d.generation))
"""

SHOWN = 20


def _without_file() -> list[str]:
    files = Document.objects.order_by("-uid").values_list("uid", "filename", "sha256")
    missing = [f"{name} ({uid})" for uid, name, sha256 in files.iterator() if not is_here(sha256)]
    more = [f"{len(missing) - SHOWN} more documents"] if len(missing) > SHOWN else []
    return [*missing[:SHOWN], *more]


RULES.update(
    {
        "a document that is queued or processing has an unfinished job": rows_found_by(_IN_A_FINISHED_JOB),
        "a document's generations follow one another, and an indexed document has one": rows_found_by(_GENERATIONS),
        "the file of a document is in the uploads of this machine": _without_file,
        "a document counts the pages and chunks of its generation": rows_found_by(_CHUNKS),
    }
)
