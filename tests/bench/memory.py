"""Allocation beside glibc's: time, peak and idle memory of the patterns of memory.c, with and without the preload.

usage: memory.py [--build build] [--pairs 5] [--idle 15] [--json FILE] [pattern ...]

Each row is the median of paired runs of the same binary, whose order alternates. From another script: rows().
"""
import argparse
import json
import os
import statistics
import subprocess

LEAST_PEAK = 16 << 10  # KiB: below, libcdm's own memory is most of what is seen
BAR_TIME, BAR_PEAK = 1.0, 1.1
BAR_SMALL = 1.10
TRACKED = 1 << 20


class Runs:
    def __init__(self, build, lib=None, env=None):
        self.program = f"{build}/tests/bench/memory"
        self.lib = os.path.abspath(lib or f"{build}/libcdm.so")
        base = os.environ if env is None else env
        self.base = {k: v for k, v in base.items() if not k.startswith(("CDM_", "LD_", "MALLOC_", "GLIBC_"))}

    def start(self, words, preload):
        env = dict(self.base, LD_PRELOAD=self.lib) if preload else self.base
        return subprocess.Popen([self.program, *words], env=env, stdout=subprocess.PIPE, text=True)

    def numbers(self, words, preload):
        """CPU time of a round in ns, and the peak in KiB."""
        run = self.start(words, preload)
        out = run.communicate()[0]
        if run.returncode:
            raise RuntimeError(f"{' '.join(words)}: exit status {run.returncode}")
        return [float(v) for v in out.split()]

    def patterns(self, wanted):
        listed = subprocess.run([self.program], env=self.base, stdout=subprocess.PIPE, text=True, check=True).stdout
        lines = [line.split() for line in listed.splitlines()]
        return [w for w in lines if not wanted or w[0] in wanted or " ".join(w[:2]) in wanted]


def paired(runs, words, pairs):
    """(with, without) of each pair; the first pair warms up and is dropped."""
    out = []
    for i in range(pairs + 1):
        first = runs.numbers(words, i % 2 == 0)
        second = runs.numbers(words, i % 2 == 1)
        out.append((first, second) if i % 2 == 0 else (second, first))
    return out[1:]


def label(words):
    n = int(words[1])
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if n >= size and n % size == 0:
            return f"{words[0]} {n // size} {unit}"
    return f"{words[0]} {n} B"


def idle_kib(runs, words, preload, seconds):
    """Starts the run and returns what ends it: the sleepers of all patterns overlap."""
    sleeper = runs.start([*words, str(seconds)], preload)
    head = ""
    while head.count(" ") < 1:  # its work is done when the peak has been printed
        byte = sleeper.stdout.read(1)
        if not byte:
            raise RuntimeError(f"{' '.join(words)}: ended early")
        head += byte
    return lambda: float((head + sleeper.communicate()[0]).split()[2])


def rows(build, pairs=5, idle=15, wanted=(), lib=None, report=lambda row: None):
    """One dict for each pattern: what, time (ratio to glibc), peak (ratio, None when it is too small to tell), peak_mib,
    idle_mib and idle_glibc_mib (None when idle is 0). report is called with each as soon as its times are known."""
    runs = Runs(build, lib)
    out = []
    for words in runs.patterns(wanted):
        got = paired(runs, words, pairs)
        bytes_ = int(words[1])
        least = min(b[1] for _, b in got)
        row = dict(what=label(words),
                   time=statistics.median(a[0] / b[0] for a, b in got),
                   least=min(a[0] for a, _ in got) / min(b[0] for _, b in got),
                   ns=statistics.median(a[0] for a, _ in got), ns_glibc=statistics.median(b[0] for _, b in got),
                   peak=statistics.median(a[1] / b[1] for a, b in got) if least >= LEAST_PEAK else None,
                   peak_mib=statistics.median(a[1] for a, _ in got) / 1024,
                   peak_glibc_mib=statistics.median(b[1] for _, b in got) / 1024,
                   bar_time=BAR_TIME if bytes_ >= TRACKED else BAR_SMALL, bar_peak=BAR_PEAK,
                   idle_mib=None, idle_glibc_mib=None, words=words)
        report(row)
        out.append(row)
    if idle:
        ends = [(idle_kib(runs, row["words"], True, idle), idle_kib(runs, row["words"], False, idle)) for row in out]
        for row, (with_, without) in zip(out, ends):
            row["idle_mib"], row["idle_glibc_mib"] = with_() / 1024, without() / 1024
    return out


def show(row):
    peak = f"{row['peak']:6.2f}" if row["peak"] else "     -"
    print(f"{row['what']:20} {row['time']:6.2f} {row['least']:6.2f} {row['ns']:12.0f} {row['ns_glibc']:12.0f} {peak} "
          f"{row['peak_mib']:8.1f} {row['peak_glibc_mib']:8.1f}", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default="build")
    parser.add_argument("--lib")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--idle", type=int, default=15)
    parser.add_argument("--json")
    parser.add_argument("pattern", nargs="*", help="loop, calloc, ... or 'loop 8388608'")
    args = parser.parse_args()
    print(f"{'pattern':20} {'time':>6} {'least':>6} {'ns':>12} {'glibc':>12} {'peak':>6} {'MiB':>8} {'glibc':>8}")
    table = rows(os.path.abspath(args.build), args.pairs, args.idle, args.pattern, args.lib, show)
    if args.idle:
        print(f"\nresident after {args.idle} s without a call   MiB    glibc")
        for row in table:
            print(f"{row['what']:28} {row['idle_mib']:12.1f} {row['idle_glibc_mib']:8.1f}")
    slow = [row["what"] for row in table if row["time"] > row["bar_time"]]
    fat = [row["what"] for row in table if row["peak"] and row["peak"] > row["bar_peak"]]
    print(f"\nslower than the bar: {', '.join(slow) or 'none'}\npeak above {BAR_PEAK} x: {', '.join(fat) or 'none'}")
    if args.json:
        with open(args.json, "w") as out:
            json.dump(dict(version=1, rows=table), out, indent=1)


if __name__ == "__main__":
    main()
