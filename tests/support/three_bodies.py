"""The three requests that the API's description gives for POST /api/jobs, word for word."""

import json
from typing import Any

from aiworkstation import BASE_DIR

_DESCRIPTION = json.loads((BASE_DIR / "docs" / "openapi.json").read_text())
_EXAMPLES = _DESCRIPTION["paths"]["/api/jobs"]["post"]["requestBody"]["content"]["application/json"]["examples"]

WORKFLOW: dict[str, Any] = _EXAMPLES["AWorkflow"]["value"]
BULK: dict[str, Any] = _EXAMPLES["BulkIngestion"]["value"]
REPROCESS: dict[str, Any] = _EXAMPLES["Reprocessing"]["value"]
