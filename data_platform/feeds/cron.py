"""Cron expressions of five fields, as `schedule` in a source's YAML."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day of the month", 1, 31), ("month", 1, 12), ("day of the week", 0, 6))
_PART = re.compile(r"(?:\*|(\d+)(?:-(\d+))?)(?:/(\d+))?")


def _checked(text: str) -> str:
    """The expression. Raises ValueError with the field that is wrong."""
    fields = text.split()
    example = "for example '30 5 * * *', each day at 05:30, or '0 */2 * * 1-5', every two hours from Monday to Friday"
    if len(fields) != len(_FIELDS):
        raise ValueError(f"expected five fields: {', '.join(name for name, *_ in _FIELDS)}; {example}")
    for field, (name, least, most) in zip(fields, _FIELDS, strict=True):
        for part in field.split(","):
            found = _PART.fullmatch(part)
            first, last, step = (int(each) if each else None for each in found.groups()) if found else (None,) * 3
            numbers = [each for each in (first, last) if each is not None]
            if found is None or step == 0 or numbers != sorted(numbers) or any(not least <= n <= most for n in numbers):
                raise ValueError(f"the {name} is {part!r}; expected *, or numbers from {least} to {most}; {example}")
    return text


Cron = Annotated[str, AfterValidator(_checked)]
