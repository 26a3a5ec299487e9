"""Threads that read their first results together, with the interpreter switching between them as often as it can."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import sys, threading
import pyarrow as pa
from snowflake.connector.arrow_context import ArrowConverterContext
from snowflake.connector.nanoarrow_arrow_iterator import PyArrowRowIterator
from data_platform.warehouse.arrow_once import read_one_arrow_result

sys.setswitchinterval(1e-6)
field = pa.field("ONE", pa.int64(), metadata={"logicalType": "FIXED", "precision": "1", "scale": "0"})
sink = pa.BufferOutputStream()
with pa.ipc.new_stream(sink, pa.schema([field])) as writer:
    writer.write_batch(pa.record_batch([pa.array([1])], schema=pa.schema([field])))
data = sink.getvalue().to_pybytes()
together = threading.Barrier(8)

def read():
    together.wait()
    read_one_arrow_result()
    assert list(PyArrowRowIterator(None, data, ArrowConverterContext(), False, False, False, True)) == [(1,)]

threads = [threading.Thread(target=read) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("all read")
"""


@pytest.mark.parametrize("attempt", range(3))
def test_first_results_read_by_many_threads_at_once_come_to_an_end(attempt: int) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "all read"
