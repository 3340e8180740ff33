"""Word documents and PowerPoint presentations since 2007 (.docx, .pptx)."""
