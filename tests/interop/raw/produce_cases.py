"""What a broker must say to good and bad batches: appends, validation, producers, codecs."""
from wire import GZIP, LZ4, NONE, SNAPPY, ZSTD, batch, compress, record

CODECS = {"none": NONE, "gzip": GZIP, "snappy": SNAPPY, "lz4": LZ4, "zstd": ZSTD}
T0 = 1_700_000_000_000
KEEP = {"retention.ms": -1}


def three(**more):
    return [record(i, key=b"k%d" % i, value=b"v%d" % i, time_delta=i, **more) for i in range(3)]


def good_batches(case, broker):
    topic = case.topic("good", KEEP)
    for name, codec in CODECS.items():
        case.produce(f"good/{name}", topic, batch(three(), codec, maximum=T0 + 2))
    case.produce("good/acks 1", topic, batch(three()), acks=1)
    case.produce("good/acks 2", topic, batch(three()), acks=2)
    case.produce("good/headers", topic, batch([record(0, headers=[(b"a", b"1"), (b"a", None), (b"", b"")])]))
    case.produce("good/null key and value", topic, batch([record(0, key=None, value=None)]))
    case.produce("good/empty key and value", topic, batch([record(0, key=b"", value=b"")]))
    case.produce("good/leader epoch of the client", topic, batch(three(), leader_epoch=77))
    case.produce("good/record attributes", topic, batch([record(0, attributes=0x55)]))
    case.produce("good/delete horizon bit", topic, batch(three(), attributes=0x40))
    case.produce("good/unused attribute bit", topic, batch(three(), attributes=0x80))
    case.produce("good/unused high attribute bits", topic, batch(three(), attributes=0x0100))
    case.produce("good/sequence without a producer", topic, batch(three(), sequence=7))
    case.produce("good/epoch without a producer", topic, batch(three(), epoch=7))
    case.produce("good/largest timestamp too small", topic, batch(three(), first=T0, maximum=T0 - 5))
    case.produce("good/largest timestamp too large", topic, batch(three(), first=T0, maximum=T0 + 50))
    case.produce("good/largest timestamp too small, gzip", topic, batch(three(), GZIP, first=T0, maximum=T0 - 5))
    case.produce("good/no timestamps", topic, batch([record(0), record(1)], first=-1, maximum=-1))
    case.produce("good/no timestamps, gzip", topic, batch([record(0), record(1)], GZIP, first=-1, maximum=-1))
    case.produce("good/some without timestamp", topic, batch([record(0, time_delta=0), record(1, time_delta=1_000)], first=-1))
    case.produce("good/falling timestamps", topic, batch([record(i, time_delta=-i) for i in range(3)], first=T0))
    case.produce("good/large base timestamp delta", topic, batch([record(0, time_delta=0), record(1, time_delta=-T0)]))
    for version in (3, 5, 7, 8, 9, 10, 11, 12):
        case.produce(f"good/version {version}", topic, batch(three()), version=version)
        case.produce(f"good/zstd in version {version}", topic, batch(three(), ZSTD), version=version)
    case.fetched("good/stored", topic)


def bad_batches(case, broker):
    topic = case.topic("bad", KEEP)
    # For batches that one broker takes and another refuses: their offsets count nowhere else.
    odd = case.topic("bad-odd", KEEP)
    good = batch(three())
    case.produce("bad/null records", topic, None)
    case.produce("bad/empty records", topic, b"")
    case.produce("bad/two batches", topic, good + good)
    case.produce("bad/base offset", topic, batch(three(), base=5))
    case.produce("bad/negative base offset", topic, batch(three(), base=-1))
    case.produce("bad/checksum", topic, batch(three(), crc=1))
    for magic in (-1, 0, 1, 3):
        case.produce(f"bad/magic {magic}", topic, batch(three(), magic=magic))
    for length in (0, 10, 48, len(good) - 13, len(good) - 11, 1 << 30, -1):
        case.produce(f"bad/length {length}", topic, batch(three(), length=length))
    for cut in (1, 16, 17, 60, 61, len(good) - 1):
        case.produce(f"bad/only the first {cut} bytes", topic, good[:cut])
    case.produce("bad/bytes behind", odd, good + b"\0")
    case.produce("bad/count 0, no records", topic, batch([], last_delta=0))
    case.produce("bad/count 0, last delta -1", topic, batch([]))
    case.produce("bad/count 0, records", topic, batch(three(), count=0))
    case.produce("bad/negative count", topic, batch(three(), count=-1))
    case.produce("bad/count one too small", topic, batch(three(), count=2))
    case.produce("bad/count and last delta one too small", topic, batch(three(), count=2, last_delta=1))
    case.produce("bad/count and last delta one too large", topic, batch(three(), count=4, last_delta=3))
    case.produce("bad/count and last delta one too small, gzip", topic, batch(three(), GZIP, count=2, last_delta=1))
    case.produce("bad/count and last delta one too large, gzip", topic, batch(three(), GZIP, count=4, last_delta=3))
    case.produce("bad/last delta one too large", topic, batch(three(), last_delta=3))
    case.produce("bad/last delta huge", topic, batch(three(), last_delta=2**31 - 1))
    case.produce("bad/count and last delta huge", topic, batch(three(), count=2**31 - 1, last_delta=2**31 - 2))
    case.produce("bad/count and last delta huge, gzip", topic, batch(three(), GZIP, count=2**31 - 1, last_delta=2**31 - 2))
    case.produce("bad/control", topic, batch(three(), attributes=0x20, pid=1, epoch=0, sequence=0))
    case.produce("bad/control without producer", topic, batch(three(), attributes=0x20))
    case.produce("bad/transactional without producer", topic, batch(three(), attributes=0x10))
    case.produce("bad/append time claimed", topic, batch(three(), attributes=0x08))
    case.produce("bad/append time claimed, gzip", topic, batch(three(), GZIP, attributes=0x08))
    case.produce("bad/append time claimed, no timestamp", topic, batch([record(0)], attributes=0x08, first=-1, maximum=-1))
    for codec in (5, 6, 7):
        case.produce(f"bad/codec {codec}", topic, batch(three(), codec_bits=codec))
    records = b"".join(three())
    for name, codec in CODECS.items():
        body = compress(codec, records)
        case.produce(f"bad/garbage as {name}", topic, batch(three(), codec_bits=codec, body=b"\xff" * 40))
        case.produce(f"bad/half of {name}", topic, batch(three(), codec_bits=codec, body=body[:len(body) // 2]))
        case.produce(f"bad/{name} with an empty body", topic, batch(three(), codec_bits=codec, body=b""))
        case.produce(f"bad/{name} with bytes behind the records", topic, batch(three(), codec_bits=codec, body=compress(codec, records + b"\0\0")))
        case.produce(f"bad/{name} with a last record cut short", topic, batch(three(), codec_bits=codec, body=compress(codec, records[:-1])))
        case.produce(f"bad/{name} with sparse deltas", odd, batch([record(0), record(5)], codec, last_delta=1))
        case.produce(f"bad/{name} with falling deltas", odd, batch([record(1), record(0)], codec))
        case.produce(f"bad/{name} with equal deltas", odd, batch([record(0), record(0)], codec))
        case.produce(f"bad/{name} with negative deltas", odd, batch([record(-1), record(1)], codec))
        case.produce(f"bad/{name} with a null header name", topic, batch([record(0, headers=[(None, b"x")])], codec))
        case.produce(f"bad/{name} with a record too long", odd, batch([record(0, length=100)], codec))
        case.produce(f"bad/{name} with a record too short", odd, batch([record(0, length=3)], codec))
        case.produce(f"bad/{name} with a record of negative length", odd, batch([record(0, length=-1)], codec))
        case.produce(f"bad/{name} with bytes inside a record's end", topic, batch([record(0, tail=b"xx")], codec))
    case.produce("bad/key length -2", odd, batch([b"\x0e\x00\x00\x00\x03\x02v\x00"]))
    case.produce("bad/many headers", topic, batch([b"\x1e\x00\x00\x00\x02k\x02v\xfe\xff\xff\xff\x0f\x00\x00\x00"]))
    case.produce("bad/varint of 11 bytes", topic, batch([b"\xff" * 11 + b"\x00" * 20]))
    case.produce("bad/unknown partition", topic, good, partition=9)
    case.produce("bad/negative partition", topic, good, partition=-1)
    case.produce("bad/unknown topic", topic + "-nowhere", good)
    case.produce("bad/unknown topic and null records", topic + "-nowhere", None)
    case.produce("bad/illegal topic name", "a/b", good)
    case.produce("bad/internal topic", "__consumer_offsets", good)
    case.produce("bad/checksum in version 7", topic, batch(three(), crc=1), version=7)
    case.produce("bad/acks 0 and checksum", topic, batch(three(), crc=1), acks=0)
    case.produce("bad/acks 0 and unknown partition", topic, good, acks=0, partition=9)
    case.fetched("bad/stored", topic)


def producers(case, broker):
    topic = case.topic("producers", KEEP)

    def send(name, sequence, epoch=0, n=3, pid=4242, **more):
        case.produce(f"producers/{name}", topic, batch(three()[:n], pid=pid, epoch=epoch, sequence=sequence, **more))

    send("first", 0)
    send("second", 3)
    send("duplicate of the first", 0)
    send("duplicate of the second", 3)
    send("other length, same start", 3, n=2)
    send("gap", 9)
    send("back", 1)
    send("in order again", 6)
    send("new epoch from 0", 0, epoch=1)
    send("old epoch", 9, epoch=0)
    send("old epoch from 0", 0, epoch=0)
    send("new epoch not from 0", 5, epoch=2)
    send("sequence -1", -1)
    send("epoch -1", 0, epoch=-1)
    send("unknown producer not from 0", 17, pid=4243)
    for i in range(7):
        send(f"run {i}", 20 + 3 * i, pid=4243)
    send("duplicate of the newest", 38, pid=4243)
    send("duplicate of the fifth newest", 26, pid=4243)
    send("duplicate of the sixth newest", 23, pid=4243)
    send("duplicate of the oldest", 17, pid=4243)
    send("before a wrap", 2**31 - 2, pid=4244, n=2)
    send("after a wrap", 0, pid=4244, n=2)
    send("across a wrap", 2**31 - 1, pid=4245, n=3)
    send("after one across", 2, pid=4245, n=3)
    send("duplicate across a wrap", 2**31 - 1, pid=4245, n=3)
    send("duplicate, compressed now", 2, pid=4245, n=3, codec=GZIP)
    case.fetched("producers/stored", topic)


def sizes(case, broker):
    def of(n):
        return batch([record(0, value=b"x" * n)])

    fits = next(n for n in range(900, 1000) if len(of(n)) == 1000)
    topic = case.topic("sizes", {**KEEP, "max.message.bytes": 1000})
    case.produce("sizes/exactly the limit", topic, of(fits))
    case.produce("sizes/one more", topic, of(fits + 1))
    many = [record(i, value=b"x" * 100) for i in range(20)]
    case.produce("sizes/gzip, larger unpacked", topic, batch(many, GZIP))
    grows = case.topic("sizes-grow", {**KEEP, "max.message.bytes": 1000, "compression.type": "uncompressed"})
    case.produce("sizes/unpacked past the limit", grows, batch(many, GZIP))
    segment = case.topic("sizes-segment", {**KEEP, "max.message.bytes": 3 << 20, "segment.bytes": 1 << 20}, partitions=2)
    case.produce("sizes/larger than a segment", segment, of(2 << 20))
    case.produce("sizes/as large as a segment", segment, of((1 << 20) - 100))
    case.produce("sizes/next segment", segment, of((1 << 20) - 100))
    case.say("sizes/lowered", broker.alter_config(segment, max_message_bytes=500))
    case.settle(lambda: broker.produce(segment, of(600), partition=1)["error"] == 10)
    case.produce("sizes/over the lowered limit", segment, of(600))


def compacted(case, broker):
    for policy in ("compact", "compact,delete"):
        topic = case.topic("compacted-" + policy.replace(",", "-"), {**KEEP, "cleanup.policy": policy})
        mixed = [record(0), record(1, key=None), record(2), record(3, key=None), record(4, key=b"")]
        case.produce(f"compacted/{policy}, null keys", topic, batch(mixed))
        case.produce(f"compacted/{policy}, null keys, gzip", topic, batch(mixed, GZIP))
        case.produce(f"compacted/{policy}, one null key", topic, batch([record(0, key=None)]), version=7)
        case.produce(f"compacted/{policy}, null keys and bad timestamp", topic, batch(mixed, first=T0 + 10**12, maximum=T0 + 10**12))
        case.produce(f"compacted/{policy}, null value", topic, batch([record(0, value=None)]))
        case.produce(f"compacted/{policy}, null key, acks 0", topic, batch([record(0, key=None)]), acks=0)
    changed = case.topic("compacted-later", KEEP, partitions=2)
    case.produce("compacted/not yet", changed, batch([record(0, key=None)]))
    case.say("compacted/altered", broker.alter_config(changed, cleanup_policy="compact"))
    case.settle(lambda: broker.produce(changed, batch([record(0, key=None)]), partition=1)["error"] == 87)
    case.produce("compacted/now", changed, batch([record(0, key=None)]))


def timestamps(case, broker):
    now = case.now
    hour, day = 3_600_000, 86_400_000
    topic = case.topic("times", KEEP)
    case.produce("times/default, tomorrow", topic, batch(three(), first=now + day, maximum=now + day + 2))
    case.produce("times/default, in half an hour", topic, batch([record(0)], first=now + hour // 2))
    case.produce("times/default, long ago", topic, batch([record(0)], first=1))
    case.produce("times/default, zero", topic, batch([record(0)], first=0))
    case.produce("times/default, before 1970", topic, batch([record(0)], first=-5, maximum=-5))
    bounded = case.topic("times-bounded", {**KEEP, "message.timestamp.before.max.ms": day, "message.timestamp.after.max.ms": hour})
    mixed = [record(0), record(1, time_delta=-2 * day), record(2, time_delta=2 * hour), record(3), record(4, time_delta=-3 * day)]
    for name, codec in (("", NONE), (", gzip", GZIP)):
        case.produce(f"times/bounded, mixed{name}", bounded, batch(mixed, codec, first=now, maximum=now + 2 * hour))
        case.produce(f"times/bounded, inside{name}", bounded, batch([record(0), record(1, time_delta=-hour)], codec, first=now))
        case.produce(f"times/bounded, none{name}", bounded, batch([record(0)], codec, first=-1, maximum=-1))
        case.produce(f"times/bounded, only the header is wrong{name}", bounded, batch([record(0)], codec, first=now, maximum=now + 9 * day))
        case.produce(f"times/bounded, header hides it{name}", bounded, batch([record(0, time_delta=9 * day)], codec, first=now, maximum=now))
    many = batch([record(i) for i in range(150)], first=now - 9 * day)
    case.produce("times/bounded, many", bounded, many)
    appended = case.topic("times-append", {**KEEP, "message.timestamp.type": "LogAppendTime"})
    for name, codec in CODECS.items():
        case.produce(f"times/append time, {name}", appended, batch(three(), codec))
    case.produce("times/append time, claimed", appended, batch(three(), attributes=0x08))
    case.produce("times/append time, claimed, gzip", appended, batch(three(), GZIP, attributes=0x08))
    case.produce("times/append time, far ahead", appended, batch(three(), first=now + 9 * day))
    case.produce("times/append time, no timestamps", appended, batch([record(0)], first=-1, maximum=-1))
    # The largest time is this batch's alone, however fast the broker is: -3 names the first batch that has it.
    case.await_next_millisecond()
    case.produce("times/append time, idempotent", appended, batch(three(), pid=9, epoch=0, sequence=0))
    case.produce("times/append time, duplicate", appended, batch(three(), pid=9, epoch=0, sequence=0))
    case.fetched("times/append time stored", appended)
    case.offset("times/append time, first of 2023", appended, T0)
    case.offset("times/append time, tomorrow", appended, now + day)
    case.offset("times/append time, largest", appended, -3)
    changed = case.topic("times-later", KEEP, partitions=2)
    case.produce("times/create time first", changed, batch([record(0)], pid=10, epoch=0, sequence=0))
    case.say("times/altered", broker.alter_config(changed, message_timestamp_type="LogAppendTime"))
    case.settle(lambda: broker.produce(changed, batch([record(0)]), partition=1)["time"] > 0)
    case.produce("times/append time now", changed, batch([record(0)]))
    case.produce("times/a duplicate from before", changed, batch([record(0)], pid=10, epoch=0, sequence=0))


def codecs(case, broker):
    for target in ("producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"):
        topic = case.topic("codec-" + target, {**KEEP, "compression.type": target})
        for name, codec in CODECS.items():
            case.produce(f"codecs/{name} to {target}", topic, batch(three(), codec, pid=1, epoch=0, sequence=3 * codec, maximum=T0 + 2))
            case.produce(f"codecs/{name} to {target} again", topic, batch(three(), codec, pid=1, epoch=0, sequence=3 * codec, maximum=T0 + 2))
        case.produce(f"codecs/no timestamps to {target}", topic, batch([record(0)], first=-1, maximum=-1))
        case.fetched(f"codecs/stored in {target}", topic, without=("length",))
    changed = case.topic("codec-later", KEEP)
    case.say("codecs/altered", broker.alter_config(changed, compression_type="lz4"))

    def stored():
        base = broker.produce(changed, batch(three()))["base"]
        return broker.fetch(changed, [(0, base, 1 << 20)])["partitions"][0]["records"][0]["attributes"] == LZ4

    case.settle(stored)


def brokers(case, broker):
    """Defaults of all brokers, changed at run time; the last group, for they stay."""
    topic = case.topic("brokers", {}, partitions=2)
    case.produce("brokers/before", topic, batch(three()))
    small = batch([record(0, value=b"x" * 2000)])

    def answer():
        return broker.produce(topic, small, partition=1)

    for name, change, seen in (
        ("timestamp type", {"log_message_timestamp_type": "LogAppendTime"}, lambda: answer()["time"] > 0),
        ("codec", {"compression_type": "zstd"}, lambda: attributes(broker, topic, answer()["base"]) & 7 == ZSTD),
        ("timestamp type back", {"log_message_timestamp_type": "CreateTime"}, lambda: answer()["time"] < 0),
        ("age", {"log_message_timestamp_before_max_ms": 1000}, lambda: answer()["error"] == 32),
        ("size", {"message_max_bytes": 1000}, lambda: answer()["error"] == 10),
    ):
        case.say(f"brokers/{name} altered", broker.alter_config("", broker=True, **change))
        case.settle(seen)
        case.produce(f"brokers/{name}, now", topic, batch(three()))
    case.fetched("brokers/stored", topic, without=("length",))


def attributes(broker, topic, offset):
    return broker.fetch(topic, [(1, offset, 1 << 20)])["partitions"][0]["records"][0]["attributes"]


GROUPS = [good_batches, bad_batches, producers, sizes, compacted, timestamps, codecs]
LAST = [brokers]
