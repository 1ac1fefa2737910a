#!/bin/sh
# limit: 400
# NumPy and SciPy as pip installs them, with OpenBLAS libraries of their own whose routines have other names
# (scipy_dgemm_, and scipy_dgemm_64_ with 64-bit integers): their linear algebra tests. WHEELS="numpy==1.26.4
# scipy==1.13.1" tests other versions. The environment stays in build/wheels; without network the test is skipped.
. "$(dirname "$0")/lib.sh"

: "${WHEELS:=numpy scipy}"
venv=$B/wheels/$(printf %s "$WHEELS" | tr -cs 'A-Za-z0-9.\n' -)
python=$venv/bin/python
unset LD_LIBRARY_PATH
if ! "$python" -c 'import numpy, scipy, pytest, hypothesis' 2>/dev/null; then
	rm -rf "$venv"
	/usr/bin/python3 -m venv "$venv" >"$tmp/venv" 2>&1 || { rm -rf "$venv"; skip "no python3-venv"; }
	# shellcheck disable=SC2086
	if ! timeout -s KILL 240 "$python" -m pip install -q --no-input --retries 1 --timeout 15 --only-binary :all: \
		--disable-pip-version-check $WHEELS pytest hypothesis >"$tmp/pip" 2>&1; then
		tail -n 2 "$tmp/pip"
		rm -rf "$venv"
		skip "the wheels could not be installed (no network?)"
	fi
fi
"$python" -c 'import numpy, scipy; print("numpy", numpy.__version__, "scipy", scipy.__version__)'
site=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
for file in "$site"/*.libs/*openblas*; do echo "  ${file#"$site/"}"; done

slow='not crash_ and not test_orth and not nofegfault and not random_complex_exact and not orcsd and not gejsv'
if [ "$FORM" = full ]; then
	suite numpy --pyargs numpy.linalg numpy.matrixlib
	suite scipy --pyargs scipy.linalg scipy.sparse.linalg
else
	suite numpy -m 'not slow' -k 'not generalized and not openblas_threading' --pyargs numpy.linalg
	modules=
	for name in basic blas lapack cython_blas cython_lapack decomp decomp_cholesky decomp_ldl decomp_lu; do
		modules="$modules scipy.linalg.tests.test_$name"
	done
	suite scipy -m 'not slow' -k "$slow" --pyargs $modules
fi
finish
