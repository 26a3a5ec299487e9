"""What `dg scaffold defs` writes: a `defs.yaml` that teaches, ready to be filled in."""

from __future__ import annotations

import dagster as dg


class _TextScaffolder(dg.Scaffolder):  # type: ignore[type-arg]
    text: str

    def scaffold(self, request: dg.ScaffoldRequest) -> None:  # type: ignore[type-arg]
        request.target_path.mkdir(parents=True, exist_ok=True)
        (request.target_path / "defs.yaml").write_text(self.text)


class FileFeedScaffolder(_TextScaffolder):
    text = """x"""
