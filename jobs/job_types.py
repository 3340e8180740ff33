"""Found by its name, as in every installed app: importing it registers our job types."""

from jobs.types import bulk_documents, document_reprocess, workflow

__all__ = ["bulk_documents", "document_reprocess", "workflow"]
