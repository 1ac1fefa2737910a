"""Linear algebra with NumPy, each result checked and summed up.

usage: numpy_linalg.py [n]
"""
import sys
import time

import numpy as np


def steps(n):
    rng = np.random.default_rng(3)
    a = rng.standard_normal((n, n))
    b = rng.standard_normal((n, n))
    x = rng.standard_normal((n, 8))
    c = a @ b
    yield "matmul", c, np.abs(c @ x - a @ (b @ x)).max() / n
    g = a @ a.T
    yield "gram", g, np.abs(g @ x - a @ (a.T @ x)).max() / n
    spd = g + n * np.eye(n)
    l = np.linalg.cholesky(spd)
    yield "cholesky", l, np.abs(l @ (l.T @ x) - spd @ x).max() / n
    s = np.linalg.solve(spd, b)
    yield "solve", s, np.abs(spd @ (s @ x) - b @ x).max() / n
    f = a.astype(np.complex64)
    h = f @ f.conj().T
    yield "complex64", h.real, np.abs(h @ x - f @ (f.conj().T @ x)).max() / n * 1e-8


def main():
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    begin = time.perf_counter()
    sums, worst = [], 0.0
    for name, result, residual in steps(n):
        sums.append(float(np.linalg.norm(result.astype(np.float64))))
        print(f"{name:10} norm={sums[-1]:.6e}")
        worst = max(worst, float(residual))
    seconds = time.perf_counter() - begin
    print(f"numpy_linalg n={n} residual={worst:.1e}")
    print(f"checksum={sum(sums):.9e}")
    print(f"seconds={seconds:.6f}")
    sys.exit(0 if worst < 1e-10 else 1)


main()
