"""The command as its user can type it, for messages that name one: `data-platform` may not be on the PATH. Imports
nothing of the platform."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

NAME = "data-platform"
_COMMAND = re.compile(rf"(?<![\w./-]){NAME}(?= [a-z-])")


def as_typed(text: str) -> str:
    """The text, whose commands (`data-platform up`) begin as this one did: `.venv/bin/data-platform up`, unless the
    PATH has it."""
    typed = _typed()
    return text if typed == NAME else _COMMAND.sub(lambda _: typed, text)


def _typed() -> str:
    program = Path(sys.argv[0])
    if program.name != NAME or not program.exists():  # called by Python, as tests do
        return NAME
    found = shutil.which(NAME)
    if found is not None and program.samefile(found):
        return NAME
    relative = os.path.relpath(program)
    return str(program.absolute()) if relative.startswith(os.pardir) else relative
