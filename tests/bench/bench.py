"""All of libcdm's figures: ratios inside one run, medians of paired runs, as a table, as JSON, and as SVG for the sweeps.

usage: bench.py [--quick | --smoke] [--lib build/libcdm.so] [--build build] [--json FILE] [--out DIRECTORY] [row ...]

    --quick   fewer sizes and rounds; --smoke: only enough to see that it works
    --json    default build/bench.json; --out: where the SVGs go, default build/bench

Programs of the row `inside` print rows of their own, one a line, and figures without a bar:
    ROW|what|<= or >=|bar|measured|unit
    FIGURE|what|measured|unit

A module with a list ROWS of (name, function of the table, how long it takes) is a subject. BENCH_LIBRARIES adds libraries to the
sweeps, see libraries.py.
"""
import argparse
import json
import os
import sys
import time

import budgets
import machine
import programs
import sweep
import throughput
from table import Table

try:
    import memory
except ImportError:
    memory = None

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SMOKE_ROWS = ["sweep", "programs", "throughput"]


def allocation(table):
    """The rows of memory.py."""
    def report(row):
        table.add(f"time of {row['what']} / glibc", "<=", row["bar_time"], row["time"], "x")
        if row["peak"]:
            table.add(f"peak of {row['what']} / glibc", "<=", row["bar_peak"], row["peak"], "x")

    done = memory.rows(table.build, lib=table.lib, pairs=table.pick(5, 3, 1), idle=table.pick(15, 0, 0), report=report)
    for row in done:
        if row["idle_mib"] is not None:
            table.figure(f"resident after idling, {row['what']}, beyond glibc", row["idle_mib"] - row["idle_glibc_mib"], "MiB")
    table.data["memory"] = done


def subjects():
    rows = [*budgets.ROWS, *([("memory", allocation, "3 min")] if memory else []), *sweep.ROWS, *programs.ROWS, *throughput.ROWS]
    return {name: (function, takes) for name, function, takes in rows}


def parse(known):
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default="build")
    parser.add_argument("--lib", help='the library; "": none, to test the benchmark itself')
    parser.add_argument("--json")
    parser.add_argument("--out")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_const", dest="mode", const="quick", default="full")
    size.add_argument("--smoke", action="store_const", dest="mode", const="smoke")
    parser.add_argument("rows", nargs="*", metavar="row", help=f"of {', '.join(known)}")
    args = parser.parse_args()
    for name in args.rows:
        if name not in known:
            parser.error(f"no such row: {name} (there are {', '.join(known)})")
    args.rows = args.rows or (SMOKE_ROWS if args.mode == "smoke" else list(known))
    args.build = os.path.abspath(args.build)
    args.lib = f"{args.build}/libcdm.so" if args.lib is None else args.lib and os.path.abspath(args.lib)
    if args.lib and not os.path.exists(args.lib):
        parser.error(f"{args.lib} is not built")
    return args


def headline(about):
    print(f"{about['cpu']}, {about['cpus']} CPUs, hypervisor {about['hypervisor'] or 'none'}, "
          f"governor {about['governor'] or 'unknown'}, Linux {about['kernel']}, huge pages {about['transparent_hugepages']}, commit {about['commit']}, {about['date']}")
    if about["load"] > 0.5:
        print(f"other programs use the machine: load {about['load']:.1f}")


def write(path, table, about, choice, took):
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(path, "w") as out:
        head = dict(version=2, mode=table.mode, seconds=took, machine=about, choice=choice)
        json.dump(dict(head, rows=table.rows, **table.data), out, indent=1)


def main():
    known = subjects()
    args = parse(known)
    table = Table(args.lib, args.build, args.mode, args.out and os.path.abspath(args.out))
    print("takes: " + ", ".join(f"{name} {known[name][1]}" for name in args.rows), flush=True)
    about = machine.describe(table, ROOT)
    headline(about)
    choice = machine.calibrate(table)
    for line in ((choice or {}).get("said") or "").splitlines():
        if line.startswith("choice:") or "busy" in line:
            print(f"cdm calibrate: {line}")
    print(f"{'what':64} {'bar':9} {'measured':>9} {'(+- half the middle half)'}", flush=True)
    failed, took = [], {}
    for name in args.rows:
        begin = time.monotonic()
        try:
            known[name][0](table)
        except (OSError, RuntimeError, ValueError) as error:  # the other rows are worth having
            failed.append(name)
            print(f"bench: {name}: {error}", file=sys.stderr, flush=True)
        took[name] = round(time.monotonic() - begin, 1)
    bars = [row for row in table.rows if row["op"]]
    print(f"{sum(row['met'] for row in bars)} of {len(bars)} bars met" + (f"; no result: {', '.join(failed)}" if failed else ""))
    write(args.json or f"{args.build}/bench.json", table, about, choice, took)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
