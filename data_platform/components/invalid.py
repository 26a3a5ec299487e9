"""The asset that replaces a definition that is wrong, so that all others load."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import dagster as dg

INVALID_TAG = "data_platform/invalid"
_log = logging.getLogger(__name__)


def broken_definition(key: list[str], error: BaseException) -> dg.AssetSpec:
    """An asset that shows an invalid definition in the UI. Its description is the error, with its causes."""
    texts = [str(error)]
    while error.__cause__ is not None:
        error = error.__cause__
        texts.append(str(error))
    message = "\n\n".join(texts)
    _log.error("%s", message)
    return dg.AssetSpec(
        key,
        description=f"**This definition is invalid and was left out.**\n\n```\n{message}\n```",
        group_name="invalid",
        kinds={"error"},
        tags={INVALID_TAG: ""},
    )


def messages_of_invalid(specs: Iterable[dg.AssetSpec]) -> list[str]:
    """The errors that these assets show, those of `broken_definition` among them."""
    return [(spec.description or "").split("```")[1].strip() for spec in specs if INVALID_TAG in spec.tags]
