"""Runs the tests that start servers, and says where the time went: `make test-servers`.

With `--second-try`, failed tests run once more, in a session of their own. Those that pass then are flaky: the last
lines and build/flaky.txt list them, and they don't fail the run. The last lines also say why each test failed. All
other arguments are pytest's.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import indent

SUITE = ("-m", "server or end_to_end", "-n", "3", "--dist", "loadfile", "--no-loadscope-reorder", "--durations=25")
"""Three workers for two cores: these tests wait for servers and runs some of their time."""
FLAKY = Path("build/flaky.txt")
MOST_SECOND_TRIES = 40
"""When more tests fail than that, something is broken, and nothing is tried again."""

_TESTS_FAILED, _NO_TESTS = 1, 5  # pytest's exit codes


@dataclass
class Session:
    """What one pytest session did, as outcomes.py wrote it down."""

    exit_code: int
    collected: list[str] = field(default_factory=list)
    not_collected: set[str] = field(default_factory=set)
    outcomes: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    finished: set[str] = field(default_factory=set)
    seconds: Counter[str] = field(default_factory=Counter)

    @classmethod
    def run(cls, arguments: Sequence[str]) -> Session:
        """Run pytest in a process of its own and wait for its end."""
        with TemporaryDirectory() as folder:
            events = Path(folder) / "events.jsonl"
            command = [sys.executable, "-m", "pytest", "-p", "data_platform_tests.outcomes", "--outcomes", str(events)]
            session = cls(subprocess.run([*command, *arguments], check=False).returncode)
            for line in events.read_text(encoding="utf-8").splitlines() if events.exists() else ():
                session._note(json.loads(line))
        return session

    def with_outcome(self, outcome: str) -> set[str]:
        """The tests that ended so: `passed`, `failed` or `skipped`."""
        return {test for test, known in self.outcomes.items() if known == outcome}

    def errors(self) -> list[str]:
        """Why the outcomes of the tests don't tell the whole story; empty for a session that ran all its tests."""
        failed = self.with_outcome("failed")
        found = [f"not collected: {name or 'everything'}" for name in sorted(self.not_collected)]
        unfinished = [test for test in dict.fromkeys(self.collected) if test not in self.finished | failed]
        if unfinished:
            found.append(f"{len(unfinished)} did not finish, the first: {unfinished[0]}")
        expected = _TESTS_FAILED if failed else 0 if self.collected else _NO_TESTS
        if self.exit_code != expected:
            found.append(f"pytest's exit code was {self.exit_code} instead of {expected}")
        return found

    def _note(self, event: dict[str, object]) -> None:
        if "collected" in event:
            self.collected.extend(event["collected"])  # type: ignore[arg-type]
        elif "not_collected" in event:
            self.not_collected.add(str(event["not_collected"]))
        else:
            test, outcome = str(event["test"]), str(event["outcome"])
            self.seconds[test] += float(str(event["seconds"]))  # type: ignore[assignment]
            if event["when"] == "teardown":
                self.finished.add(test)
            if self.outcomes.get(test) != "failed" and (event["when"] == "call" or outcome != "passed"):
                self.outcomes[test] = outcome
                self.reasons[test] = str(event["reason"])


def main(arguments: Sequence[str], suite: Sequence[str] = SUITE) -> int:
    """Run the suite. Returns the exit code."""
    began = time.monotonic()
    session = Session.run([*suite, *(argument for argument in arguments if argument != "--second-try")])
    errors = session.errors()
    failed, passed = session.with_outcome("failed"), session.with_outcome("passed")
    if not failed | passed:
        errors.append("no test ran")
    flaky: set[str] = set()
    reasons = {test: [session.reasons[test]] for test in failed}
    if failed and "--second-try" in arguments and len(failed) <= MOST_SECOND_TRIES:
        print(f"\nOnce more, alone: {len(failed)} that failed", flush=True)
        again = Session.run(sorted(failed))
        errors += again.errors() if not failed <= again.finished else ()
        flaky = failed & again.finished & again.with_outcome("passed")
        for test in failed & again.with_outcome("failed"):
            reasons[test].append(again.reasons[test])
    skipped = session.with_outcome("skipped")
    _print_seconds(session)
    for word, names in (("ERROR", sorted(errors)), ("FAILED", sorted(failed - flaky)), ("FLAKY", sorted(flaky))):
        for name in names:
            print(word, name)
            for number, reason in enumerate(reasons.get(name, ()), start=1):
                print(indent(reason, f"  try {number}: "))
    FLAKY.parent.mkdir(exist_ok=True)
    FLAKY.write_text("".join(f"{test}\n" for test in sorted(flaky)), encoding="utf-8")
    counts = {"failed": failed - flaky, "passed": passed | flaky, "skipped": skipped, "flaky": flaky, "errors": errors}
    said = ", ".join(f"{len(which)} {word}" for word, which in counts.items() if which) or "no tests ran"
    print(f"=== {said} in {time.monotonic() - began:.2f}s ===", flush=True)
    return 1 if errors or failed - flaky else 0


def _print_seconds(session: Session) -> None:
    by_module: Counter[str] = Counter()
    for test, seconds in session.seconds.items():
        by_module[test.partition("::")[0]] += seconds  # type: ignore[assignment]
    print("\nSeconds by module, set-up included:")
    for module, taken in by_module.most_common():
        print(f"{taken:8.1f} {module}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
