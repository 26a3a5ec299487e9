"""A dataset as files in the lake, under `publications/<dataset>/`: each version in a folder of its own, and
`current.json`, which names the version that counts.

`current.json` is written last, by a conditional put. So readers see the old version or the new one, and of two writers
one is refused. The version before stays for a rollback; older ones go.
"""

from __future__ import annotations

import hashlib
import json
import mimetypes
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from data_platform.publish.files.formats import write_dictionary, written
from data_platform.publish.files.metadata import dcat
from data_platform.publish.rows import Rows
from data_platform.publish.spec import FilesPublication
from data_platform.publish.target import PublicationFailed, Published, Stamp

if TYPE_CHECKING:
    from obstore.store import ObjectStore

DICTIONARY = "data-dictionary.csv"


@dataclass(frozen=True)
class File:
    """A published file: its key in the bucket, what it is, and its content's size and hash."""

    key: str
    format: str
    media_type: str
    size: int
    sha256: str


class FilesTarget:
    """A dataset's files in a bucket. `descriptions`: of columns, for the data dictionary. `progress` receives messages
    for the log."""

    def __init__(
        self,
        store: ObjectStore,
        dataset: str,
        publication: FilesPublication,
        *,
        descriptions: Mapping[str, str] | None = None,
        progress: Callable[[str], None] = lambda message: None,
    ) -> None:
        self.name = f"files/{dataset}"
        self._store, self._dataset, self._publication = store, dataset, publication
        self._descriptions, self._progress = dict(descriptions or {}), progress
        described = {"title", "description", "publisher", "contact", "keywords", "license", "url", "formats"}
        told = publication.model_dump(mode="json", include=described)
        self.definition = json.dumps({"target": "files", **told, "columns": self._descriptions}, sort_keys=True)

    @property
    def url(self) -> str:
        """The address of `current.json`."""
        return f"{self._publication.url.rstrip('/')}/{self._dataset}/current.json"

    def current(self) -> Published | None:
        """What `current.json` says."""
        pointer = self._pointer()[0]
        if pointer is None:
            return None
        stamp = Stamp(**pointer["stamp"])
        return Published(stamp, stamp.rows)

    def put(self, rows: Rows, stamp: Stamp) -> None:
        """Writes the version's files, and then `current.json`."""
        before, tag = self._pointer()
        with TemporaryDirectory(prefix="publish-") as folder:
            files = list(self._written(rows, stamp, Path(folder)))
        version = {
            "stamp": asdict(stamp),
            "files": [asdict(file) for file in files],
            "dataset": dcat(self._dataset, self._publication, stamp, files, rows.extent),
        }
        self._point({**version, "previous": _without_previous(before)}, tag)
        self._remove_others({stamp.version, before["stamp"]["version"] if before else ""})

    def roll_back(self, run_id: str) -> tuple[Stamp, Stamp]:
        """Points `current.json` at the version before."""
        now, tag = self._pointer()
        before = now and now["previous"]
        if now is None or before is None:
            raise PublicationFailed(f"{self.name}: no version before is kept, so there is nothing to roll back to")
        gone = Stamp(**now["stamp"])
        stamp = replace(Stamp(**before["stamp"]), withdrawn=gone.fingerprint, run_id=run_id)
        self._point({**before, "stamp": asdict(stamp), "previous": _without_previous(now)}, tag)
        return stamp, gone

    def _written(self, rows: Rows, stamp: Stamp, folder: Path) -> Iterator[File]:
        for name, path, media in written(rows, self._dataset, self._publication.formats, folder):
            yield self._upload(stamp, path, name, media)
        dictionary = folder / DICTIONARY
        write_dictionary(rows, self._descriptions, dictionary)
        yield self._upload(stamp, dictionary, "data dictionary", str(mimetypes.guess_type(DICTIONARY)[0]))

    def _upload(self, stamp: Stamp, path: Path, format: str, media_type: str) -> File:
        import obstore

        key = f"{self._folder}/versions/{stamp.version}/{path.name}"
        digest = hashlib.sha256()
        with path.open("rb") as content:
            while chunk := content.read(2**20):
                digest.update(chunk)
        obstore.put(self._store, key, path, attributes={"Content-Type": media_type})
        self._progress(f"{self.name}: wrote {path.name}, {path.stat().st_size:,} bytes")
        return File(key, format, media_type, path.stat().st_size, digest.hexdigest())

    @property
    def _folder(self) -> str:
        return f"publications/{self._dataset}"

    def _pointer(self) -> tuple[dict[str, Any] | None, str | None]:
        """`current.json` and its ETag; None and None if there is none."""
        import obstore

        try:
            found = obstore.get(self._store, f"{self._folder}/current.json")
        except FileNotFoundError:
            return None, None
        return json.loads(bytes(found.bytes())), found.meta["e_tag"]

    def _point(self, pointer: Mapping[str, Any], tag: str | None) -> None:
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        body = json.dumps(pointer, indent=2, ensure_ascii=False).encode()
        replaces: Any = {"e_tag": tag}
        try:
            obstore.put(
                self._store,
                f"{self._folder}/current.json",
                body,
                mode="create" if tag is None else replaces,
                attributes={"Content-Type": "application/json"},
            )
        except (AlreadyExistsError, PreconditionError):
            # Our own put, if an answer was lost and it was sent again.
            if (self._pointer()[0] or {}).get("stamp") != pointer["stamp"]:
                raise PublicationFailed(
                    f"{self.name}: another run has published in the meantime; this one changed nothing. Run it again"
                ) from None

    def _remove_others(self, kept: set[str]) -> None:
        """Removes versions that no pointer names: older ones, and those of runs that were killed."""
        import obstore

        prefix = f"{self._folder}/versions/"
        for page in obstore.list(self._store, prefix=prefix):
            old = [meta["path"] for meta in page if meta["path"].removeprefix(prefix).split("/")[0] not in kept]
            if old:
                obstore.delete(self._store, old)


def _without_previous(pointer: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if pointer is None else {name: value for name, value in pointer.items() if name != "previous"}
