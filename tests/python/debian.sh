#!/bin/sh
# limit: 300
# Debian's NumPy and SciPy: their own linear algebra tests, on netlib BLAS and LAPACK (OWN=openblas: on OpenBLAS).
. "$(dirname "$0")/lib.sh"

python=/usr/bin/python3
"$python" -c 'import numpy, pytest, hypothesis' 2>/dev/null ||
	skip "needs the packages python3-numpy python3-pytest python3-hypothesis"
case ${OWN:-netlib} in
netlib) LD_LIBRARY_PATH=$arch/blas:$arch/lapack ;;
openblas) LD_LIBRARY_PATH=$arch/openblas-pthread ;;
*) fail "no library $OWN"; finish ;;
esac
[ -f "${LD_LIBRARY_PATH##*:}/liblapack.so.3" ] || skip "${OWN:-netlib} is not installed"
export LD_LIBRARY_PATH

if [ "$FORM" = full ]; then
	suite numpy --pyargs numpy.linalg numpy.matrixlib
	suite arrays -k 'matmul or dot or Dot or MatMul' --pyargs numpy.core.tests.test_multiarray
else
	suite numpy -m 'not slow' --pyargs numpy.linalg
fi
"$python" -c 'import scipy' 2>/dev/null || { echo "python3-scipy is not installed: its tests are left out"; finish; }
if [ "$FORM" = full ]; then
	suite scipy --pyargs scipy.linalg scipy.sparse.linalg
else
	suite scipy -m 'not slow' -k 'not crash_2609 and not orth_memory_efficiency' --pyargs scipy.linalg
fi
finish
