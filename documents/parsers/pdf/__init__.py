"""PDF files: two readers, the order and repair of their text, annotations, forms and attachments."""
