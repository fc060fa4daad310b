# The recipes of this project; each is one script, so `just` is never needed.

# Lists the recipes.
default:
    @just --list

# Builds and starts three nodes on 127.0.0.1:9092-9094 (`just up 1`: one).
up nodes="3":
    deploy/quickstart.sh up {{nodes}}

# Stops the nodes.
down:
    deploy/quickstart.sh down

# Stops the nodes and deletes their data.
clean:
    deploy/quickstart.sh clean

# Kills a node, as a crash would.
kill id:
    deploy/quickstart.sh kill {{id}}

# Starts a node that was killed or stopped.
start id:
    deploy/quickstart.sh start {{id}}

# Every check and test (`just test pure`: one step).
test *steps:
    tests/run.sh {{steps}}

# A thousand clusters in the simulator (`just sim 1..10001`: more).
sim seeds="1..1001":
    cargo run --profile sim -p milena-sim -- run --seeds {{seeds}}

# Switches off each rule of the replication once and sees that the simulator or its model notices (minutes).
rules:
    tests/run.sh mutants

# Real nodes in network namespaces on disks of their own: every fault of tests/drills, as root (`just drills D3`: one; a minute each).
drills *arguments:
    tests/drills/run.sh {{arguments}}

# Formats and lints.
lint:
    cargo fmt --all
    tests/run.sh lint docs

# The foreign client suites against a throw-away cluster; writes docs/interop.md.
suites *names:
    tests/interop/run.sh {{names}}

# The figures of Milena and of Apache Kafka, measured alike.
bench *figures:
    tests/bench/run.sh {{figures}}

# What a log costs: appends against a bare pwritev, recovery against a bare read, compaction against a bare copy
# (`just bench-log 1024 compaction`: that many MiB, only benches with that word in their names).
bench-log *args:
    cargo bench --locked -p milena-log --bench log -- {{args}}

# Removes each check of the log once and sees that a test notices (twenty minutes).
mutants *names:
    tests/mutants/run.py {{names}}

# Fuzzes one target (batch, snapshot, checkpoints, recovery) with libFuzzer for some seconds.
fuzz target seconds="60":
    fuzz/run.sh {{target}} {{seconds}}
