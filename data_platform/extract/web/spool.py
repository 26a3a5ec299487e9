"""The records of one read, on disk until the read is whole: a read that is begun again leaves nothing behind."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from itertools import islice
from types import TracebackType
from typing import Any, Self

from data_platform.values.json_values import written

BLOCK = 5_000


class ReadAgain(Exception):
    """The pages don't belong together; the message says why."""


def _line(record: dict[str, Any]) -> bytes:
    try:
        return f"{written(record)}\n".encode()
    except UnicodeEncodeError:  # half a character, for which the record becomes a reject
        return f"{written(record, ascii=True)}\n".encode()


class Spool:
    """Records as lines of JSON, in the order in which they came, each id once."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self._ids: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self._ids)

    def clear(self) -> None:
        """Forgets everything."""
        self._file.seek(0)
        self._file.truncate()
        self._ids.clear()

    def add(self, records: Iterable[dict[str, Any]]) -> None:
        """Adds records with an `id`; one that came before stays as it was."""
        for record in records:
            if record["id"] not in self._ids:
                self._ids.add(record["id"])
                self._file.write(_line(record))

    def blocks(self) -> Iterator[list[str]]:
        """All lines, some thousand at a time."""
        self._file.seek(0)
        while block := [line.decode().rstrip("\n") for line in islice(self._file, BLOCK)]:
            yield block
