"""Search over the chunks of indexed documents. Code outside this package imports from here only.

`search` answers a `Question`. `write_terms`, `write_names` and `embed_document` write what search reads: the full-text
index of a document's chunks, that of its name, title and tags, and the vectors of its chunks.
"""

from documents.search.chunk_in_page import ChunkInPage, find_chunk_in_page
from documents.search.embedding_backlog import (
    JOB_TYPE,
    TOOL,
    activate_if_complete,
    catch_up,
    documents_without_vectors,
    forget_model,
)
from documents.search.embeddings import configured_model, embed_document
from documents.search.full_text_index import write_terms
from documents.search.hybrid_search import Answer, Question, Result, search
from documents.search.name_index import write_names
from documents.search.query_parser import MAX_QUESTION

__all__ = [
    "JOB_TYPE",
    "MAX_QUESTION",
    "TOOL",
    "Answer",
    "ChunkInPage",
    "Question",
    "Result",
    "activate_if_complete",
    "catch_up",
    "configured_model",
    "documents_without_vectors",
    "embed_document",
    "find_chunk_in_page",
    "forget_model",
    "search",
    "write_names",
    "write_terms",
]
