#!/usr/bin/env python3
"""run.py [NAME...]   removes one check of the log at a time and sees that a test notices

`list.txt` names the checks: for each a file, the words that are replaced, what replaces them, and the tests that must fail.
Everything happens in a copy of the files of crates/{types,record,log} and what they need, in $MUTANTS_WORK or a
temporary directory; the working tree is not touched. A mutant that does not compile, or that no longer applies, is an
error, not a kill. Prints `mutants killed N/N` and ends with 1 when one survives. Takes some twenty minutes on two cores.
"""
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
COPIED = ["Cargo.toml", "Cargo.lock", "rust-toolchain.toml", ".cargo", "crates/types", "crates/record", "crates/log", "tests/counting"]
ENVIRONMENT = {"RUST_BACKTRACE": "0", "CARGO_PROFILE_DEV_DEBUG": "0", "CARGO_INCREMENTAL": "1"}
TIMEOUT_S = 900
LATE = "the time is over"


def parse(text):
    mutants = []
    for block in text.split("\n=== ")[1:]:
        head, body = block.split("\n", 1)
        name, file, tests = [word.strip() for word in head.split("|")]
        old, new = body.split("\n---\n")
        mutants.append((name, file, tests.split(), old.strip("\n"), new.strip("\n")))
    return mutants


def copy(work):
    tracked = subprocess.run(["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard", *COPIED], check=True, capture_output=True).stdout
    for name in filter(None, tracked.decode().split("\0")):
        if (ROOT / name).exists():
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, work / name)
    manifest = work / "Cargo.toml"
    text = manifest.read_text()
    members = next(line for line in text.splitlines() if line.startswith("members"))
    text = text.replace(members, 'members = ["crates/types", "crates/record", "crates/log", "tests/counting"]')
    lines = [line for line in text.splitlines() if not line.startswith("default-members")]
    # Compiling is most of the work: the crates that change are not optimized.
    kept, skipping = [], False
    for line in lines:
        skipping = line.startswith("[profile.dev.package.milena-") if line.startswith("[") else skipping
        kept += [] if skipping else [line]
    manifest.write_text("\n".join(kept) + "\n\n[profile.dev.package.milena-record]\nopt-level = 1\n")


def environment(work):
    return {**os.environ, **ENVIRONMENT, "CARGO_TARGET_DIR": str(work / "target")}


def cargo(work, arguments):
    """Runs cargo until it ends or a test has failed: its code, or 101, and what it said."""
    output = []
    with subprocess.Popen(["cargo", *arguments], cwd=work, env=environment(work), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, start_new_session=True) as running:
        timer = threading.Timer(TIMEOUT_S, lambda: (output.append(LATE), os.killpg(running.pid, signal.SIGKILL)))
        timer.start()
        for line in running.stdout:
            output.append(line)
            if line.rstrip().endswith("... FAILED"):
                os.killpg(running.pid, signal.SIGKILL)
                running.wait()
                timer.cancel()
                return 101, "".join(output)
        running.wait()
        timer.cancel()
        return running.returncode, "".join(output)


def test(work, mutant):
    """What became of a mutant: killed, survived, or what is wrong with it."""
    name, file, tests, old, new = mutant
    path = work / file
    good = path.read_text()
    if good.count(old) != 1:
        return f"does not apply: {good.count(old)} places"
    path.write_text(good.replace(old, new))
    try:
        which = ["--lib"] if tests == ["lib"] else ["--test", "it"]
        filters = [] if tests == ["lib"] else tests
        code, output = cargo(work, ["test", "-p", "milena-log", *which, "--no-run"])
        if code != 0:
            return "does not compile\n" + output[-1500:]
        code, output = cargo(work, ["test", "-p", "milena-log", *which, "--", *filters])
        if code == 0:
            return "survived" if " 0 passed" not in output else "no such test"
        # Hanging is noticed by a test that hangs, but so is a slow machine.
        return "out of time" if LATE in output else "killed"
    finally:
        path.write_text(good)


def main():
    mutants = parse("\n" + (ROOT / "tests/mutants/list.txt").read_text())
    wanted = sys.argv[1:]
    mutants = [mutant for mutant in mutants if not wanted or mutant[0] in wanted]
    kept = os.environ.get("MUTANTS_WORK")
    work = pathlib.Path(kept or tempfile.mkdtemp(prefix="milena-mutants."))
    killed, wrong = 0, []
    try:
        copy(work)
        # What a test says of a mutant counts only if it passes without.
        filters = sorted({word for mutant in mutants for word in mutant[2]} - {"lib", "model", "model::crashes"})
        for which in [["--lib"], ["--test", "it", "--", *filters]]:
            code, output = cargo(work, ["test", "-p", "milena-log", *which])
            if code != 0:
                sys.exit("the tests fail without any mutant\n" + output[-3000:])
        for number, mutant in enumerate(mutants, 1):
            began = time.monotonic()
            outcome = test(work, mutant)
            killed += outcome == "killed"
            if outcome != "killed":
                wrong.append(f"{mutant[0]}: {outcome}")
            print(f"{number}/{len(mutants)} {mutant[0]}: {outcome} ({time.monotonic() - began:.0f} s)", flush=True)
    finally:
        if not kept:
            shutil.rmtree(work, ignore_errors=True)
    print(f"mutants killed {killed}/{len(mutants)}")
    print("\n".join(wrong))
    sys.exit(bool(wrong))


main()
