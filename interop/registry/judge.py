"""Compares what a client's own tests did with what docs/interop.md says fails, and why.

    judge.py SUITE < LOG

Passes if every test passed or failed as the table below `### SUITE` explains; a test that fails without a reason
there, a reason whose test passes, and a log without tests do not.
"""

import pathlib
import re
import sys

DOCUMENT = pathlib.Path(__file__).resolve().parents[2] / "docs" / "interop.md"
# `tests/api/test_kv.py::TestKv::test_put[1.22.0] PASSED`, and `test acl_tests::test_read_token ... ok`.
PYTEST = re.compile(r"^\S+/test_(\w+)\.py::(?:\w+::)?(\w+)(?:\[\S+\])? (PASSED|FAILED|ERROR|SKIPPED|XFAIL)\b")
CARGO = re.compile(r"^test (?:(\w+)::)?(\w+) \.\.\. (ok|FAILED|ignored)\b")


def reasons(suite):
    """The rows of the suite's table: tests in backquotes, module first, then why."""
    section = DOCUMENT.read_text().partition(f"\n### {suite}\n")[2].partition("\n#")[0]
    found = {}
    for tests, why in re.findall(r"^\| (`.*`) \| (.*) \|$", section, re.M):
        module, *names = re.findall(r"`([^`]+)`", tests)
        found.update({(module, name): why for name in names})
    return found


def main():
    suite, outcomes = sys.argv[1], {}
    for line in sys.stdin:
        print(line, end="")
        if match := PYTEST.match(line) or CARGO.match(line):
            module, name, outcome = match.groups()
            outcomes[module or "", name] = outcome
    explained = reasons(suite)
    failed = {test for test, outcome in outcomes.items() if outcome in ("FAILED", "ERROR")}
    passed = {test for test, outcome in outcomes.items() if outcome in ("PASSED", "ok")}
    left_out = len(outcomes) - len(failed) - len(passed)
    print(f"\n{suite}: {len(passed)} passed, {len(failed)} failed, {left_out} left out by the suite itself")
    for test in sorted(failed & explained.keys()):
        print(f"explained: {'::'.join(test)}: {explained[test]}")
    wrong = [f"FAILED without a reason in {DOCUMENT.name}: {'::'.join(test)}" for test in sorted(failed - explained.keys())]
    wrong += [f"has a reason in {DOCUMENT.name} to fail, and does not: {'::'.join(test)}"
              for test in sorted(explained.keys() & passed)]
    if not outcomes:
        wrong.append("no test ran")
    print("\n".join(wrong))
    return bool(wrong)


sys.exit(main())
