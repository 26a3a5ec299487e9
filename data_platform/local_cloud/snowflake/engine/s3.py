"""The files of external stages: downloads them from the local S3 into a temporary folder for one COPY.

Downloads whole objects, several at once: a ranged read of the local S3 takes time in proportion to the whole object.
"""

from __future__ import annotations

import functools
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import obstore
from obstore.store import S3Store

from data_platform.local_cloud.snowflake.dialect.errors import error

_PARALLEL = 8


@dataclass(frozen=True)
class StageFiles:
    """How to reach the local S3. Without an endpoint, external stages can be created but not read."""

    endpoint_url: str | None
    access_key_id: str | None
    secret_access_key: str | None
    region: str

    @contextmanager
    def fetched(self, urls: Sequence[str]) -> Iterator[list[Path]]:
        """Local copies of `urls`, in order, until the block ends.

        Raises ProgrammingError 091016 for a missing object.
        """
        scratch = Path(tempfile.mkdtemp(prefix="stage-"))
        stores = {bucket: self._store(bucket) for bucket in {urlsplit(u).netloc for u in urls}}

        def fetch(numbered: tuple[int, str]) -> Path:
            number, url = numbered
            parts = urlsplit(url)
            target = scratch / f"{number:06d}"
            try:
                with target.open("wb") as file:
                    for chunk in obstore.get(stores[parts.netloc], parts.path.lstrip("/")).stream():
                        file.write(chunk)
            except FileNotFoundError as exc:
                raise error(
                    91016,
                    "22000",
                    f"Remote file '{url}' was not found. There are several potential causes. "
                    "The file might not exist. The required credentials may be missing or invalid.",
                ) from exc
            return target

        try:
            with ThreadPoolExecutor(_PARALLEL) as pool:
                yield list(pool.map(fetch, enumerate(urls)))
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    @functools.lru_cache(16)  # noqa: B019 (it lives as long as the server)
    def _store(self, bucket: str) -> S3Store:
        if not self.endpoint_url:
            raise error(393901, "22000", "This server was started without --s3-endpoint: it reads no external stage")
        return S3Store(
            bucket,
            endpoint=self.endpoint_url,
            region=self.region,
            access_key_id=self.access_key_id,
            secret_access_key=self.secret_access_key,
            virtual_hosted_style_request=False,
            client_options={"allow_http": True},
            retry_config={"max_retries": 2},
        )
