"""OpenDocument texts, presentations and drawings (.odt, .odp, .odg). Its workbooks are in the package spreadsheets."""
