"""A dataset in a CARTO account: fills a stage beside it, checks the stage, then swaps the two in one transaction."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from data_platform.publish.carto import sql
from data_platform.publish.carto.client import BrokenOff, CartoClient
from data_platform.publish.spec import CartoPublication
from data_platform.publish.target import GateFailed, PublicationFailed, Published, Stamp
from data_platform.publish.text import text_of

if TYPE_CHECKING:
    from data_platform.publish.rows import Rows

_TELL_EVERY = 16
"""Batches after which the log says how many rows were sent."""
_FILLS = 3
"""How often a stage is filled before the publication fails: a COPY without an answer is never continued."""


class CartoTarget:
    """A dataset's table, the version before beside it as `<dataset>__previous`. `progress` receives messages for the
    log."""

    def __init__(
        self,
        client: CartoClient,
        dataset: str,
        publication: CartoPublication,
        *,
        progress: Callable[[str], None] = lambda message: None,
    ) -> None:
        self.name = f"carto/{dataset}"
        self._client, self._dataset, self._publication, self._progress = client, dataset, publication, progress
        # Not the limits or the texts of the declaration: they don't change what is published.
        self.definition = json.dumps(
            {"target": "carto", "users": publication.select_users, "indexes": publication.indexes}
        )

    @property
    def url(self) -> str:
        """The dataset's rows in CARTO's SQL API."""
        return f"{self._client.address.url}/api/v2/sql?q=SELECT+*+FROM+{self._dataset}"

    def current(self) -> Published | None:
        """What is published. Drops a stage that an interrupted publication left behind."""
        state = self._state()
        if state["left_over"]:
            self._ask(sql.drop(sql.stage_of(self._dataset)))
        if not state["there"]:
            return None
        stamp = Stamp.from_json(state["stamp"])
        (counted,) = self._ask(sql.count(self._dataset))
        return Published(stamp, int(counted["rows"]))

    def put(self, rows: Rows, stamp: Stamp) -> None:
        """Publishes the rows. Whatever fails before the swap leaves the dataset as it is."""
        try:
            self._fill(rows)
            for column in self._publication.indexes:
                self._ask(sql.index(self._dataset, column))
            self._check(rows)
            self._ask(sql.publish(self._dataset, self._publication, stamp.to_json()))
        except PublicationFailed:
            with suppress(PublicationFailed):  # the next publication drops it
                self._ask(sql.drop(sql.stage_of(self._dataset)))
            raise

    def roll_back(self, run_id: str) -> tuple[Stamp, Stamp]:
        """Swaps the dataset with the version before."""
        state = self._state()
        before, now = Stamp.from_json(state["previous"]), Stamp.from_json(state["stamp"])
        if not state["has_previous"] or before is None or now is None:
            raise PublicationFailed(
                f"{self.name}: there is no version before that this platform has published, so nothing to roll back to"
            )
        stamp = replace(before, withdrawn=now.fingerprint, run_id=run_id)
        self._ask(sql.roll_back(self._dataset, self._publication, stamp.to_json()))
        return stamp, now

    def _fill(self, rows: Rows) -> None:
        statement = sql.copy(self._dataset, rows.columns, with_geometry=rows.has_geometry)
        for attempt in range(1, _FILLS + 1):
            self._ask(sql.create(self._dataset, rows.columns))
            try:
                copied = self._client.copy(statement, lambda: self._lines(rows), self.name)
                break
            except BrokenOff as error:
                if attempt == _FILLS:
                    raise
                self._progress(f"{error}; filling an empty stage again")
        if copied != rows.number:
            raise GateFailed(
                f"{self.name}: CARTO copied {copied:,} rows, expected {rows.number:,}; nothing is published"
            )

    def _lines(self, rows: Rows) -> Iterable[bytes]:
        done = 0
        for place, batch in enumerate(rows.batches(), start=1):
            yield text_of(batch)
            done += batch.num_rows
            if place % _TELL_EVERY == 0 or done == rows.number:
                self._progress(f"{self.name}: sent {done:,} of {rows.number:,} rows")

    def _check(self, rows: Rows) -> None:
        (found,) = self._ask(sql.gates(self._dataset))
        if int(found["rows"]) != rows.number:
            raise GateFailed(f"{self.name}: the stage has {found['rows']} rows, expected {rows.number}")
        for count, what in (
            (found["invalid"], "shapes that are not valid"),
            (found["elsewhere"], "another SRID than 4326"),
        ):
            if int(count):
                raise GateFailed(f"{self.name}: {count} rows have {what}; correct them in the model")

    def _state(self) -> dict[str, Any]:
        (state,) = self._ask(sql.state(self._dataset))
        return state

    def _ask(self, statement: str) -> list[dict[str, Any]]:
        return self._client.rows(statement, self.name)
