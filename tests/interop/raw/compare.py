#!/usr/bin/env python3
"""compare.py ANSWERS   compares a broker's answers (from probe.py) with Kafka's; prints each difference that nobody has accounted for.

`reasons.tsv` accounts for the others: a pattern of cases (of shell form), the answer (`*` for any part of it left open), and why it stays.
A reason that no case needs any more is a difference, too.
"""
import fnmatch
import json
import pathlib
import sys

here = pathlib.Path(__file__).parent


def table(path):
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return [line.split("\t") for line in lines]


def agrees(pattern, answer):
    """Does the answer have what the pattern says? A pattern names only some of an answer's fields."""
    if isinstance(pattern, dict) and isinstance(answer, dict):
        return all(key in answer and agrees(value, answer[key]) for key, value in pattern.items())
    if isinstance(pattern, str) and isinstance(answer, str):
        return fnmatch.fnmatchcase(answer, pattern)
    return pattern == answer


def same(kafka, here):
    """Equal, but for a message where Kafka has none to give."""
    if isinstance(kafka, dict) and isinstance(here, dict) and kafka.get("message", "") is None and kafka.get("error") != 0:
        here = {**here, "message": None}
    return kafka == here


def main():
    kafka = {name: json.loads(answer) for name, answer in table(here / "kafka-4.3.1.tsv")}
    found = {name: json.loads(answer) for name, answer in table(pathlib.Path(sys.argv[1]))}
    reasons, used, reasoned, bad = table(here / "reasons.tsv"), set(), 0, 0
    for name in [*kafka, *(name for name in found if name not in kafka)]:
        if same(kafka.get(name), found.get(name)):
            continue
        accounted = False
        for row, (cases, answer, _why) in enumerate(reasons):
            if fnmatch.fnmatchcase(name, cases) and agrees(json.loads(answer), found.get(name)):
                used.add(row)
                reasoned += 1
                accounted = True
                break
        if not accounted:
            bad += 1
            print(f"{name}\n  Kafka {json.dumps(kafka.get(name))}\n  here  {json.dumps(found.get(name))}")
    for row, (cases, _answer, why) in enumerate(reasons):
        if row not in used:
            bad += 1
            print(f"nothing needs this reason any more: {cases}: {why}")
    print(f"{len(kafka)} answers: {len(kafka) - reasoned - bad} are Kafka's, {reasoned} differ for a reason, {bad} for none")
    sys.exit(1 if bad else 0)


main()
