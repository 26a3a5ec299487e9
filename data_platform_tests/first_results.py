"""A program whose threads read their first Arrow results together, the interpreter switching as often as it can. It
forks, as each process reads a first result only once."""

from __future__ import annotations

import subprocess
import sys

ATTEMPTS = 8
_READ_TOGETHER = """
import os, sys, threading
import pyarrow as pa
import snowflake.connector.connection
from snowflake.connector.arrow_context import ArrowConverterContext
from snowflake.connector.nanoarrow_arrow_iterator import PyArrowRowIterator
from data_platform.warehouse import connection
from data_platform.warehouse.arrow_once import read_one_arrow_result

field = pa.field("ONE", pa.int64(), metadata={"logicalType": "FIXED", "precision": "1", "scale": "0"})
sink = pa.BufferOutputStream()
with pa.ipc.new_stream(sink, pa.schema([field])) as writer:
    writer.write_batch(pa.record_batch([pa.array([1])], schema=pa.schema([field])))
data = sink.getvalue().to_pybytes()

def read_together(before=lambda: None):
    sys.setswitchinterval(1e-6)  # a fork has the default again
    together = threading.Barrier(8)

    def read():
        together.wait()
        before()
        assert list(PyArrowRowIterator(None, data, ArrowConverterContext(), False, False, False, True)) == [(1,)]

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("all read", flush=True)

def attempt():
BODY

for _ in range(ATTEMPTS):
    if os.fork() == 0:
        attempt()
        os._exit(0)
    assert os.wait()[1] == 0
"""


def all_read(body: str) -> bool:
    """Whether all threads read their results in each of some processes whose body calls `read_together(before=...)`.
    Raises subprocess.TimeoutExpired if one hangs."""
    indented = "\n".join(f"    {line}" for line in body.strip().splitlines())
    program = _READ_TOGETHER.replace("BODY", indented).replace("ATTEMPTS", str(ATTEMPTS))
    command = [sys.executable, "-W", "ignore", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    return done.stdout.split("\n") == ["all read"] * ATTEMPTS + [""]
