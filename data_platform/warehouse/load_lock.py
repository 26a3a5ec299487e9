"""Takes the lock by which loads of one feed take turns. `platform.load_lock` says which table that is."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence

from data_platform.warehouse.connection import SESSION_PARAMETERS
from data_platform.warehouse.table import TableRef

TOO_MANY_WAIT = 625
LONGEST_PAUSE_SECONDS = 30.0


def take_lock(execute: Callable[[str, Sequence[object]], object], lock: TableRef, holder: str) -> None:
    """Waits for the lock, as the first statement of the open transaction, and holds it until that ends.

    Snowflake lets 20 statements wait for a table's lock and refuses more: 000625, "the number of waiters for this lock
    exceeds the 20 statements limit". Nothing has been written then, and the transaction stays open, so the statement is
    tried again after a pause, for as long as a statement may wait for a lock. Raises ProgrammingError after that.
    """
    # Importing the connector takes almost a second; processes that only load definitions don't need it.
    from snowflake.connector.errors import ProgrammingError

    give_up = time.monotonic() + SESSION_PARAMETERS["LOCK_TIMEOUT"]
    pause = 1.0
    while True:
        try:
            execute(f"UPDATE {lock.sql} SET HOLDER = %s", [holder])
            return
        except ProgrammingError as refused:
            crowded = refused.errno == TOO_MANY_WAIT and "waiters" in str(refused)
            if not crowded or time.monotonic() + pause > give_up:
                raise
        # A random part, so that loads that were refused together don't return together.
        time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
