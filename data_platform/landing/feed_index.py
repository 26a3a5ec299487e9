"""Finds the feed of a file, by its name."""

from __future__ import annotations

import re
from collections.abc import Iterable

from data_platform.feeds.files import FileFeedSpec, Quota
from data_platform.feeds.patterns import LONGEST_NAME, has_repetitions

# SFTP clients and transfer tools upload under such a name, or in a folder with a leading dot, and rename at the end.
_ENDS_IN_TRANSFER = (
    *(".part", ".partial", ".filepart", ".tmp", ".temp", ".swp", "~"),
    *(".crdownload", ".incomplete", ".inprogress", ".uploading", ".writing"),
)


def in_transfer(file_name: str) -> bool:
    """Whether the file is still being sent, by its name."""
    return file_name.startswith(".") or "/." in file_name or file_name.lower().endswith(_ENDS_IN_TRANSFER)


# The fixed beginning of a pattern, which every name it matches starts with: its plain characters up to the first
# special one, without a last character that a quantifier makes optional.
_LITERAL = re.compile(r"(?:[^\\.^$*+?{}\[\]|()](?![*+?{]))*")


class FeedIndex:
    """Finds the feed of a file. It tries only the feeds of the file's partner whose pattern begins like the name, so
    the cost doesn't grow with the number of feeds."""

    def __init__(self, feeds: Iterable[FileFeedSpec]) -> None:
        # partner -> length of beginning -> beginning -> feeds
        self._by_partner: dict[str, dict[int, dict[str, list[FileFeedSpec]]]] = {}
        self._companions: dict[str, list[re.Pattern[str]]] = {}
        self._quotas: dict[str, Quota] = {}
        self._slow: set[str] = set()
        for rules in feeds:
            self._quotas[rules.source] = rules.quota
            if has_repetitions(rules.pattern):
                self._slow.add(rules.source)
            beginning = _beginning(rules.pattern)
            by_length = self._by_partner.setdefault(rules.source, {})
            by_length.setdefault(len(beginning), {}).setdefault(beginning, []).append(rules)
            template = rules.readiness.manifest or rules.readiness.trigger
            if template:
                expression = re.escape(template).replace(r"\{name\}", r".+").replace(r"\{stem\}", r"[^.]+")
                self._companions.setdefault(rules.source, []).append(re.compile(expression))

    def match(self, partner: str, file_name: str) -> list[FileFeedSpec]:
        """The partner's feeds whose pattern matches the name. More than one is a mistake in the feeds' YAML."""
        if len(file_name) > LONGEST_NAME:
            return []
        return [
            rules
            for length, by_beginning in self._by_partner.get(partner, {}).items()
            for rules in by_beginning.get(file_name[:length], ())
            if rules.regex.fullmatch(file_name)
        ]

    def knows(self, partner: str) -> bool:
        """Whether the partner has a feed."""
        return partner in self._by_partner

    def quota(self, partner: str) -> Quota:
        """The partner's quota."""
        return self._quotas.get(partner) or Quota()

    def may_be_slow(self, partner: str) -> bool:
        """Whether a file name can be slow to match: no pattern of fixed length is."""
        return partner in self._slow

    def is_companion(self, partner: str, file_name: str) -> bool:
        """Whether a file of this name is a manifest or trigger of one of the partner's feeds."""
        return any(expression.fullmatch(file_name) for expression in self._companions.get(partner, ()))


def _beginning(pattern: str) -> str:
    found = _LITERAL.match(pattern)
    return found[0] if found and "|" not in pattern else ""
