#!/usr/bin/env python3
"""probe.py BOOTSTRAP [GROUP...]   sends a fixed list of raw requests to a broker and prints a line `case <tab> answer (JSON)` for each.

The broker must be fresh: a single node without topics. Clock times in answers are written `<now>`, those in messages `<ms>`.
`kafka-4.3.1.tsv` is what Apache Kafka 4.3.1 answers (`make_answers.sh` asks it again); `compare.py` says where another broker differs.
"""
import json
import re
import sys
import time

import produce_cases
import read_cases
from wire import Broker

DAY = 86_400_000


class Case:
    def __init__(self, broker):
        self.broker, self.now = broker, int(time.time() * 1000)

    def say(self, name, answer):
        print(f"{name}\t{json.dumps(self.plain(answer), sort_keys=True)}", flush=True)

    def plain(self, value):
        """Without what differs from run to run."""
        if isinstance(value, dict):
            return {key: self.plain(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.plain(item) for item in value]
        if isinstance(value, str):
            value = re.sub(r"-9223370\d{12}\b", "<lowest>", value)
            return re.sub(r"\b1[78]\d{11}\b", "<ms>", value)
        if type(value) is int and abs(value - self.now) < 100 * DAY:
            distance = value - self.now
            return "<now>" if abs(distance) < 600_000 else f"<now {distance / 3_600_000:+.0f} h>"
        return value

    def topic(self, name, configs, partitions=1):
        self.broker.create_topic(name, partitions, configs)
        return name

    def settle(self, condition):
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline, "a changed setting takes no effect"
            time.sleep(0.05)

    def await_next_millisecond(self):
        begun = int(time.time() * 1000)
        while int(time.time() * 1000) <= begun + 1:
            time.sleep(0.001)

    def produce(self, name, topic, data, **how):
        try:
            answer = self.broker.produce(topic, data, **how)
        except EOFError:
            answer = "closed"
        if answer is None:
            answer = "closed" if self.broker.is_closed_within(5) else "open"
        self.say(name, answer)

    def offset(self, name, topic, timestamp, **how):
        try:
            self.say(name, self.broker.list_offset(topic, timestamp, **how))
        except EOFError:
            self.say(name, "closed")

    def fetch(self, name, topic, partitions, **how):
        try:
            answer = self.broker.fetch(topic, partitions, **how)
        except EOFError:
            self.say(name, "closed")
            return
        for part in answer["partitions"]:
            # Kafka sends the beginning of one batch more than fits; clients skip it.
            whole = [header for header in part["records"] or [] if "torn" not in header]
            part["bytes"], part["records"] = sum(12 + header["length"] for header in whole), [header["base"] for header in whole]
        self.say(name, answer)

    def fetched(self, name, topic, without=()):
        """The headers of everything in partition 0."""
        at = 0
        while True:
            part = self.broker.fetch(topic, [(0, at, 1 << 20)])["partitions"][0]
            for header in part["records"]:
                self.say(f"{name} at {header['base']}", {key: value for key, value in header.items() if key not in without})
                at = header["base"] + header["last_delta"] + 1
            if not part["records"]:
                return

    def deleted(self, name, topic, offset, **how):
        try:
            self.say(name, self.broker.delete_records(topic, offset, **how))
        except EOFError:
            self.say(name, "closed")


def main():
    broker = Broker(sys.argv[1].split(",")[0])
    case = Case(broker)
    for group in produce_cases.GROUPS + read_cases.GROUPS + produce_cases.LAST:
        if not sys.argv[2:] or group.__name__ in sys.argv[2:]:
            group(case, broker)


main()
