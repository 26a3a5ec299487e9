"""A program whose threads read their first Arrow results together, the interpreter switching as often as it can."""

from __future__ import annotations

import subprocess
import sys

_READ_TOGETHER = """
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

def read(before):
    together.wait()
    before()
    assert list(PyArrowRowIterator(None, data, ArrowConverterContext(), False, False, False, True)) == [(1,)]

def read_together(before=lambda: None):
    threads = [threading.Thread(target=read, args=(before,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("all read")
"""


def run_program(body: str) -> str:
    """What a program prints that calls `read_together(before=...)`, which comes to an end, or doesn't, after "all
    read". Raises subprocess.TimeoutExpired for one that hangs."""
    command = [sys.executable, "-W", "ignore", "-c", _READ_TOGETHER + body]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout
