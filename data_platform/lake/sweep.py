"""Deletes what nothing needs any more: parts that no manifest commits, and old extracts whose rows are in no table."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from data_platform.lake.extracts import UNLOADED, Lake, StoredObject, key_of_mark
from data_platform.lake.manifest import MANIFEST_NAME, ROOT
from data_platform.lake.writer import attempt_of

_AT_ONCE = 1_000
ORPHANED_AFTER = timedelta(days=2)
"""Longer than the longest extract takes: until then, an attempt may be at work."""


@dataclass(slots=True)
class Swept:
    """How much was deleted. `orphans`: objects of killed attempts."""

    orphans: int = 0
    extracts: int = 0
    objects: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class _Folder:
    """An extract's objects: {path: size}, and when the last of them was written."""

    path: str
    objects: dict[str, int]
    modified: datetime

    @property
    def extract_id(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def manifest(self) -> str | None:
        path = f"{self.path}/{MANIFEST_NAME}"
        return path if path in self.objects else None


def sweep(
    lake: Lake,
    *,
    now: datetime,
    extracts_after: timedelta,
    needed: Callable[[Sequence[str]], Set[str]],
) -> Swept:
    """Lists the lake's extracts once, and deletes orphans, and extracts that are older than `extracts_after` and not
    among the ids that `needed` returns of those it is given. May be cut off at any time: the next call goes on."""
    done = Swept()
    unloaded = {mark.path.rpartition("/")[2] for mark in _marks(lake, now)}
    old: list[_Folder] = []

    def kept(ids: Sequence[str]) -> Set[str]:
        return needed(ids) | unloaded

    for folder in _folders(lake):
        if folder.manifest is not None and folder.modified < now - extracts_after:
            old.append(folder)
            if len(old) >= _AT_ONCE:
                _delete_unneeded(lake, old, kept, done)
                old = []
        elif folder.modified < now - ORPHANED_AFTER:
            orphans = list(_orphans(lake, folder))
            _delete(lake, orphans, folder, done)
            done.orphans += len(orphans)
    _delete_unneeded(lake, old, kept, done)
    return done


def _marks(lake: Lake, now: datetime) -> Iterator[StoredObject]:
    """The marks of extracts that aren't loaded yet. Deletes old ones whose extract was never committed."""
    for mark in list(lake.objects(f"{UNLOADED}/")):
        if mark.modified < now - ORPHANED_AFTER and lake.read_manifest(key_of_mark(mark.path)) is None:
            lake.delete([mark.path])
        else:
            yield mark


def _folders(lake: Lake) -> Iterator[_Folder]:
    """One after the other, as S3 lists keys in order."""
    listed = lake.objects(f"{ROOT}/")
    for path, found in groupby(listed, key=lambda item: item.path.rpartition("/")[0]):
        items = list(found)
        yield _Folder(path, {item.path: item.size for item in items}, max(item.modified for item in items))


def _orphans(lake: Lake, folder: _Folder) -> Iterator[str]:
    """The folder's files that its manifest doesn't name. Reads the manifest only if several attempts have left
    files."""
    parts = [path for path in folder.objects if path != folder.manifest]
    if folder.manifest is None:
        yield from parts
    elif len({attempt_of(path) for path in parts}) > 1:
        kept = lake.files_of(folder.manifest)
        yield from (path for path in parts if path not in kept)


def _delete_unneeded(
    lake: Lake, old: Sequence[_Folder], needed: Callable[[Sequence[str]], Set[str]], done: Swept
) -> None:
    if not old:
        return
    kept = needed([folder.extract_id for folder in old])
    for folder in old:
        if folder.extract_id in kept:
            orphans = list(_orphans(lake, folder))
            _delete(lake, orphans, folder, done)
            done.orphans += len(orphans)
        else:
            # The manifest first: without it there is no extract, and what a cut leaves is orphans.
            _delete(lake, [str(folder.manifest)], folder, done)
            _delete(lake, folder.objects.keys() - {folder.manifest}, folder, done)
            done.extracts += 1


def _delete(lake: Lake, paths: Collection[str | None], folder: _Folder, done: Swept) -> None:
    found = [path for path in paths if path is not None]
    lake.delete(found)
    done.objects += len(found)
    done.bytes += sum(folder.objects[path] for path in found)
