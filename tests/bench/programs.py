"""Whole programs, from start to end: on netlib, on OpenBLAS as it comes, with the best OpenBLAS that can be set by hand preloaded,
and with libcdm as it comes. All print a checksum, which must be the same.

Every setting by hand runs twice; the best two then take turns with the other columns. A figure is the median over the rounds of
the column's time / libcdm's.
"""
import os
import re
import shutil
import statistics
import subprocess
import time

import libraries
from table import spread

BAR = 0.98
FINALISTS = 2
PYTHON = "/usr/bin/python3"
NETLIB, COMES, UNKNOWN, US = "netlib", "OpenBLAS as it comes", "OpenBLAS that does not know the CPU", "libcdm"
OLD = "Prescott"  # what an OpenBLAS older than the CPU falls back to


class Program:
    """sizes: arguments in full, quick and smoke mode. tolerance: of the checksum, relatively; single precision needs more."""

    def __init__(self, name, command, sizes, tolerance=1e-8):
        self.name, self.command, self.sizes, self.tolerance = name, command, sizes, tolerance

    def here(self, build):
        path = self.command[0].format(build=build)
        return shutil.which(path) and all(os.path.exists(a) for a in self.command[1:] if a.startswith("examples/"))

    def line(self, table):
        return [word.format(build=table.build) for word in self.command] + table.pick(*self.sizes).split()


# Without a size for smoke mode, it is left out there.
PROGRAMS = [
    Program("NumPy", [PYTHON, "examples/numpy_linalg.py"], ("1400", "800", "120"), 1e-6),
    Program("SciPy", [PYTHON, "examples/scipy_linalg.py"], ("1000", "600", None), 1e-6),
    Program("Octave", ["octave-cli", "examples/octave_linalg.m"], ("1500", "800", None)),
    Program("Octave, large temporaries", ["octave-cli", "examples/octave_temporaries.m"], ("1200 4", "800 3", "100 2")),
    Program("Fortran, LU by dgemm", ["{build}/examples/lu_fortran"], ("2000", "1200", None)),
    Program("Fortran, LU by dgetrf", ["{build}/examples/lu_lapack"], ("2400", "1500", "100")),
    Program("C, k-means", ["{build}/examples/kmeans"], ("60000 128 256 6", "40000 96 192 4", "1000 8 4 2")),
]


class Failed(RuntimeError):
    pass


def run(table, command, env):
    """Seconds, and the checksum. Memory that a virtual machine's host has taken back is fetched before (warm.c), for every column."""
    subprocess.run([f"{table.build}/tests/bench/warm", table.pick("1024", "768", "16")], check=True)
    begin = time.perf_counter()
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    took = time.perf_counter() - begin
    found = re.search(r"checksum= *(\S+)", done.stdout)
    if done.returncode or not found:
        raise Failed(f"{' '.join(command)}: exit status {done.returncode}: {done.stderr.strip()[-200:]}")
    return took, float(found.group(1))


class Race:
    """The columns of one program: environments, times and checksums."""

    def __init__(self, table, command):
        self.table, self.command = table, command
        self.env, self.times, self.sums = {}, {}, {}

    def add(self, name, env):
        self.env[name], self.times[name], self.sums[name] = env, [], []

    def run(self, name):
        took, checksum = run(self.table, self.command, self.env[name])
        self.times[name].append(took)
        self.sums[name].append(checksum)

    def ratios(self, name):
        """A column that ran in the first rounds only is compared with these."""
        return [a / b for a, b in zip(self.times[name], self.times[US])]

    def apart(self):
        """The largest relative distance between two checksums."""
        every = [s for sums in self.sums.values() for s in sums]
        return (max(every) - min(every)) / max(abs(s) for s in every)


def finalists(table, command, settings):
    """The best settings by hand for this program."""
    tried = {}
    for _ in range(table.pick(2, 2, 1)):
        for s in settings:
            took, _ = run(table, command, preloading(table, s))
            tried[s] = min(took, tried.get(s, took))
    return sorted(tried, key=tried.get)[:FINALISTS]


def preloading(table, setting):
    return table.env(LD_PRELOAD=setting.preload, **dict(setting.env, LD_LIBRARY_PATH=libraries.NETLIB))


def race(table, program, settings, detects):
    """All columns in turns, a round after the other."""
    race_ = Race(table, program.line(table))
    hand = finalists(table, race_.command, settings)
    race_.add(NETLIB, table.env(LD_LIBRARY_PATH=libraries.NETLIB))
    race_.add(COMES, table.env(LD_LIBRARY_PATH=libraries.OPENBLAS))
    for s in hand:
        race_.add(s.label, preloading(table, s))
    if not fallen_back(detects):
        race_.add(UNKNOWN, table.env(LD_LIBRARY_PATH=libraries.OPENBLAS, OPENBLAS_CORETYPE=OLD))
    race_.add(US, table.libcdm())
    race_.run(US)  # the first finds cold files
    race_.times[US].clear()
    for i in range(table.pick(7, 5, 1)):
        often = [COMES, *(s.label for s in hand), US]
        names = often + [name for name in (NETLIB, UNKNOWN) if name in race_.env and i < table.pick(2, 1, 1)]
        for name in names if i % 2 else names[::-1]:
            race_.run(name)
    return race_, min((s.label for s in hand), key=lambda label: statistics.median(race_.times[label]))


def fallen_back(core):
    """OpenBLAS took a core type without AVX2 on a CPU that has it."""
    with open("/proc/cpuinfo") as file:
        modern = " avx2" in file.read()
    return modern and core not in libraries.NEW_CORES


def report(table, program, race_, best):
    apart = race_.apart()
    agree = apart <= program.tolerance
    took = {name: statistics.median(times) for name, times in race_.times.items()}
    table.text(f"{' '.join(map(os.path.basename, race_.command))}: results {'agree' if agree else 'DIFFER'} ({apart:.0e}); "
               + ", ".join(f"{name} {s:.2f} s" for name, s in took.items()))
    hand = race_.ratios(best)
    table.add(f"{program.name}: by hand ({best}) / libcdm", ">=", BAR, statistics.median(hand), "x", spread(hand))
    comes = race_.ratios(COMES)
    table.add(f"{program.name}: {COMES} / libcdm", ">=", BAR, statistics.median(comes), "x", spread(comes))
    for name in (NETLIB, UNKNOWN):
        if name in race_.env:
            table.figure(f"{program.name}: {name} / libcdm", statistics.median(race_.ratios(name)), "x")
    if not agree:
        table.add(f"{program.name}: results apart", "<=", program.tolerance, apart, "")
    return dict(program=program.name, command=race_.command, best=best, seconds=race_.times, checksums=race_.sums, apart=apart,
                agree=agree, ratio=statistics.median(hand))


def programs(table):
    openblas = f"{libraries.OPENBLAS}/libopenblas.so.0"
    if not os.path.exists(openblas):
        raise RuntimeError(f"no {openblas}")
    detects = libraries.core_name(table.base, openblas)
    emulated = "is what comes" if fallen_back(detects) else f"is emulated (OPENBLAS_CORETYPE={OLD})"
    table.text(f"programs: this machine's OpenBLAS takes the CPU for {detects}; one that does not know it {emulated}")
    settings = [s for s in libraries.debian_openblas(table.base, libraries.NEW_CORES)
                if libraries.works(s, table.base, f"{table.build}/tests/bench/sweep")]
    out, wrong = [], []
    for program in (p for p in PROGRAMS if table.pick(*p.sizes)):
        if not program.here(table.build):
            table.text(f"{program.name}: {program.command[0]} is not here, left out")
            continue
        race_, best = race(table, program, settings[:table.pick(None, None, 1)], detects)
        out.append(report(table, program, race_, best))
        wrong += [] if out[-1]["agree"] else [program.name]
    table.data["programs"] = dict(openblas_detects=detects, programs=out)
    if wrong:
        raise RuntimeError(f"results differ: {', '.join(wrong)}")


ROWS = [("programs", programs, "6 min, quick 3 min")]
