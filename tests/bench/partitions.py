#!/usr/bin/env python3
"""partitions.py MILENA OUT.json [NODES]   what many partitions cost a cluster of NODES (1) nodes of this binary.
Creates PARTITIONS (10000) partitions in TOPICS (10) topics, writes one record to WRITTEN of them (all), and says: time to create, memory,
descriptors, threads and idle CPU of each node, time until no partition's file is open, of a clean stop, of a start after it, and of a
start after kill -9 that follows 10 late writes; for each start what the process read (/proc/PID/io) and, with STRACE=1, its system
calls. Fails when a log ends elsewhere than what was written to it.
Environment: PORT (25000: clients, controllers 100 above), DATA (a temporary directory, kept after a failure), EXTRA (more server.properties lines, \\n between).
Needs: confluent-kafka (pip); strace for STRACE=1."""
import json, os, re, shutil, signal, subprocess as sp, sys, tempfile, time
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

MILENA, OUT = sys.argv[1], sys.argv[2]
NODES = int(sys.argv[3]) if len(sys.argv) > 3 else 1
PARTITIONS, TOPICS = int(os.environ.get("PARTITIONS", 10000)), int(os.environ.get("TOPICS", 10))
WRITTEN = int(os.environ.get("WRITTEN", PARTITIONS))
PORT, RF = int(os.environ.get("PORT", 25000)), min(NODES, 3)
DATA = os.environ.get("DATA") or tempfile.mkdtemp(prefix="milena-partitions.")
STRACE, HZ = os.environ.get("STRACE") == "1", os.sysconf("SC_CLK_TCK")
IDS, BOOT = list(range(1, NODES + 1)), f"127.0.0.1:{PORT + 1}"
NAMES = [(f"t{t}", p) for t in range(TOPICS) for p in range(PARTITIONS // TOPICS)]
CHILDREN, RESULT = {}, {"nodes": NODES, "partitions": PARTITIONS, "written": WRITTEN, "rf": RF}

def configure(i):
    voters = ",".join(f"{j}@127.0.0.1:{PORT + 100 + j}" for j in IDS)
    lines = [f"node.id={i}", "process.roles=broker,controller", f"controller.quorum.voters={voters}", f"log.dirs={DATA}/node{i}",
             f"listeners=PLAINTEXT://127.0.0.1:{PORT + i},CONTROLLER://127.0.0.1:{PORT + 100 + i}", "controller.listener.names=CONTROLLER",
             "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT", f"offsets.topic.replication.factor={RF}",
             f"default.replication.factor={RF}", f"min.insync.replicas={max(1, RF - 1)}", os.environ.get("EXTRA", "").replace("\\n", "\n")]
    open(f"{DATA}/{i}.properties", "w").write("\n".join(lines) + "\n")

def start(i, trace=None):
    program = [MILENA, "server", "--config", f"{DATA}/{i}.properties"]
    if trace: program = ["strace", "-f", "-c", "-o", trace] + program
    log = open(f"{DATA}/{i}.log", "ab")
    CHILDREN[i] = sp.Popen(program, stdout=log, stderr=log, stdin=sp.DEVNULL)

def pid(i):
    child = CHILDREN[i].pid
    kids = sp.run(["pgrep", "-P", str(child), "milena"], stdout=sp.PIPE, text=True).stdout.split()
    return int(kids[0]) if kids else child

def end(i, how):
    os.kill(pid(i), how); CHILDREN.pop(i).wait()

def admin(): return AdminClient({"bootstrap.servers": BOOT, "log_level": 0, "socket.connection.setup.timeout.ms": 2000, "reconnect.backoff.max.ms": 100, "reconnect.backoff.ms": 20})

def wait_led(want, isr=RF, patience=600):
    """Until so many partitions have a leader and a full ISR."""
    deadline, a = time.monotonic() + patience, admin()
    while time.monotonic() < deadline:
        try:
            topics = a.list_topics(timeout=10).topics
            ready = sum(p.leader >= 0 and len(p.isrs) >= isr for n, t in topics.items() if n.startswith("t") for p in t.partitions.values())
            if ready >= want: return
        except Exception: pass
        time.sleep(.02)
    raise SystemExit("never ready; logs in " + DATA)

def produce(names, value=b"x" * 100):
    failed = []
    p = Producer({"bootstrap.servers": BOOT, "acks": "all", "enable.idempotence": True, "linger.ms": 5, "message.timeout.ms": 300000, "log_level": 0})
    for t, n in names:
        p.produce(t, value, partition=n, on_delivery=lambda e, _: failed.append(str(e)) if e else None); p.poll(0)
    p.flush(300)
    if failed: raise SystemExit(f"{len(failed)} not acknowledged: {failed[0]}")

def offsets(names):
    c = Consumer({"bootstrap.servers": BOOT, "group.id": "x", "log_level": 0})
    ends = {(t, p): c.get_watermark_offsets(TopicPartition(t, p), timeout=60)[1] for t, p in names}
    c.close(); return ends

def cpu(i):
    f = open(f"/proc/{pid(i)}/stat").read().rsplit(")", 1)[1].split(); return (int(f[11]) + int(f[12])) / HZ

def state():
    out = {}
    for i in IDS:
        p = pid(i); s = open(f"/proc/{p}/status").read()
        out[i] = {"rss_kib": int(re.search(r"VmRSS:\s+(\d+)", s)[1]), "threads": int(re.search(r"Threads:\s+(\d+)", s)[1]),
                  "fds": len(os.listdir(f"/proc/{p}/fd")), "maps": sum(1 for _ in open(f"/proc/{p}/maps"))}
    return out

def idle_cpu(seconds=10):
    """Percent of one CPU that each node takes while nobody asks anything of it."""
    began, before = time.monotonic(), {i: cpu(i) for i in IDS}; time.sleep(seconds)
    used = {i: cpu(i) - before[i] for i in IDS}; passed = time.monotonic() - began
    return {i: round(used[i] / passed * 100, 2) for i in IDS}

def open_files(i):
    """How many files of partitions a node has open."""
    count, fds = 0, f"/proc/{pid(i)}/fd"
    for fd in os.listdir(fds):
        try: count += bool(re.search(r"/t\d+-\d+/", os.readlink(f"{fds}/{fd}")))
        except FileNotFoundError: pass
    return count

def wait_idle(patience=120):
    """Until no node has a file of a partition open any more."""
    deadline = time.monotonic() + patience
    while any((left := {i: open_files(i) for i in IDS}).values()):
        if time.monotonic() > deadline: raise SystemExit(f"files of partitions stay open, by node: {left}; logs in {DATA}")
        time.sleep(.2)

def io(i):
    f = dict(l.split(": ") for l in open(f"/proc/{pid(i)}/io").read().splitlines()); return {k: int(f[k]) for k in ("rchar", "syscr", "read_bytes")}

def timed(name, work):
    began = time.monotonic(); work(); RESULT[name + "_s"] = round(time.monotonic() - began, 2); print(name, RESULT[name + "_s"], "s", flush=True)

def start_all(name):
    def work():
        for i in IDS: start(i, f"{DATA}/{name}.{i}.strace" if STRACE else None)
        wait_led(len(NAMES))
    timed(name, work)
    RESULT[name + "_io"] = {i: io(i) for i in IDS}
    RESULT[name + "_cpu_s"] = {i: round(cpu(i), 2) for i in IDS}

def main():
    os.makedirs(DATA, exist_ok=True)
    for i in IDS: configure(i); os.makedirs(f"{DATA}/node{i}", exist_ok=True)
    for i in IDS: start(i)
    wait_led(0)
    RESULT["empty"] = state()
    def create():
        topics = [NewTopic(f"t{t}", PARTITIONS // TOPICS, RF) for t in range(TOPICS)]
        a = admin()
        for topic in topics:
            for f in a.create_topics([topic], request_timeout=120).values(): f.result()
        wait_led(len(NAMES))
    timed("create", create)
    RESULT["created"] = state(); RESULT["created_idle_cpu_percent"] = idle_cpu()
    timed("write", lambda: produce(NAMES[:WRITTEN]))
    RESULT["written_state"] = state(); RESULT["written_open_files"] = {i: open_files(i) for i in IDS}
    timed("write_to_idle", wait_idle)
    RESULT["idle"] = state(); RESULT["idle_cpu_percent"] = idle_cpu()
    timed("clean_stop", lambda: [end(i, signal.SIGTERM) for i in list(CHILDREN)])
    start_all("start_after_clean_stop")
    RESULT["restarted"] = state()
    late = NAMES[:: max(1, len(NAMES) // 10)][:10]
    produce(late)
    for i in list(CHILDREN): end(i, signal.SIGKILL)
    start_all("start_after_kill")
    written, looked_at = set(NAMES[:WRITTEN]), NAMES[::97] + late
    ends, want = offsets(looked_at), {n: (n in written) + (n in late) for n in looked_at}
    RESULT["wrong_ends"] = [f"{n}: {ends[n]}, not {want[n]}" for n in ends if ends[n] != want[n]]
    timed("second_clean_stop", lambda: [end(i, signal.SIGTERM) for i in list(CHILDREN)])
    if STRACE:
        for name in ("start_after_clean_stop", "start_after_kill"):
            RESULT[name + "_calls"] = {i: {m[2]: int(m[1]) for m in re.finditer(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", open(f"{DATA}/{name}.{i}.strace").read(), re.M)} for i in IDS}
    if RESULT["wrong_ends"]: raise SystemExit(f"{len(RESULT['wrong_ends'])} of {len(ends)} logs end elsewhere: {RESULT['wrong_ends'][:5]}")

try:
    main()
    if not os.environ.get("DATA"): shutil.rmtree(DATA)
finally:
    for i in list(CHILDREN): end(i, signal.SIGKILL)
    json.dump(RESULT, open(OUT, "w"), indent=1); print(json.dumps(RESULT, indent=1))
