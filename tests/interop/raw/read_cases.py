"""What a broker must say to reads: ListOffsets, Fetch, and DeleteRecords, which moves where they begin."""
import time

from wire import GZIP, LZ4, NONE, SNAPPY, ZSTD, batch, record

T0 = 1_700_000_000_000
KEEP = {"retention.ms": -1}


def offsets(case, broker):
    topic = case.topic("offsets", KEEP)
    for spec in (-1, -2, -3, -4, -5, -6, 0, T0):
        case.offset(f"offsets/empty, {spec}", topic, spec)
    # Timestamps (in thousands past T0) of batches; not in order, within batches neither.
    times = [[0, 1, 2], [10, 5, 20], [15], [30, 29, 31], [31, 31, 12], [7]]
    for codec, batch_times in zip((NONE, GZIP, SNAPPY, LZ4, ZSTD, NONE), times):
        records = [record(i, time_delta=1000 * (t - batch_times[0])) for i, t in enumerate(batch_times)]
        broker.produce(topic, batch(records, codec, first=T0 + 1000 * batch_times[0], maximum=T0 + 1000 * max(batch_times)))
    for at in (-1, 0, 1, 2, 3, 5, 6, 10, 11, 15, 16, 20, 21, 29, 30, 31, 32):
        case.offset(f"offsets/at {at}", topic, T0 + 1000 * at)
        case.offset(f"offsets/just past {at}", topic, T0 + 1000 * at + 1)
    for spec in (-1, -2, -3, -4, -5, -6, -7, -8, 0, 1, 2**63 - 1, -2**63):
        case.offset(f"offsets/{spec}", topic, spec)
        case.offset(f"offsets/committed, {spec}", topic, spec, isolation=1)
    for version in range(1, 12):
        for spec in (-1, -2, -3, -4, -5, -6, T0 + 4000):
            case.offset(f"offsets/version {version}, {spec}", topic, spec, version=version)
    case.offset("offsets/other isolation", topic, -1, isolation=7)
    for epoch in (0, 1, 9):
        case.offset(f"offsets/leader epoch {epoch}", topic, -1, leader_epoch=epoch)
        case.offset(f"offsets/by time, leader epoch {epoch}", topic, T0, leader_epoch=epoch)
    case.offset("offsets/unknown partition", topic, -1, partition=5)
    case.offset("offsets/unknown topic", topic + "-nowhere", -1)
    unstamped = case.topic("offsets-unstamped", KEEP)
    broker.produce(unstamped, batch([record(0), record(1)], first=-1, maximum=-1))
    for spec in (-1, -2, -3, 0, T0):
        case.offset(f"offsets/without timestamps, {spec}", unstamped, spec)
    segments = case.topic("offsets-segments", {**KEEP, "segment.bytes": 1 << 20})
    for i in range(30):
        late = 100 if i == 3 else i
        broker.produce(segments, batch([record(0, value=bytes(100_000), time_delta=0)], first=T0 + 1000 * late))
    for at in (0, 3, 4, 9, 10, 11, 19, 20, 29, 30, 99, 100, 101):
        case.offset(f"offsets/segments, at {at}", segments, T0 + 1000 * at)
    case.offset("offsets/segments, largest", segments, -3)
    broker.delete_records(segments, 5)
    for spec in (-2, -3, T0, T0 + 3000, T0 + 4000, T0 + 50_000):
        case.offset(f"offsets/segments after a deletion, {spec}", segments, spec)


def fetches(case, broker):
    topic = case.topic("fetch", KEEP, partitions=3)
    sizes = []
    for partition in range(3):
        for i in range(4):
            data = batch([record(n, value=b"x" * 200) for n in range(5)], first=T0 + i)
            sizes.append(len(data))
            broker.produce(topic, data, partition=partition)
    size = sizes[0]
    most = 1 << 20
    for offset in (-2, -1, 0, 1, 4, 5, 7, 19, 20, 21, 1000, 2**63 - 1):
        case.fetch(f"fetch/from {offset}", topic, [(0, offset, most)])
    for limit in (-1, 0, 1, size - 1, size, size + 1, 2 * size, 4 * size, 5 * size):
        case.fetch(f"fetch/partition limit {limit - size} over a batch", topic, [(0, 0, limit)])
        case.fetch(f"fetch/limit {limit - size} over a batch", topic, [(0, 0, most)], max_bytes=limit)
        case.fetch(f"fetch/three partitions, limit {limit - size} over a batch", topic, [(p, 0, most) for p in (2, 0, 1)], max_bytes=limit)
        case.fetch(f"fetch/three partitions, partition limit {limit - size} over a batch", topic, [(p, 0, limit) for p in (0, 1, 2)])
    case.fetch("fetch/first partition has nothing", topic, [(0, 20, 1), (1, 0, 1), (2, 0, 1)], max_bytes=1)
    case.fetch("fetch/first partition has an error", topic, [(0, 99, 1), (1, 0, 1), (2, 0, 1)], max_bytes=1)
    case.fetch("fetch/unknown partition", topic, [(7, 0, most), (0, 15, most)])
    case.fetch("fetch/unknown topic", topic + "-nowhere", [(0, 0, most)])
    case.fetch("fetch/the same partition twice", topic, [(0, 0, 10), (0, 5, 10)])
    case.fetch("fetch/committed", topic, [(0, 15, most)], isolation=1)
    case.fetch("fetch/committed, nothing", topic, [(0, 20, most)], isolation=1)
    case.fetch("fetch/committed, out of range", topic, [(0, 21, most)], isolation=1)
    for epoch in (0, 1, 9):
        case.fetch(f"fetch/leader epoch {epoch}", topic, [(0, 15, most, epoch)])
        for offset in (15, 20):
            case.fetch(f"fetch/last fetched epoch {epoch} at {offset}", topic, [(0, offset, most, -1, epoch)])
    case.fetch("fetch/last fetched epoch past the end", topic, [(0, 25, most, -1, 0)])
    for name, wait, minimum, partitions in (
        ("nothing there", 400, 1, [(0, 20, most)]),
        ("nothing wanted", 5000, 0, [(0, 20, most)]),
        ("too little", 400, 10 * size, [(0, 15, most)]),
        ("enough", 5000, 4 * size, [(0, 0, most)]),
        ("an error", 5000, 10 * size, [(0, 99, most), (1, 0, most)]),
        ("limit below minimum", 400, 10 * size, [(0, 0, most)]),
    ):
        began = time.monotonic()
        case.fetch(f"fetch/wait, {name}", topic, partitions, max_wait=wait, min_bytes=minimum)
        case.say(f"fetch/waited, {name}", time.monotonic() - began > 0.0009 * wait)


def deletions(case, broker):
    topic = case.topic("delete", KEEP, partitions=2)
    for _ in range(4):
        broker.produce(topic, batch([record(n) for n in range(5)], first=T0))
    for name, offset in (("nothing", 0), ("into a batch", 7), ("back", 3), ("the same", 7), ("past the end", 21), ("-2", -2),
                         ("far past the end", 2**62), ("smallest", -2**63), ("a batch's start", 10)):
        case.deleted(f"delete/{name}", topic, offset)
        case.offset(f"delete/{name}, earliest", topic, -2)
    for offset in (9, 10, 12, 20):
        case.fetch(f"delete/fetch from {offset}", topic, [(0, offset, 1 << 20)])
    for version in (0, 1, 2):
        case.deleted(f"delete/version {version}", topic, 11 + version, version=version)
    case.deleted("delete/all", topic, -1)
    case.offset("delete/all, earliest", topic, -2)
    case.offset("delete/all, latest", topic, -1)
    case.offset("delete/all, largest", topic, -3)
    case.offset("delete/all, by time", topic, T0)
    case.fetch("delete/all, fetch", topic, [(0, 20, 1 << 20)])
    case.produce("delete/go on", topic, batch([record(0)]))
    case.deleted("delete/empty partition", topic, -1, partition=1)
    case.deleted("delete/empty partition, past the end", topic, 1, partition=1)
    case.deleted("delete/unknown partition", topic, 0, partition=2)
    case.deleted("delete/unknown topic", topic + "-nowhere", 0)
    case.deleted("delete/internal topic", "__consumer_offsets", 0)
    case.deleted("delete/no time", topic, -1, timeout=0)
    for policy in ("compact", "compact,delete"):
        other = case.topic("delete-" + policy.replace(",", "-"), {**KEEP, "cleanup.policy": policy})
        broker.produce(other, batch([record(n) for n in range(5)]))
        case.deleted(f"delete/{policy}", other, 3)
        case.deleted(f"delete/{policy}, past the end", other, 30)
        case.offset(f"delete/{policy}, earliest", other, -2)


GROUPS = [offsets, fetches, deletions]
