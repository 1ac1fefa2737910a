"""The table: rows with a bar and figures without, and how a program is run with and without the preload."""
import os
import statistics
import subprocess
import time

import libraries

OURS = ("CDM_", "LD_", "OPENBLAS", "GOTO", "BLIS", "MKL", "OMP")


class Table:
    """What every subject is given: where things are built, a clean environment, and the rows that they add."""

    def __init__(self, lib, build, mode="full", out=None):
        self.lib, self.build, self.mode = lib, build, mode
        self.out = out or f"{build}/bench"
        self.rows, self.data = [], {}
        self.bench = f"{build}/tests/bench/bench"
        self.base = {k: v for k, v in os.environ.items() if not k.startswith(OURS)}
        # Of its own, so that it is always this build's calibration and never measured inside a row.
        self.base["XDG_CACHE_HOME"] = f"{build}/bench-cache"

    def pick(self, full, quick, smoke):
        return dict(full=full, quick=quick, smoke=smoke)[self.mode]

    def env(self, preload=False, **more):
        env = dict(self.base, **more)
        if preload and self.lib:
            env["LD_PRELOAD"] = self.lib
        return env

    def libcdm(self, **more):
        """The environment of a program linked to netlib, with libcdm as it comes."""
        return self.env(True, LD_LIBRARY_PATH=libraries.NETLIB, **more)

    def number(self, args, preload, program=None, **more):
        """What `bench` prints, or None when the run fails (a core type that this CPU lacks)."""
        command = [program or self.bench, *map(str, args)]
        run = subprocess.run(command, env=self.env(preload, **more), capture_output=True, text=True)
        return float(run.stdout) if run.returncode == 0 else None

    def seconds(self, command, preload, **more):
        begin = time.perf_counter()
        subprocess.run(command, env=self.env(preload, **more), stdout=subprocess.DEVNULL, check=True)
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
        self.add(what, op, bar, statistics.median(values), unit, spread(values))

    def add(self, what, op, bar, measured, unit, spread_=0.0):
        met = measured <= bar if op == "<=" else measured >= bar
        self.rows.append(dict(what=what, op=op, bar=bar, measured=measured, unit=unit, spread=spread_, met=met))
        noise = f"+-{spread_ / 2:.3g}" if spread_ else ""
        mark = "met" if met else "NOT MET"
        print(f"{what:64} {op} {bar:<6g} {measured:9.3f} {noise:9} {unit:3} {mark}", flush=True)

    def figure(self, what, measured, unit):
        self.rows.append(dict(what=what, op=None, bar=None, measured=measured, unit=unit, spread=0.0, met=None))
        print(f"{what:64} {'':9} {measured:9.3f} {'':9} {unit}", flush=True)

    def text(self, line):
        print(line, flush=True)

    def lines(self, out):
        """ROW| and FIGURE| lines of a program (bench.py says how they look)."""
        for line in out.splitlines():
            if line.startswith("ROW|"):
                _, what, op, bar, measured, unit = line.split("|")
                self.add(what, op, float(bar), float(measured), unit)
            elif line.startswith("FIGURE|"):
                _, what, measured, unit = line.split("|")
                self.figure(what, float(measured), unit)


def spread(values):
    """Width of the middle half."""
    values = sorted(values)
    quarter = len(values) // 4
    return values[-1 - quarter] - values[quarter]
