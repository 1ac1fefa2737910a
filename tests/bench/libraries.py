"""The BLAS libraries of this machine, and the ways in which somebody could set each by hand.

BENCH_LIBRARIES="NAME:PATH:PREFIX:SUFFIX ..." adds others, for example those of Python packages: PATH's dgemm is called
PREFIXdgemmSUFFIX (default "" and "_").
"""
import ctypes
import os
import platform
import subprocess
import sys

ARCH = f"/usr/lib/{platform.machine()}-linux-gnu"
NETLIB = f"{ARCH}/blas:{ARCH}/lapack"
OPENBLAS = f"{ARCH}/openblas-pthread"
BLIS = f"{ARCH}/blis-pthread"
ATLAS = f"{ARCH}/atlas"
# Those with kernels of their own for double precision; the first are those of CPUs with AVX2 and later.
NEW_CORES = ["Haswell", "Zen", "SkylakeX", "Cooperlake", "SapphireRapids"]
CORES = NEW_CORES + ["Sandybridge", "Nehalem"]
THREADS = ["OPENBLAS_NUM_THREADS", "BLIS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"]


class Setting:
    """One library, set by hand. A program linked to netlib uses it with env; `sweep` can also be told to open it (args).
    preload: what makes any program use it."""

    def __init__(self, library, label, env, args=(), preload=None):
        self.library, self.label = library, label
        self.env, self.args, self.preload = env, list(args), preload

    def __repr__(self):
        return self.label


def cpus():
    return len(os.sched_getaffinity(0))


def extra():
    """(name, path, prefix, suffix) of BENCH_LIBRARIES."""
    for word in os.environ.get("BENCH_LIBRARIES", "").split():
        name, path, *rest = word.split(":")
        prefix, suffix = rest if len(rest) == 2 else ("", "_")
        yield name, os.path.abspath(path), prefix, suffix


# ---- what a library says of itself ----------------------------------------------------------------------------


def say(path, function):
    """In a process of its own: what a library's function without arguments returns, a string."""
    library = ctypes.CDLL(path)
    call = getattr(library, function)
    call.restype = ctypes.c_char_p
    print(call().decode())


def ask(base, path, functions, **more):
    """The answer of the first of these functions that the library has, or None."""
    for function in functions:
        run = subprocess.run([sys.executable, __file__, path, function], env=dict(base, **more), capture_output=True, text=True)
        if run.returncode == 0:
            return run.stdout.strip()
    return None


def core_name(base, path, prefix="", **more):
    """The core type that an OpenBLAS computes with; None: no OpenBLAS, or it cannot."""
    names = [f"{p}openblas_get_corename{s}" for p in dict.fromkeys(("", prefix)) for s in ("", "64_")]
    return ask(base, path, names, **more)


def version(base, path, prefix="", **more):
    names = [f"{p}openblas_get_config{s}" for p in dict.fromkeys(("", prefix)) for s in ("", "64_")]
    return ask(base, path, [*names, "bli_info_get_version_str"], **more) or os.path.basename(os.path.realpath(path))


def present(base):
    """name, path, version of each, for the record."""
    found = [("netlib BLAS", f"{ARCH}/blas/libblas.so.3", ""), ("netlib LAPACK", f"{ARCH}/lapack/liblapack.so.3", ""),
             ("OpenBLAS", f"{OPENBLAS}/libopenblas.so.0", ""), ("BLIS", f"{BLIS}/libblis.so.4", ""),
             ("ATLAS", f"{ATLAS}/libblas.so.3", "")]
    found += [(name, path, prefix) for name, path, prefix, _ in extra()]
    return [dict(name=name, path=os.path.realpath(path), version=version(base, path, prefix, **beside(path)))
            for name, path, prefix in found if os.path.exists(path)]


# ---- settings ---------------------------------------------------------------------------------------------------


def beside(path):
    """Libraries that come together find each other."""
    return dict(LD_LIBRARY_PATH=f"{os.path.dirname(path)}:{NETLIB}")


def counts():
    return [1, cpus()] if cpus() > 1 else [1]


def threads_env(n):
    return {name: str(n) for name in THREADS}


def openblas_settings(base, name, path, cores, env, args=(), prefix="", preload=None):
    """Each core type that the library has and computes with when it is told to, with one thread and all."""
    own = core_name(base, path, prefix, **env)
    for core in dict.fromkeys([*cores, own]):
        told = dict(env, OPENBLAS_CORETYPE=core)
        if (core_name(base, path, prefix, **told) or "").lower() == core.lower():
            for n in counts():
                yield Setting(name, f"{name} {core} {n}t", dict(told, **threads_env(n)), args, preload)


def debian_openblas(base, cores=None):
    path = f"{OPENBLAS}/libopenblas.so.0"
    if not os.path.exists(path):
        return []
    return list(openblas_settings(base, "OpenBLAS", path, cores or CORES, dict(LD_LIBRARY_PATH=OPENBLAS), preload=path))


def debian_others():
    out = []
    if os.path.isdir(BLIS):
        # Debian's BLIS has no LAPACK: netlib's calls it.
        out += [Setting("BLIS", f"BLIS {n}t", dict(LD_LIBRARY_PATH=f"{BLIS}:{ARCH}/lapack", **threads_env(n))) for n in counts()]
    if os.path.isdir(ATLAS):
        out.append(Setting("ATLAS", "ATLAS", dict(LD_LIBRARY_PATH=ATLAS)))
    if os.path.isdir(f"{ARCH}/blas"):
        out.append(Setting("netlib", "netlib", dict(LD_LIBRARY_PATH=NETLIB)))
    return out


def named(base, cores=None):
    for name, path, prefix, suffix in extra():
        args = [path, prefix, suffix]
        if core_name(base, path, prefix, **beside(path)):
            yield from openblas_settings(base, name, path, cores or CORES, beside(path), args, prefix)
        else:
            for n in counts():
                yield Setting(name, f"{name} {n}t", dict(beside(path), **threads_env(n)), args)


def works(setting, base, sweep):
    """It computes, with kernels that this CPU has."""
    run = subprocess.run([sweep, *setting.args], input="dgemm 70 70 70 100\nsgemm 70 70 70 100\nzgemm 70 70 70 100\n",
                         env=dict(base, **setting.env), capture_output=True, text=True, timeout=60)
    return run.returncode == 0 and "-" not in run.stdout.split()


def by_hand(base, sweep, cores=None):
    """Every setting of every library that works here. sweep: the program of that name, which is linked to BLAS."""
    return [s for s in [*debian_openblas(base, cores), *debian_others(), *named(base, cores)] if works(s, base, sweep)]


if __name__ == "__main__":
    say(*sys.argv[1:])
