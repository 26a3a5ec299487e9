"""`python -m data_platform.local_cloud.web`: the doubles as a part of the local cloud. The password of PostgreSQL's
superuser comes from PGPASSWORD, never from the command line."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import click

from data_platform.local_cloud.web.address_book import AddressBook
from data_platform.local_cloud.web.address_search import AddressSearch
from data_platform.local_cloud.web.carto import Carto
from data_platform.local_cloud.web.census import Census
from data_platform.local_cloud.web.server import WebApis
from data_platform.local_cloud.web.stored import StoredApis

BOOK, KEY, CARTO_KEY = "address_book.json", "web.address_search", "web.carto"
DEMO_REQUESTS_A_SECOND = 60
"""More than a city allows, so that a demo doesn't wait."""


class _Book:
    """The address book in a file, which is read again when it changes; empty while there is none."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        self._read: tuple[int, AddressBook] = (0, AddressBook(()))

    def __call__(self) -> AddressBook:
        with self._lock:
            changed = self._path.stat().st_mtime_ns if self._path.exists() else 0
            if changed != self._read[0]:
                self._read = (changed, AddressBook.read(self._path))
            return self._read[1]


@click.command()
@click.option("--port", type=int, required=True)
@click.option("--data", type=click.Path(path_type=Path), required=True)
@click.option("--keys", type=click.Path(path_type=Path), required=True)
@click.option("--carto-database", required=True)
def main(port: int, data: Path, keys: Path, carto_database: str) -> None:
    """Serves until SIGTERM."""
    book = _Book(data / BOOK)
    key, carto_key = ((keys / name).read_text(encoding="utf-8").strip() for name in (KEY, CARTO_KEY))
    search = AddressSearch(book, frozenset((key,)), per_second=DEMO_REQUESTS_A_SECOND)
    carto = Carto(carto_database, carto_key, postgis=False)
    web = WebApis([search, Census(book), carto], port, further=StoredApis(data))
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=web.close).start())
    web.serve_forever()


if __name__ == "__main__":
    main()
