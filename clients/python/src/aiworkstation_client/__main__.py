"""`python -m aiworkstation_client` is `aiw`."""

import sys

from aiworkstation_client.command import main

sys.exit(main())
