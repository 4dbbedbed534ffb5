"""``python -m tests.chaos``: crash everything, see what it costs, and write it to ``docs/chaos.md``.

With ``--check`` nothing is written, and the exit code is 1 where the committed table has other counts.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from tests.chaos.report import RESULTS, ROOT, Report, publish

#: Played at the same time: the first waits for a real Airflow most of the time.
PARTS = (("test_tasks.py", "test_vitals.py"), ("test_answers.py", "test_relays.py"))


def main() -> int:
    """Run all rows, then publish what they came to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with docs/chaos.md, write nothing")
    given = parser.parse_args()
    shutil.rmtree(RESULTS, ignore_errors=True)
    folder = Path(__file__).parent.relative_to(ROOT)
    RESULTS.mkdir()
    running = []
    for number, part in enumerate(PARTS):
        command = [sys.executable, "-m", "pytest", "-m", "chaos", *(str(folder / name) for name in part)]
        log = RESULTS / f"{number}.log"
        with log.open("w") as output:
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT)
        running.append((process, log))
    failed = 0
    for process, log in running:
        failed |= process.wait()
        print(log.read_text())
    return publish(Report.load(), check=given.check) or (1 if failed else 0)


if __name__ == "__main__":
    sys.exit(main())
