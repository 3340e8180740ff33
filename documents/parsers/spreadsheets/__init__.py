"""Workbooks of Excel, old and new, and of OpenDocument (.xlsx, .xls, .ods)."""
