"""Pictures of text, and text recognition (OCR), which PDF pages use too."""
