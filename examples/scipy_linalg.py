"""Dense linear algebra with SciPy, each result checked and summed up.

usage: scipy_linalg.py [n]
"""
import sys
import time

import numpy as np
from scipy import linalg


def steps(n):
    rng = np.random.default_rng(5)
    a = rng.standard_normal((n, n))
    tall = rng.standard_normal((2 * n, n // 2))
    b = rng.standard_normal((n, 16))
    spd = a @ a.T + n * np.eye(n)

    x = linalg.solve(a + n * np.eye(n), b)
    yield "solve", np.linalg.norm(x), np.abs(a @ x + n * x - b).max()
    c = linalg.cholesky(spd, lower=True)
    yield "cholesky", np.linalg.norm(c), np.abs(c @ (c.T @ b) - spd @ b).max() / n
    y = linalg.cho_solve((c, True), b)
    yield "cho_solve", np.linalg.norm(y), np.abs(spd @ y - b).max()
    p, l, u = linalg.lu(a)
    yield "lu", np.linalg.norm(l) + np.linalg.norm(u), np.abs(p @ (l @ (u @ b)) - a @ b).max() / n
    w, v = linalg.eigh(spd)
    yield "eigh", np.linalg.norm(w), np.abs(spd @ v - v * w).max() / w[-1]
    right = rng.standard_normal(2 * n)
    z = linalg.lstsq(tall, right, lapack_driver="gelsy")[0]
    yield "lstsq", np.linalg.norm(z), np.abs(tall.T @ (tall @ z - right)).max() / n
    q, r = linalg.qr(tall, mode="economic")
    yield "qr", np.linalg.norm(r), np.abs(q @ r - tall).max()


def main():
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 800
    begin = time.perf_counter()
    sums, worst = [], 0.0
    for name, total, residual in steps(n):
        sums.append(float(total))
        print(f"{name:10} norm={sums[-1]:.6e}")
        worst = max(worst, float(residual))
    seconds = time.perf_counter() - begin
    print(f"scipy_linalg n={n} residual={worst:.1e}")
    print(f"checksum={sum(sums):.9e}")
    print(f"seconds={seconds:.6f}")
    sys.exit(0 if worst < 1e-10 else 1)


main()
