"""A dataset's entry in an open data catalogue: DCAT-US 1.1 (https://resources.data.gov/resources/dcat-us/)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from data_platform.publish.spec import FilesPublication
from data_platform.publish.target import Stamp

if TYPE_CHECKING:
    from data_platform.publish.files.target import File


def dcat(
    dataset: str,
    publication: FilesPublication,
    stamp: Stamp,
    files: Sequence[File],
    extent: tuple[float, float, float, float] | None,
) -> dict[str, Any]:
    """The entry, with every field that DCAT-US requires of a public dataset. `extent`: west, south, east, north."""
    base = publication.url.rstrip("/")

    def address(file: File) -> str:
        return f"{base}/{file.key.removeprefix('publications/')}"

    entry: dict[str, Any] = {
        "@type": "dcat:Dataset",
        "identifier": f"{base}/{dataset}",
        "title": publication.title,
        "description": publication.description,
        "keyword": list(publication.keywords),
        "modified": stamp.published_at,
        "publisher": {"@type": "org:Organization", "name": publication.publisher},
        "contactPoint": {
            "@type": "vcard:Contact",
            "fn": publication.contact.name,
            "hasEmail": f"mailto:{publication.contact.email}",
        },
        "accessLevel": "public",
        "distribution": [
            {
                "@type": "dcat:Distribution",
                "title": file.format,
                "mediaType": file.media_type,
                "downloadURL": address(file),
            }
            for file in files
            if file.format != "data dictionary"
        ],
    }
    for file in files:
        if file.format == "data dictionary":
            entry |= {"describedBy": address(file), "describedByType": file.media_type}
    if publication.license is not None:
        entry["license"] = publication.license
    if extent is not None:
        entry["spatial"] = ",".join(f"{degrees:g}" for degrees in extent)
    return entry
