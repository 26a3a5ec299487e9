"""Keeps threads that read their first Snowflake results at the same time from deadlocking.

The connector (seen in 4.8.0) sets up its C++ logger under `std::call_once` when a process reads its first Arrow
result, and calls Python meanwhile. If the interpreter then switches to another thread that reads a first result too,
that thread waits for the set-up while it holds the GIL, which the set-up needs: the process deadlocks. Reading one
result in one thread first prevents it.
"""

from __future__ import annotations

import threading

import pyarrow as pa
from snowflake.connector.arrow_context import ArrowConverterContext
from snowflake.connector.nanoarrow_arrow_iterator import PyArrowRowIterator

_lock = threading.Lock()
_done = False


def read_one_arrow_result() -> None:
    """Reads a result of one NULL, made here, once per process. Takes about a millisecond: it imports no pandas, which
    pa.array([1]) does. Any thread may call it: others wait for a Python lock, which releases the GIL."""
    global _done
    with _lock:
        if _done:
            return
        field = pa.field("ONE", pa.int64(), metadata={"logicalType": "FIXED", "precision": "1", "scale": "0"})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, pa.schema([field])) as writer:
            writer.write_batch(pa.RecordBatch.from_arrays([pa.nulls(1, pa.int64())], schema=pa.schema([field])))
        next(PyArrowRowIterator(None, sink.getvalue().to_pybytes(), ArrowConverterContext(), False, False, False, True))
        _done = True
