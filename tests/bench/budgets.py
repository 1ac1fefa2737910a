"""The budgets: what libcdm may cost a program that does not use it, and what it must bring to one that does."""
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile

import libraries
from libraries import ATLAS, BLIS, NETLIB, OPENBLAS

NOT_INSIDE = ("bench", "sweep", "callers", "memory", "warm")  # programs there that other subjects run


def never(table):
    for label, command, count in [
        ("never: gemm_c on OpenBLAS", [f"{table.build}/examples/gemm_c", "1000", "5"], 12),
        ("never: sort of 1,200,000 lines", ["sh", "-c", "seq 1200000 | sort -r --parallel=2 | tail -n 1"], 12),
    ]:
        pairs = table.pairs(
            count,
            lambda: table.seconds(command, True, CDM_POLICY="never", LD_LIBRARY_PATH=OPENBLAS),
            lambda: table.seconds(command, False, LD_LIBRARY_PATH=OPENBLAS),
        )
        table.row(label, "<=", 1.005, [a / b for a, b in pairs], "x")


def startup(table):
    values = [table.number(["spawn", table.lib, 200, "/bin/true"], False) for _ in range(3)]
    table.row("start-up of /bin/true, added", "<=", 0.3, values, "ms")


def small(table):
    one = dict(LD_LIBRARY_PATH=NETLIB)  # a library without threads of its own: glibc's fastest case
    pairs = table.pairs(
        25, lambda: table.number(["small"], True, **one), lambda: table.number(["small"], False, **one))
    table.row("malloc+free of 16-200 B", "<=", 1.10, [a / b for a, b in pairs], "x")


def large(table):
    for bytes_, count, bar in [(8 << 20, 200, 1.0), (256 << 20, 9, 0.4)]:
        args = ["large", bytes_, count]
        one = dict(LD_LIBRARY_PATH=NETLIB)
        pairs = table.pairs(7, lambda: table.number(args, True, **one), lambda: table.number(args, False, **one))
        table.row(f"malloc+touch+free of {bytes_ >> 20} MiB", "<=", bar, [a / b for a, b in pairs], "x")


def declined(table):
    more = dict(LD_LIBRARY_PATH=NETLIB)
    for what, kind, program in [
        ("", "gemm", None),
        (" (cblas)", "cgemm", None),
        (" (level 1)", "dot", None),
        (", through a patch", "gemm", f"{table.bench}_static"),
        (" (level 1), through a patch", "dot", f"{table.bench}_static"),
    ]:
        args = [kind, "d", 2, 25, 20000]
        pairs = table.pairs(
            9, lambda: table.number(args, True, program, CDM_MIN_WORK="1e12", **more),
            lambda: table.number(args, False, program, **more))
        table.row(f"a call that stays on the host{what}, added", "<=", 15, [a - b for a, b in pairs], "ns")


def resident(table):
    core = core_in_force(table, OPENBLAS)
    args = ["gemm", "d", 32, 25, 2000]
    library = f"{OPENBLAS}/libopenblas.so.0"
    device = dict(CDM_MIN_WORK="0", CDM_BLAS=library, CDM_THREADS="1", LD_LIBRARY_PATH=NETLIB)
    direct = dict(LD_LIBRARY_PATH=OPENBLAS, OPENBLAS_NUM_THREADS="1")
    if core:
        direct["OPENBLAS_CORETYPE"] = core
    pairs = table.pairs(
        9,
        lambda: table.number(args, True, **device),
        lambda: table.number(args, False, **direct))
    table.row("an offloaded call, operands resident, added", "<=", 1.0, [(a - b) / 1000 for a, b in pairs], "us")


def core_in_force(table, directory):
    """The core type that the emulated device chose for OpenBLAS, from its report."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/r.json"
        table.number(["gemm", "d", 64, 1, 1], True, CDM_MIN_WORK="0", CDM_REPORT=path, LD_LIBRARY_PATH=NETLIB,
                     CDM_BLAS=f"{directory}/libopenblas.so.0")
        try:
            with open(path) as file:
                blas = json.load(file)["device"]["blas"] or ""
        except (OSError, ValueError, KeyError):
            return None
    found = re.search(r"core (\w+)", blas)
    return found.group(1) if found else None


def candidates():
    cpus = str(libraries.cpus())
    for core in ["", *libraries.CORES]:
        more = dict(OPENBLAS_CORETYPE=core) if core else {}
        yield f"OpenBLAS {core}".strip(), dict(LD_LIBRARY_PATH=OPENBLAS, **more)
    yield "BLIS", dict(LD_LIBRARY_PATH=BLIS)
    yield f"BLIS {cpus} threads", dict(LD_LIBRARY_PATH=BLIS, BLIS_NUM_THREADS=cpus)
    yield "ATLAS", dict(LD_LIBRARY_PATH=ATLAS)


def compute(table):
    for type_, n, count in [("d", 512, 12), ("d", 2000, 3), ("s", 2000, 3), ("z", 1000, 3)]:
        args = ["gemm", type_, n, count, 1]
        tried = []
        for name, env in candidates():
            if os.path.isdir(env["LD_LIBRARY_PATH"]):
                value = table.number(args, False, **env)
                if value:
                    tried.append((value, name, env))
        finalists = sorted(tried, key=lambda t: t[0])[:2]
        ratios = []
        for _, name, env in finalists:
            pairs = table.pairs(
                5,
                lambda: table.number(args, True, CDM_MIN_WORK="0", LD_LIBRARY_PATH=NETLIB),
                lambda: table.number(args, False, **env))
            ratios.append((statistics.median(b / a for a, b in pairs), name, [b / a for a, b in pairs]))
        _, name, values = min(ratios, key=lambda t: t[0])
        table.row(f"{type_}gemm n={n} on the device / by hand ({name})", ">=", 0.98, values, "x")


def inside(table):
    """Programs linked to the engine itself: moves, faults, the shadow page map."""
    folder = f"{table.build}/tests/bench"
    for name in sorted(os.listdir(folder)):
        path = f"{folder}/{name}"
        if name.startswith(NOT_INSIDE) or "." in name or not os.access(path, os.X_OK) or os.path.isdir(path):
            continue
        run = subprocess.run([path], env=table.base, capture_output=True, text=True, timeout=600)
        if run.returncode:
            print(run.stderr, end="", file=sys.stderr)
            table.add(f"{name}: exit status", "<=", 0, run.returncode, "")
        table.lines(run.stdout)


ROWS = [
    ("never", never, "1 min"),
    ("startup", startup, "2 s"),
    ("small", small, "10 s"),
    ("large", large, "20 s"),
    ("declined", declined, "10 s"),
    ("resident", resident, "5 s"),
    ("compute", compute, "1 min"),
    ("inside", inside, "1 min"),
]
