"""ops.py run DIRECTORY [N]: dense linear algebra with NumPy, and SciPy if it is there; the results go to DIRECTORY.
ops.py compare DIRECTORY DIRECTORY: two runs agree within 10 N epsilon, relative to the largest element's scale.
ops.py calls REPORT...: what libcdm's JSON reports say in all.
ops.py offloaded NAMES REPORT...: each routine named was seen and offloaded; "[sdcz]gemm" names four.
"""
import glob
import json
import os
import re
import sys

DTYPES = ("float32", "float64", "complex64", "complex128")


def matrices(np, n, dtype):
    """General, positive definite, normal with known eigenvalues, and tall; condition numbers below 100."""
    rng = np.random.default_rng(7)
    cplx = dtype.startswith("complex")

    def gaussian(*shape):
        x = rng.standard_normal(shape)
        return x + 1j * rng.standard_normal(shape) if cplx else x

    a = gaussian(n, n) / np.sqrt(n)
    spd = a @ a.conj().T + np.eye(n)
    q = np.linalg.qr(gaussian(n, n))[0]
    blocks = np.zeros((n, n), a.dtype)
    for i in range(0, n - 1, 2):  # each has the eigenvalues x + iy, x - iy
        x, y = 1 + i / n, 0.5 + i / (2 * n)
        blocks[i : i + 2, i : i + 2] = [[x, y], [-y, x]]
    if n % 2:
        blocks[-1, -1] = 3
    normal = q @ blocks @ q.conj().T
    full = a + 4 * np.eye(n)
    tall = gaussian(n + 50, n) / np.sqrt(n) + np.eye(n + 50, n) * 4
    return [x.astype(dtype) for x in (full, gaussian(n, n), spd, normal, tall, gaussian(n + 50, 8))]


def operations(np, la, n, dtype):
    """Yields NAME, what two runs must agree on, and residuals, which must be small in each."""
    a, b, spd, normal, tall, rhs = matrices(np, n, dtype)

    def herm(x):
        return x.conj().T

    def small(x, scale):
        return np.array(np.linalg.norm(x) / np.linalg.norm(scale))

    yield "matmul", a @ b, small(0 * a, a)
    yield "matmul_t", herm(a) @ b, small(0 * a, a)
    yield "gram", a @ a.T, small(0 * a, a)
    x = la.solve(a, b)
    yield "solve", x, small(a @ x - b, b)
    lower = np.tril(la.cholesky(spd)) if la is np.linalg else la.cholesky(spd, lower=True)
    yield "cholesky", lower, small(lower @ herm(lower) - spd, spd)
    u, s, vh = la.svd(a)
    yield "svd", s, small((u * s) @ vh - a, a)
    w, v = la.eigh(spd)
    yield "eigh", w, small(spd @ v - v * w, spd)
    q, r = la.qr(tall) if la is np.linalg else la.qr(tall, mode="economic")
    yield "qr", abs(np.diag(r)), small(q @ r - tall, tall) + small(herm(q) @ q - np.eye(n), np.eye(n))
    x = (la.lstsq(tall, rhs, rcond=None) if la is np.linalg else la.lstsq(tall, rhs))[0]
    yield "lstsq", x, small(herm(tall) @ (tall @ x - rhs), herm(tall) @ rhs)
    x = la.inv(a)
    yield "inv", x, small(a @ x - np.eye(n), np.eye(n))
    w, v = la.eig(normal)
    order = np.lexsort((w.imag.round(3), w.real.round(3)))
    yield "eig", w[order], small(normal @ v - v * w, normal)


def run(directory, n=250):
    import numpy as np

    modules = {"numpy": np.linalg}
    try:
        import scipy.linalg

        modules["scipy"] = scipy.linalg
    except ImportError:
        print("no scipy")
    for module, la in modules.items():
        for dtype in DTYPES:
            for name, result, residual in operations(np, la, int(n), dtype):
                path = os.path.join(directory, f"{module}-{dtype}-{name}")
                np.save(path + ".npy", result)
                np.save(path + ".residual.npy", residual)
    return True


def compare(one, other):
    import numpy as np

    count, worst = 0, 0.0
    names = sorted(os.path.basename(f) for f in glob.glob(os.path.join(one, "*.npy")))
    good = bool(names) and names == sorted(os.path.basename(f) for f in glob.glob(os.path.join(other, "*.npy")))
    for name in names if good else ():
        a, b = (np.load(os.path.join(d, name)) for d in (one, other))
        n = max(a.shape, default=250)
        tolerance = 10 * n * np.finfo(next(d for d in DTYPES if f"-{d}-" in name)).eps
        if name.endswith(".residual.npy"):
            error = max(abs(a), abs(b))
        elif a.shape != b.shape or a.dtype != b.dtype:
            error = np.inf
        else:
            error = np.linalg.norm(a - b) / np.linalg.norm(a)
        count, worst = count + 1, max(worst, error / tolerance)
        if not error <= tolerance:
            good = False
            print(f"{name}: {error:.1e}, more than {tolerance:.1e}")
    print(f"{count} results compared, at worst {worst:.3f} of the tolerance")
    return good


def load(files):
    reports = []
    for file in files:
        try:
            with open(file) as f:
                reports.append(json.load(f))
        except (OSError, ValueError) as e:
            print(file, e)
    return reports


def calls(*files):
    reports = load(files)
    seen, done = (sum(r["calls"][k] for r in reports) for k in ("seen", "offloaded"))
    print(f"{len(reports)} processes, {seen} calls seen, {done} offloaded")
    return True


def offloaded(names, *files):
    count = {}
    for r in load(files):
        for routine in r["routines"]:
            c = count.setdefault(routine["name"], [0, 0])
            c[0] += routine["calls"]
            c[1] += routine["offloaded"]
    good = True
    for pattern in names.split():
        letters, stem = re.fullmatch(r"(?:\[(\w+)\])?(\w+)", pattern).groups()
        for name in [x + stem for x in letters] if letters else [stem]:
            seen, done = count.get(name, (0, 0))
            if not done:
                good = False
                print(f"{name}: {seen} calls seen, {done} offloaded")
    print("seen (offloaded):", " ".join(f"{k} {v[0]}({v[1]})" for k, v in sorted(count.items())) or "none")
    return good


sys.exit(not {f.__name__: f for f in (run, compare, calls, offloaded)}[sys.argv[1]](*sys.argv[2:]))
