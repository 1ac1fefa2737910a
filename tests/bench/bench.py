"""The table of budgets: each row a ratio or a difference inside one run, the median of paired alternating runs.

usage: bench.py [--lib build/libcdm.so] [--build build] [--json build/bench.json] [row ...]

Programs beside `bench` in build/tests/bench print rows of their own, one a line, and figures without a bar:
    ROW|what|<= or >=|bar|measured|unit
    FIGURE|what|measured|unit
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
OPENBLAS = f"{ARCH}/openblas-pthread"
BLIS = f"{ARCH}/blis-pthread"
ATLAS = f"{ARCH}/atlas"
CORES = ["", "Haswell", "Zen", "SkylakeX", "Cooperlake", "SapphireRapids", "Nehalem", "Sandybridge"]


class Bench:
    def __init__(self, lib, build):
        self.lib, self.build, self.rows = lib, build, []
        self.bench = f"{build}/tests/bench/bench"
        self.base = {k: v for k, v in os.environ.items() if not k.startswith(("CDM_", "LD_", "OPENBLAS", "BLIS"))}

    def env(self, preload, more):
        env = dict(self.base, **more)
        if preload and self.lib:
            env["LD_PRELOAD"] = self.lib
        return env

    def number(self, args, preload, program=None, **more):
        """What `bench` prints, or None when the run fails (a core type that this CPU lacks)."""
        run = subprocess.run([program or self.bench, *map(str, args)], env=self.env(preload, more), capture_output=True, text=True)
        return float(run.stdout) if run.returncode == 0 else None

    def seconds(self, command, preload, **more):
        begin = time.perf_counter()
        subprocess.run(command, env=self.env(preload, more), stdout=subprocess.DEVNULL, check=True)
        return time.perf_counter() - begin

    @staticmethod
    def pairs(count, with_, without):
        """count pairs (with, without), their order alternating; the first pair warms up and is dropped."""
        out = []
        for i in range(count + 1):
            if i % 2:
                a = with_()
                b = without()
            else:
                b = without()
                a = with_()
            out.append((a, b))
        return out[1:]

    def row(self, what, op, bar, values, unit):
        values = sorted(values)
        measured = statistics.median(values)
        quarter = len(values) // 4
        spread = values[-1 - quarter] - values[quarter]
        self.add(what, op, bar, measured, unit, spread)

    def add(self, what, op, bar, measured, unit, spread=0.0):
        met = measured <= bar if op == "<=" else measured >= bar
        self.rows.append(dict(what=what, op=op, bar=bar, measured=measured, unit=unit, spread=spread, met=met))
        noise = f"+-{spread / 2:.3g}" if spread else ""
        mark = "met" if met else "NOT MET"
        print(f"{what:64} {op} {bar:<6g} {measured:9.3f} {noise:9} {unit:3} {mark}", flush=True)

    def figure(self, what, measured, unit):
        self.rows.append(dict(what=what, op=None, bar=None, measured=measured, unit=unit, spread=0.0, met=None))
        print(f"{what:64} {'':9} {measured:9.3f} {'':9} {unit}", flush=True)

    # ---- rows ----

    def never(self):
        for label, command, count in [
            ("never: gemm_c on OpenBLAS", [f"{self.build}/examples/gemm_c", "1000", "5"], 12),
            ("never: sort of 1,200,000 lines", ["sh", "-c", "seq 1200000 | sort -r --parallel=2 | tail -n 1"], 12),
        ]:
            pairs = self.pairs(
                count,
                lambda: self.seconds(command, True, CDM_POLICY="never", LD_LIBRARY_PATH=OPENBLAS),
                lambda: self.seconds(command, False, LD_LIBRARY_PATH=OPENBLAS),
            )
            self.row(label, "<=", 1.005, [a / b for a, b in pairs], "x")

    def startup(self):
        values = [self.number(["spawn", self.lib, 200, "/bin/true"], False) for _ in range(3)]
        self.row("start-up of /bin/true, added", "<=", 0.3, values, "ms")

    def small(self):
        one = dict(LD_LIBRARY_PATH=NETLIB)  # a library without threads of its own: glibc's fastest case
        pairs = self.pairs(
            25, lambda: self.number(["small"], True, **one), lambda: self.number(["small"], False, **one))
        self.row("malloc+free of 16-200 B", "<=", 1.10, [a / b for a, b in pairs], "x")

    def large(self):
        for bytes_, count, bar in [(8 << 20, 200, 1.0), (256 << 20, 9, 0.4)]:
            args = ["large", bytes_, count]
            one = dict(LD_LIBRARY_PATH=NETLIB)
            pairs = self.pairs(7, lambda: self.number(args, True, **one), lambda: self.number(args, False, **one))
            self.row(f"malloc+touch+free of {bytes_ >> 20} MiB", "<=", bar, [a / b for a, b in pairs], "x")

    def declined(self):
        more = dict(LD_LIBRARY_PATH=NETLIB)
        for what, kind, program in [
            ("", "gemm", None),
            (" (cblas)", "cgemm", None),
            (" (level 1)", "dot", None),
            (", through a patch", "gemm", f"{self.bench}_static"),
            (" (level 1), through a patch", "dot", f"{self.bench}_static"),
        ]:
            args = [kind, "d", 2, 25, 20000]
            pairs = self.pairs(
                9, lambda: self.number(args, True, program, CDM_MIN_WORK="1e12", **more),
                lambda: self.number(args, False, program, **more))
            self.row(f"a call that stays on the host{what}, added", "<=", 15, [a - b for a, b in pairs], "ns")

    def resident(self):
        core = self.core_in_force(OPENBLAS)
        args = ["gemm", "d", 32, 25, 2000]
        library = f"{OPENBLAS}/libopenblas.so.0"
        device = dict(CDM_MIN_WORK="0", CDM_BLAS=library, CDM_THREADS="1", LD_LIBRARY_PATH=NETLIB)
        direct = dict(LD_LIBRARY_PATH=OPENBLAS, OPENBLAS_NUM_THREADS="1")
        if core:
            direct["OPENBLAS_CORETYPE"] = core
        pairs = self.pairs(
            9,
            lambda: self.number(args, True, **device),
            lambda: self.number(args, False, **direct))
        self.row("an offloaded call, operands resident, added", "<=", 1.0, [(a - b) / 1000 for a, b in pairs], "us")

    def core_in_force(self, directory):
        """The core type that the emulated device chose for OpenBLAS, from its report."""
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/r.json"
            self.number(["gemm", "d", 64, 1, 1], True, CDM_MIN_WORK="0", CDM_REPORT=path, LD_LIBRARY_PATH=NETLIB,
                        CDM_BLAS=f"{directory}/libopenblas.so.0")
            try:
                blas = json.load(open(path))["device"]["blas"] or ""
            except (OSError, ValueError, KeyError):
                return None
        found = re.search(r"core (\w+)", blas)
        return found.group(1) if found else None

    def candidates(self):
        cpus = str(len(os.sched_getaffinity(0)))
        for core in CORES:
            more = dict(OPENBLAS_CORETYPE=core) if core else {}
            yield f"OpenBLAS {core}".strip(), dict(LD_LIBRARY_PATH=OPENBLAS, **more)
        yield "BLIS", dict(LD_LIBRARY_PATH=BLIS)
        yield f"BLIS {cpus} threads", dict(LD_LIBRARY_PATH=BLIS, BLIS_NUM_THREADS=cpus)
        yield "ATLAS", dict(LD_LIBRARY_PATH=ATLAS)

    def compute(self):
        for type_, n, count in [("d", 512, 12), ("d", 2000, 3), ("s", 2000, 3), ("z", 1000, 3)]:
            args = ["gemm", type_, n, count, 1]
            tried = []
            for name, env in self.candidates():
                if os.path.isdir(env["LD_LIBRARY_PATH"]):
                    value = self.number(args, False, **env)
                    if value:
                        tried.append((value, name, env))
            finalists = sorted(tried, key=lambda t: t[0])[:2]
            ratios = []
            for value, name, env in finalists:
                pairs = self.pairs(
                    5,
                    lambda: self.number(args, True, CDM_MIN_WORK="0", LD_LIBRARY_PATH=NETLIB),
                    lambda: self.number(args, False, **env))
                ratios.append((statistics.median(b / a for a, b in pairs), name, [b / a for a, b in pairs]))
            _, name, values = min(ratios, key=lambda t: t[0])
            self.row(f"{type_}gemm n={n} on the device / by hand ({name})", ">=", 0.98, values, "x")

    def inside(self):
        """Programs linked to the engine itself: moves, faults, the shadow page map."""
        folder = f"{self.build}/tests/bench"
        for name in sorted(os.listdir(folder)):
            path = f"{folder}/{name}"
            if name.startswith("bench") or "." in name or not os.access(path, os.X_OK):
                continue
            run = subprocess.run([path], env=self.base, capture_output=True, text=True, timeout=120)
            if run.returncode:
                print(run.stderr, end="", file=sys.stderr)
                self.add(f"{name}: exit status", "<=", 0, run.returncode, "")
            for line in run.stdout.splitlines():
                if line.startswith("ROW|"):
                    _, what, op, bar, measured, unit = line.split("|")
                    self.add(what, op, float(bar), float(measured), unit)
                elif line.startswith("FIGURE|"):
                    _, what, measured, unit = line.split("|")
                    self.figure(what, float(measured), unit)


def main():
    names = ["never", "startup", "small", "large", "declined", "resident", "compute", "inside"]
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default="build")
    parser.add_argument("--lib")
    parser.add_argument("--json")
    parser.add_argument("rows", nargs="*", metavar="row", help=f"of {', '.join(names)}")
    args = parser.parse_args()
    build = os.path.abspath(args.build)
    bench = Bench(f"{build}/libcdm.so" if args.lib is None else args.lib and os.path.abspath(args.lib), build)
    bench.number(["gemm", "d", 256, 1, 1], True, LD_LIBRARY_PATH=NETLIB, CDM_MIN_WORK="0")
    print(f"{'what':64} {'bar':9} {'measured':>9} {'(+- half the middle half)'}")
    for name in args.rows or names:
        if name not in names:
            sys.exit(f"no such row: {name}")
        getattr(bench, name)()
    bars = [row for row in bench.rows if row["op"]]
    print(f"{sum(row['met'] for row in bars)} of {len(bars)} bars met")
    with open(args.json or f"{build}/bench.json", "w") as out:
        json.dump(dict(version=1, machine=platform.processor() or platform.machine(), rows=bench.rows), out, indent=1)


main()
