"""The Kafka protocol as bytes: just enough of it to send what no client library would, and to see what comes back.

Only Python's standard library. Compressed bodies are made of stored (literal) blocks, which every decoder must read.
"""
import gzip
import socket
import struct
import time

NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)


def _crc32c_table():
    table = []
    for n in range(256):
        for _ in range(8):
            n = (n >> 1) ^ 0x82F63B78 if n & 1 else n >> 1
        table.append(n)
    return table


_TABLE = _crc32c_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def uvarint(n):
    out = bytearray()
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def varint(n):
    return uvarint((n << 1) ^ (n >> 63) if n < 0 else n << 1)


def compress(codec, data):
    if codec == GZIP:
        return gzip.compress(data, mtime=0)
    if codec == SNAPPY:
        out = bytearray(b"\x82SNAPPY\x00" + struct.pack(">ii", 1, 1))
        for at in range(0, len(data), 32768):
            part = data[at:at + 32768]
            block = uvarint(len(part)) + bytes([61 << 2]) + struct.pack("<H", len(part) - 1) + part
            out += struct.pack(">i", len(block)) + block
        return bytes(out)
    if codec == LZ4:
        out = bytearray(bytes.fromhex("04224d18604082"))
        for at in range(0, len(data), 65536):
            part = data[at:at + 65536]
            out += struct.pack("<I", len(part) | 1 << 31) + part
        return bytes(out + b"\0\0\0\0")
    if codec == ZSTD:
        out = bytearray(bytes.fromhex("28b52ffd") + bytes([0xA0]) + struct.pack("<I", len(data)))
        parts = [data[at:at + 65536] for at in range(0, len(data), 65536)] or [b""]
        for i, part in enumerate(parts):
            head = len(part) << 3 | (1 if i + 1 == len(parts) else 0)
            out += struct.pack("<I", head)[:3] + part
        return bytes(out)
    return data


def field(data):
    return varint(-1) if data is None else varint(len(data)) + data


def record(delta, key=b"k", value=b"v", time_delta=0, headers=(), attributes=0, tail=b"", length=None):
    body = bytes([attributes]) + varint(time_delta) + varint(delta) + field(key) + field(value)
    body += varint(len(headers)) + b"".join(field(name) + field(value) for name, value in headers) + tail
    return varint(len(body) if length is None else length) + body


def batch(records, codec=NONE, attributes=0, base=0, pid=-1, epoch=-1, sequence=-1, first=1_700_000_000_000, maximum=None,
          last_delta=None, count=None, magic=2, crc=None, leader_epoch=-1, body=None, length=None, codec_bits=None):
    """A record batch; everything in its header can be given a wrong value."""
    body = compress(codec, b"".join(records)) if body is None else body
    count = len(records) if count is None else count
    last_delta = len(records) - 1 if last_delta is None else last_delta
    maximum = first if maximum is None else maximum
    bits = (codec if codec_bits is None else codec_bits) | attributes
    rest = struct.pack(">hiqqqhii", bits, last_delta, first, maximum, pid, epoch, sequence, count) + body
    crc = crc32c(rest) if crc is None else crc
    length = 9 + len(rest) if length is None else length
    return struct.pack(">qiibI", base, length, leader_epoch, magic, crc) + rest


def headers_of(data):
    """The headers of the batches in `data`, whole ones only."""
    found, at = [], 0
    while at + 61 <= len(data):
        base, length, leader_epoch, magic = struct.unpack_from(">qiib", data, at)
        fields = struct.unpack_from(">hiqqqhii", data, at + 21)
        names = ("attributes", "last_delta", "first", "max", "pid", "epoch", "sequence", "count")
        if at + 12 + length > len(data):
            found.append({"base": base, "torn": True})
            break
        whole = data[at + 21:at + 12 + length]
        valid = struct.unpack_from(">I", data, at + 17)[0] == crc32c(whole)
        found.append({"base": base, "length": length, "leader_epoch": leader_epoch, "magic": magic, "crc": valid,
                      **dict(zip(names, fields))})
        at += 12 + length
    return found


class Out:
    """Writes fields of a flexible (compact) or an old request."""

    def __init__(self, flexible):
        self.flexible, self.data = flexible, bytearray()

    def i8(self, n): self.data += struct.pack(">b", n)
    def i16(self, n): self.data += struct.pack(">h", n)
    def i32(self, n): self.data += struct.pack(">i", n)
    def i64(self, n): self.data += struct.pack(">q", n)

    def string(self, text):
        raw = None if text is None else text.encode()
        if self.flexible:
            self.data += uvarint(0 if raw is None else len(raw) + 1) + (raw or b"")
        else:
            self.i16(-1 if raw is None else len(raw))
            self.data += raw or b""

    def blob(self, raw):
        if self.flexible:
            self.data += uvarint(0 if raw is None else len(raw) + 1) + (raw or b"")
        else:
            self.i32(-1 if raw is None else len(raw))
            self.data += raw or b""

    def array(self, items, each):
        if self.flexible:
            self.data += uvarint(len(items) + 1)
        else:
            self.i32(len(items))
        for item in items:
            each(item)

    def tags(self):
        if self.flexible:
            self.data += b"\0"


class In:
    """Reads fields of an answer."""

    def __init__(self, data, flexible):
        self.data, self.at, self.flexible = data, 0, flexible

    def _take(self, form):
        value = struct.unpack_from(form, self.data, self.at)[0]
        self.at += struct.calcsize(form)
        return value

    def i8(self): return self._take(">b")
    def i16(self): return self._take(">h")
    def i32(self): return self._take(">i")
    def i64(self): return self._take(">q")

    def raw(self, n):
        self.at += n
        return bytes(self.data[self.at - n:self.at])

    def uvarint(self):
        n = shift = 0
        while True:
            byte = self.data[self.at]
            self.at += 1
            n |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return n

    def string(self):
        n = self.uvarint() - 1 if self.flexible else self.i16()
        return None if n < 0 else self.raw(n).decode()

    def blob(self):
        n = self.uvarint() - 1 if self.flexible else self.i32()
        return None if n < 0 else self.raw(n)

    def array(self, each):
        n = self.uvarint() - 1 if self.flexible else self.i32()
        return None if n < 0 else [each() for _ in range(n)]

    def tags(self):
        found = {}
        if self.flexible:
            for _ in range(self.uvarint()):
                tag = self.uvarint()
                found[tag] = self.raw(self.uvarint())
        return found


def _one_topic(out, name, partitions, part):
    """The topics of a request: a single one, each of its partitions as `part` writes it."""
    def topic(name):
        out.string(name), out.array(partitions, part), out.tags()

    out.array([name], topic)


def _answers(found, answer):
    """The topics of an answer to such a request: what `answer` reads of each partition; none when it names no topic."""
    def topic():
        found.string()
        answers = found.array(answer)
        found.tags()
        return answers

    topics = found.array(topic)
    return topics[0] if topics else []


class Broker:
    """One connection; it is opened anew after the other side closed it."""

    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.address, self.socket, self.correlation = (host, int(port)), None, 0

    def call(self, key, version, out, flexible, answer=True):
        if self.socket is None:
            self.socket = socket.create_connection(self.address, timeout=30)
        self.correlation += 1
        head = struct.pack(">hhi", key, version, self.correlation) + struct.pack(">h", 3) + b"raw" + (b"\0" if flexible else b"")
        frame = head + bytes(out.data)
        try:
            self.socket.sendall(struct.pack(">i", len(frame)) + frame)
            if not answer:
                return None
            size = struct.unpack(">i", self._read(4))[0]
            data = self._read(size)
        except (OSError, EOFError):
            self.socket.close()
            self.socket = None
            raise EOFError from None
        found = In(data, flexible)
        assert found.i32() == self.correlation
        if flexible:
            found.tags()
        return found

    def is_closed_within(self, seconds):
        """True when the other side closes the connection."""
        self.socket.settimeout(seconds)
        try:
            closed = self.socket.recv(1) == b""
        except (TimeoutError, ConnectionError) as error:
            closed = isinstance(error, ConnectionError)
        self.socket.settimeout(30)
        if closed:
            self.socket.close()
            self.socket = None
        return closed

    def _read(self, n):
        data = bytearray()
        while len(data) < n:
            part = self.socket.recv(n - len(data))
            if not part:
                raise EOFError
            data += part
        return bytes(data)

    # The requests that the cases use.

    def create_topic(self, name, partitions=1, configs=None):
        out = Out(True)

        def config(pair):
            out.string(pair[0]), out.string(str(pair[1])), out.tags()

        def topic(name):
            out.string(name), out.i32(partitions), out.i16(1), out.array([], None)
            out.array(list((configs or {}).items()), config), out.tags()

        out.array([name], topic), out.i32(30000), out.i8(0), out.tags()
        found = self.call(19, 7, out, True)
        found.i32(), found.uvarint(), found.string(), found.raw(16)
        error, message = found.i16(), found.string()
        assert error == 0, f"{name}: {error} {message}"
        deadline = time.monotonic() + 20
        while any(self.list_offset(name, -1, partition=p)["error"] for p in range(partitions)):
            assert time.monotonic() < deadline, f"{name} does not come up"
            time.sleep(0.05)

    def alter_config(self, topic, broker=False, **configs):
        """Changes a topic, or the default of all brokers."""
        out = Out(True)

        def config(pair):
            out.string(pair[0].replace("_", ".")), out.i8(0), out.string(str(pair[1])), out.tags()

        def resource(name):
            out.i8(4 if broker else 2), out.string(name), out.array(list(configs.items()), config), out.tags()

        out.array([topic], resource), out.i8(0), out.tags()
        found = self.call(44, 1, out, True)
        found.i32(), found.uvarint()
        return found.i16()

    def produce(self, topic, data, partition=0, acks=-1, version=12, transactional_id=None, timeout=10000):
        flexible = version >= 9
        out = Out(flexible)

        def part(index):
            out.i32(index), out.blob(data), out.tags()

        out.string(transactional_id), out.i16(acks), out.i32(timeout), _one_topic(out, topic, [partition], part), out.tags()
        found = self.call(0, version, out, flexible, answer=acks != 0)
        if found is None:
            return None

        def record_error():
            error = [found.i32(), found.string()]
            found.tags()
            return error

        def answer():
            found.i32()
            result = {"error": found.i16(), "base": found.i64(), "time": found.i64()}
            if version >= 5:
                result["start"] = found.i64()
            if version >= 8:
                result["records"], result["message"] = found.array(record_error), found.string()
            found.tags()
            return result

        return _answers(found, answer)[0]

    def list_offset(self, topic, timestamp, partition=0, version=11, isolation=0, leader_epoch=-1):
        flexible = version >= 6
        out = Out(flexible)

        def part(index):
            out.i32(index)
            if version >= 4:
                out.i32(leader_epoch)
            out.i64(timestamp), out.tags()

        out.i32(-1)
        if version >= 2:
            out.i8(isolation)
        _one_topic(out, topic, [partition], part)
        if version >= 10:
            out.i32(10000)
        out.tags()
        found = self.call(2, version, out, flexible)
        if version >= 2:
            found.i32()

        def answer():
            found.i32()
            result = {"error": found.i16(), "timestamp": found.i64(), "offset": found.i64()}
            if version >= 4:
                result["epoch"] = found.i32()
            found.tags()
            return result

        return _answers(found, answer)[0]

    def fetch(self, topic, partitions, isolation=0, max_wait=0, min_bytes=1, max_bytes=50 << 20, version=12):
        """Partitions: (index, offset, most bytes[, current leader epoch[, last fetched epoch]])."""
        out = Out(True)

        def part(wanted):
            index, offset, most, epoch, last = (*wanted, -1, -1)[:5] if len(wanted) < 5 else wanted
            out.i32(index), out.i32(epoch), out.i64(offset), out.i32(last), out.i64(-1), out.i32(most), out.tags()

        out.i32(-1), out.i32(max_wait), out.i32(min_bytes), out.i32(max_bytes), out.i8(isolation), out.i32(0), out.i32(-1)
        _one_topic(out, topic, partitions, part), out.array([], None), out.string(""), out.tags()
        found = self.call(1, version, out, True)
        found.i32()
        result = {"error": found.i16()}
        found.i32()

        def aborted():
            pair = [found.i64(), found.i64()]
            found.tags()
            return pair

        def answer():
            one = {"index": found.i32(), "error": found.i16(), "hw": found.i64(), "lso": found.i64(), "start": found.i64()}
            one["aborted"] = found.array(aborted)
            found.i32()
            records = found.blob()
            one["records"] = None if records is None else headers_of(records)
            one["bytes"] = None if records is None else len(records)
            one["tags"] = {tag: value.hex() for tag, value in found.tags().items()}
            return one

        result["partitions"] = _answers(found, answer)
        return result

    def delete_records(self, topic, offset, partition=0, version=2, timeout=10000):
        flexible = version >= 2
        out = Out(flexible)

        def part(index):
            out.i32(index), out.i64(offset), out.tags()

        _one_topic(out, topic, [partition], part), out.i32(timeout), out.tags()
        found = self.call(21, version, out, flexible)
        found.i32()

        def answer():
            found.i32()
            result = {"low": found.i64(), "error": found.i16()}
            found.tags()
            return result

        return _answers(found, answer)[0]
