#!/bin/sh
# limit: 180
# NumPy's and SciPy's dense linear algebra, four types: the same results without and with everything offloaded, and
# the report names the routines that were. Debian's on netlib and on OpenBLAS, and the wheels if wheels.sh left them.
#
#   tests/python/ops.sh [NAME...]     routines that must have been offloaded, "[sdcz]gemm" for four; "lapack" for all
#                                     that NumPy calls itself. Default: level 3, as far as each library shows it.
#
# OWN="netlib openblas wheels" picks, N=250 is the matrices' size.
. "$(dirname "$0")/lib.sh"

names=
for name in "$@"; do
	[ "$name" != lapack ] || name='[dz]gesv [sdcz]potrf [sdcz]gesdd dsyevd zheevd [dz]geqrf dorgqr zungqr
		[sdcz]geev [sdcz]gelsd [sd]syevr [cz]heevr'
	names="$names $name"
done

# ops LABEL NAMES SETTING...: $python in an environment without and with libcdm.
ops()
{
	label=$1 want=${names:-$2}
	shift 2
	for side in without with; do
		rm -rf "${tmp:?}/$side" "$tmp"/report.*.json && mkdir "$tmp/$side"
		settings=
		[ $side = without ] || settings="LD_PRELOAD=$lib CDM_MIN_WORK=0 CDM_REPORT=$tmp/report.%p.json"
		env "$@" $settings timeout -s KILL 150 "$python" "$here/ops.py" run "$tmp/$side" "${N:-250}" \
			>"$tmp/out" 2>&1 || { fail "$label, $side: exit status $?"; tail -n 12 "$tmp/out"; return; }
	done
	[ ! -s "$tmp/out" ] || cat "$tmp/out"
	printf '%s: ' "$label"
	"$python" "$here/ops.py" compare "$tmp/without" "$tmp/with" || fail "$label: the results differ"
	"$python" "$here/ops.py" offloaded "$want" "$tmp"/report.*.json >"$tmp/out" || fail "$label: not offloaded"
	cut -c1-1000 "$tmp/out"
}

tried=
for own in ${OWN:-netlib openblas wheels}; do
	python=/usr/bin/python3 level3='[sdcz]gemm [sd]syrk'
	case $own in
	netlib) path=$arch/blas:$arch/lapack ;;
	openblas) path=$arch/openblas-pthread ;;
	wheels) path= python=$B/wheels/numpy-scipy/bin/python level3= ;;
	*) fail "no library $own"; continue ;;
	esac
	[ -z "$path" ] || [ -f "${path##*:}/liblapack.so.3" ] || { echo "$own: not here, left out"; continue; }
	"$python" -c 'import numpy' 2>/dev/null || { echo "$own: no $python with numpy, left out"; continue; }
	tried=1
	ops "$own" "$level3" LD_LIBRARY_PATH="$path"
done
[ "$tried" ] || skip "neither python3-numpy nor the wheels are here"
finish
