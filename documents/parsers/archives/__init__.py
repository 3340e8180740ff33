"""Archives whose members are documents (.zip)."""
