"""The US Census Bureau's batch geocoder.

From https://geocoding.geo.census.gov/geocoder/Geocoding_Services_API.pdf: the form's fields, the columns of the file
and of the answer, and at most 10,000 records a file. The answer's order is not the file's.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import HTTP

from data_platform.local_cloud.web.address_book import AddressBook
from data_platform.local_cloud.web.server import Request, Response

MOST = 10_000
BENCHMARKS = ("Public_AR_Current", "4")


class Census:
    """`book` returns the addresses that it knows now."""

    name = "census"

    def __init__(self, book: Callable[[], AddressBook]) -> None:
        self._book = book

    def answer(self, request: Request) -> Response:
        """Answers `geocoder/locations/addressbatch`."""
        if request.path != "geocoder/locations/addressbatch" or request.method != "POST":
            return Response(404, {"errors": ["Not found"]})
        form = _form(request)
        if form.get("benchmark", b"").decode() not in BENCHMARKS:
            return Response(400, {"errors": ["Specify a valid benchmark."], "status": "400"})
        if "addressFile" not in form:
            return Response(400, {"errors": ["Required part 'addressFile' is not present."], "status": "400"})
        rows = list(csv.reader(io.StringIO(form["addressFile"].decode())))
        if len(rows) > MOST:
            return Response(400, {"errors": [f"Batch file exceeds maximum of {MOST} records."], "status": "400"})
        if any(len(row) != 5 for row in rows):
            return Response(400, {"errors": ["Expected 5 columns: id, street, city, state, ZIP."], "status": "400"})
        book, out = self._book(), io.StringIO()
        writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n")
        for row in sorted(rows, key=lambda row: row[0][::-1]):
            writer.writerow(_answer(book, row))
        return Response(200, out.getvalue().encode(), {"Content-Type": "text/csv"})


def _answer(book: AddressBook, row: list[str]) -> list[str]:
    number, *parts = row
    asked = ", ".join(parts)
    found = book.find(parts[0])
    places = {(entry.longitude, entry.latitude) for entry in found.entries}
    if not places:
        return [number, asked, "No_Match"]
    if len(places) > 1:
        return [number, asked, "Tie"]
    entry = found.entries[0]
    exactness = "Non_Exact" if found.unit else "Exact"
    matched = ", ".join((entry.address, *parts[1:]))
    return [number, asked, "Match", exactness, matched, f"{entry.longitude},{entry.latitude}", "76225813", "L"]


def _form(request: Request) -> dict[str, bytes]:
    """The fields of a multipart form."""
    head = f"Content-Type: {request.headers.get('content-type', '')}\r\n\r\n".encode()
    message = BytesParser(_class=EmailMessage, policy=HTTP).parsebytes(head + request.body)
    found = {}
    for part in message.iter_parts() if message.is_multipart() else ():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if isinstance(content, bytes):
            found[str(name)] = content
    return found
