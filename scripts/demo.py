"""make demo: unmodified programs on netlib BLAS, without libcdm, with it, and with OpenBLAS preloaded instead.

--size is the order of the NumPy matrices.

usage: demo.py [--runs 10] [--size 1400] [--lib build/libcdm.so]
"""
import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time

ARCH = f"/usr/lib/{platform.machine()}-linux-gnu"
NETLIB = f"{ARCH}/blas:{ARCH}/lapack"
OPENBLAS = f"{ARCH}/libopenblas.so.0"
TOLERANCE = 1e-7  # of the checksums: numpy_linalg.py has a step in single precision
COLUMNS = ["netlib", "libcdm", "OpenBLAS"]
NETLIB_RUNS = 2


def run(command, preload, **more):
    """Seconds of the whole program, and the checksum that it prints."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("CDM_", "LD_"))}
    env.update(LD_LIBRARY_PATH=NETLIB, **more)
    if preload:
        env["LD_PRELOAD"] = preload
    begin = time.perf_counter()
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    took = time.perf_counter() - begin
    if done.returncode or done.stderr:
        sys.exit(f"demo: {' '.join(command)}: exit status {done.returncode}\n{done.stderr}")
    return took, float(re.search(r"checksum= *(\S+)", done.stdout).group(1))


def size(n):
    return f"{n / 2**20:.0f} MiB" if n < 2**30 else f"{n / 2**30:.1f} GiB"


def reported(command, lib, folder):
    path = f"{folder}/report.json"
    run(command, lib, CDM_REPORT=path)
    with open(path) as file:
        return json.load(file)


def describe(name, r):
    calls, moved = r["calls"], r["bytes"]
    why = ", ".join(f"{n} {reason.replace('_', ' ')}" for reason, n in calls["declined"].items() if n)
    stayed = f" (stayed: {why})" if why else ""
    print(f"  {name}: {calls['offloaded']} of {calls['seen']} calls on the device{stayed}")
    print(f"    {size(moved['to_device'])} moved to the device, {size(moved['first_touch'])} allocated there, "
          f"{size(moved['to_host'])} moved home, {size(moved['staged'])} staged; "
          f"peak {size(r['device']['peak'])} of {size(r['device']['capacity'])}")




def measure(command, lib, runs):
    """Interleaved rounds: the median time and the checksum for each column, and the median of OpenBLAS / libcdm
    round by round. Netlib takes ten times as long and runs in the first rounds only."""
    preload = dict(netlib=None, libcdm=lib, OpenBLAS=OPENBLAS)
    times, sums = {c: [] for c in COLUMNS}, {}
    for i in range(runs):
        # Each goes first as often as the other: the first finds colder memory.
        for column in COLUMNS[:1] + COLUMNS[1:][::1 if i % 2 else -1]:
            if column != "netlib" or i < NETLIB_RUNS:
                took, sums[column] = run(command, preload[column])
                times[column].append(took)
    versus = statistics.median(b / a for a, b in zip(times["libcdm"], times["OpenBLAS"]))
    return {c: statistics.median(times[c]) for c in COLUMNS}, sums, versus


def table_row(name, t, sums):
    apart = abs(sums["libcdm"] - sums["netlib"]) / abs(sums["netlib"])
    agree = apart <= TOLERANCE
    verdict = f"{'agree' if agree else 'DIFFER'} ({apart:.0e})"
    print(f"{name:34} {t['netlib']:7.2f} s {t['libcdm']:7.2f} s {t['netlib'] / t['libcdm']:6.1f} x "
          f"{t['OpenBLAS']:8.2f} s {t['netlib'] / t['OpenBLAS']:6.1f} x  {verdict}", flush=True)
    return agree


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--size", type=int, default=1400)
    parser.add_argument("--lib", default="build/libcdm.so")
    args = parser.parse_args()
    lib, n = os.path.abspath(args.lib), str(args.size)
    python = "/usr/bin/python3"
    programs = [(f"python3 numpy_linalg.py {n}", [python, "examples/numpy_linalg.py", n]),
                ("gemm_c 1000 10", ["build/examples/gemm_c", "1000", "10"])]

    print("Unmodified programs on Debian's netlib BLAS: by themselves, with LD_PRELOAD=libcdm.so, and with\n"
          f"LD_PRELOAD=libopenblas.so.0 instead. Whole program, median of {args.runs} interleaved runs\n"
          f"({NETLIB_RUNS} on netlib).\n"
          "A warm-up run comes first: libcdm measures the machine's BLAS libraries once (up to 2 s) and keeps\n"
          "the result.\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        reports = [(name, reported(command, lib, folder)) for name, command in programs]
    print(f"{'program':34} {'netlib':>9} {'libcdm':>9} {'':8} {'OpenBLAS':>10} {'':8}  results")
    agree = True
    compared = []
    for name, command in programs:
        times, sums, versus = measure(command, lib, args.runs)
        agree &= table_row(name, times, sums)
        compared.append(f"  {name}: {versus:.2f} x the speed of OpenBLAS preloaded")
    device = reports[0][1]["device"]
    print(f"\ndevice {device['name']}, {size(device['capacity'])}, mechanism {device['mechanism']}, computing with\n"
          f"  {device['blas']}")
    for name, report in reports:
        describe(name, report)
    print("\n".join(["", *compared]))
    print("\nAny program: LD_PRELOAD=build/libcdm.so CDM_REPORT=stderr PROGRAM, or build/cdm run PROGRAM")
    offloaded = all(report["calls"]["offloaded"] for _, report in reports)
    if not offloaded:
        print("demo: nothing was offloaded")
    sys.exit(0 if agree and offloaded else 1)


main()
