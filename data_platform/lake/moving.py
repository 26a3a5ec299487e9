"""What the lake has of a feed, by its name: copies it for a feed's new name, and deletes it. Every function may be cut
off, and called again."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import obstore

from data_platform.lake.extracts import UNLOADED, Lake, key_of_mark
from data_platform.lake.manifest import MANIFEST_NAME, ROOT, FileEntry, Manifest

_AT_ONCE = 8
_DELETES_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class Stored:
    """How much the lake has of a feed. `unloaded`: extracts that are committed and not loaded yet."""

    extracts: int = 0
    objects: int = 0
    bytes: int = 0
    unloaded: int = 0


def prefix_of(source: str, table: str) -> str:
    """`extracts/<source>/<table>/`."""
    return f"{ROOT}/{source}/{table}/"


def stored(lake: Lake, source: str, table: str) -> Stored:
    """What the lake has of the feed."""
    found = list(lake.objects(prefix_of(source, table)))
    extracts = sum(each.path.endswith(f"/{MANIFEST_NAME}") for each in found)
    unloaded = sum(1 for _ in _marks(lake, source, table))
    return Stored(extracts, len(found), sum(each.size for each in found), unloaded)


def copy_extracts(lake: Lake, source: str, table: str, to: str) -> None:
    """Copies a feed's committed extracts for its new name, each as its manifest says and the manifest last, within the
    bucket. What is copied already is left out. Call it once more before `delete_extracts`."""

    def copy(path: str) -> None:
        manifest = Manifest.from_json(bytes(obstore.get(lake.store, path).bytes()))
        copied = _renamed(manifest, to)
        if lake.read_manifest(copied.key) is None:
            for old, new in zip(_files(manifest), _files(copied), strict=True):
                obstore.copy(lake.store, old.path, new.path)
            obstore.put(lake.store, copied.key.manifest_path, copied.to_json().encode())

    for mark in list(_marks(lake, source, table)):  # first: an extract without its mark would never be loaded
        lake.mark_unloaded(replace(key_of_mark(mark), table=to))
    listed = lake.objects(prefix_of(source, table))
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="copy") as pool:
        for _ in pool.map(copy, [each.path for each in listed if each.path.endswith(f"/{MANIFEST_NAME}")]):
            pass


def forget_unloaded(lake: Lake, source: str, table: str) -> None:
    """Deletes the marks of the extracts that aren't loaded yet: nobody loads them any more."""
    lake.delete(_marks(lake, source, table))


def delete_extracts(lake: Lake, source: str, table: str) -> None:
    """Deletes all that the lake has of the feed."""
    forget_unloaded(lake, source, table)
    paths = [each.path for each in lake.objects(prefix_of(source, table))]
    for start in range(0, len(paths), _DELETES_AT_ONCE):
        lake.delete(paths[start : start + _DELETES_AT_ONCE])


def _marks(lake: Lake, source: str, table: str) -> Iterator[str]:
    return (mark.path for mark in lake.objects(f"{UNLOADED}/{source}/{table}/"))


def _files(manifest: Manifest) -> list[FileEntry]:
    return [*manifest.files, *([manifest.rejects_file] if manifest.rejects_file else [])]


def _renamed(manifest: Manifest, to: str) -> Manifest:
    named = replace(manifest, table=to)

    def moved(file: FileEntry) -> FileEntry:
        return replace(file, path=file.path.replace(manifest.key.prefix, named.key.prefix, 1))

    rejects = manifest.rejects_file and moved(manifest.rejects_file)
    return replace(named, files=tuple(moved(file) for file in manifest.files), rejects_file=rejects)
