#!/usr/bin/env python3
"""report.py RESULTS   writes docs/interop.md to standard output: one line a test, Kafka's result, Milena's, and the reason for a difference.

RESULTS holds SUITE.tsv as the suite scripts print them. Reasons are in reasons.tsv beside this file: SUITE, a pattern for the test's name, the reason."""
import fnmatch, pathlib, sys

here = pathlib.Path(__file__).parent
results = pathlib.Path(sys.argv[1])


def table(path):
    rows = {}
    if path.exists():
        for line in path.read_text().splitlines():
            cells = line.split("\t")
            if len(cells) == 3:
                rows[cells[0]] = cells[1]
    return rows


reasons = [line.split("\t") for line in (here / "reasons.tsv").read_text().splitlines() if line and not line.startswith("#")]


def reason(suite, test):
    return next((why for s, pattern, why in reasons if s in (suite, "*") and fnmatch.fnmatchcase(test, pattern)), "")


print("# Interoperability\n")
print("Written by `just suites`. The same tests against Apache Kafka 4.3.1 and against Milena; the suites are described in")
print("[tests/interop/suites](../tests/interop/suites/README.md). `flaky`: passed at the second try; `skip`: the test left itself out;")
print("`not run`: see the reason. Differences are counted among the tests that pass on Kafka.\n")
suites = ["rskafka", "rust-rdkafka", "kgo", "librdkafka", "kafka-python", "kafka-tools"]
print("| suite | tests that pass on Kafka | of these pass on Milena | differences with a reason | without |\n|---|---|---|---|---|")
details = []
for suite in suites:
    kafka, ours = table(here / "suites" / "kafka-4.3.1" / f"{suite}.tsv"), table(results / f"{suite}.tsv")
    if not ours:
        print(f"| {suite} | {sum(v == 'pass' for v in kafka.values())} | not run | | |")
        continue
    want = [t for t, v in kafka.items() if v == "pass"]
    good = [t for t in want if ours.get(t) in ("pass", "flaky")]
    rest = [t for t in want if t not in good]
    known = [t for t in rest if reason(suite, t)]
    print(f"| {suite} | {len(want)} | {len(good)} | {len(known)} | {len(rest) - len(known)} |")
    details.append((suite, kafka, ours))
for suite, kafka, ours in details:
    print(f"\n## {suite}\n\n| test | Kafka | Milena | why it differs |\n|---|---|---|---|")
    for test in sorted(set(kafka) | set(ours)):
        k, m = kafka.get(test, "-"), ours.get(test, "not run")
        why = reason(suite, test) if m not in ("pass", "flaky") else ""
        print(f"| `{test}` | {k} | {m} | {why} |")

# A reason that explains nothing any more must go.
for suite, pattern, why in reasons:
    of = [(kafka, ours) for s, kafka, ours in details if suite in (s, "*")]
    rows = [v for kafka, ours in of for t, v in ours.items() if kafka.get(t) == "pass" and fnmatch.fnmatchcase(t, pattern)]
    if rows and all(v in ("pass", "flaky") for v in rows):
        print(f"{suite} {pattern} passes: its reason is out of date", file=sys.stderr)
