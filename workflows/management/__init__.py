"""Commands of `manage.py`."""

import getpass


def command_line_actor() -> str:
    """Who runs this command, as the audit trail names them."""
    return f"{getpass.getuser()} at the command line"
