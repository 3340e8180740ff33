"""The rules of `manage.py check_engine` for documents."""

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

RULES.update(
    {
        "a document that is queued or processing has an unfinished job": rows_found_by(_IN_A_FINISHED_JOB),
        "a document's generations follow one another, and an indexed document has one": rows_found_by(_GENERATIONS),
        "a document counts the pages and chunks of its generation": rows_found_by(_CHUNKS),
    }
)
