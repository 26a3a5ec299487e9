"""The source that docs/add-a-source.md shows: its code blocks, as a module."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

PAGE = Path(__file__).parents[2] / "docs" / "add-a-source.md"
_IMPORTS = """
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import dagster as dg
import pyarrow as pa
from pydantic import BaseModel

from data_platform.automation.feed_run import FeedRun
from data_platform.components.feed_assets import SourceKind, feed_definitions
from data_platform.contract import Contract
from data_platform.extract.source import Chunk, Position, Slice, Source, extract_id_of
from data_platform.feeds.spec import FeedSpec, LoadMode, SourceDeclaration
from data_platform.lake.manifest import Manifest
from data_platform.lake.writer import REJECTS_SCHEMA
"""


def page() -> ModuleType:
    """The page's code."""
    made = ModuleType("add_a_source")
    sys.modules[made.__name__] = made  # dataclasses and pydantic look names up there
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(_IMPORTS + "\n".join(blocks), str(PAGE), "exec"), made.__dict__)
    return made
