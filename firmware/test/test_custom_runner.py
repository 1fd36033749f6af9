"""How `pio test` reads a test program: lines `PASS name`, `FAIL name: why`, a last `DONE`."""

from __future__ import annotations

import click
from platformio.test.result import TestCase, TestStatus
from platformio.test.runners.base import TestRunnerBase

STATUS = {"PASS": TestStatus.PASSED, "FAIL": TestStatus.FAILED}


class CustomTestRunner(TestRunnerBase):
    """One case a line; without the last line the program has died, which is an error."""

    def on_testing_line_output(self, line: str) -> None:
        """Take one line of the program's output."""
        word, _, rest = line.strip().partition(" ")
        if word in STATUS:
            name, _, why = rest.partition(": ")
            case = TestCase(name=name, status=STATUS[word], message=why or None, stdout=line)
            self.test_suite.add_case(case)
            click.echo(case.humanize())
        elif word == "DONE":
            self.test_suite.on_finish()
        elif line.strip():
            click.echo(line.rstrip())
