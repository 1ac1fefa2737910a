#!/bin/sh
# limit: 300
# Doors x names x libraries: every call is seen exactly once, by whatever door the program reaches its BLAS, and its
# result is what the library itself gives; offloaded (CDM_MIN_WORK=0) and staying on the host (default).
. tests/prog/lib.sh 2>/dev/null || . "$(dirname "$0")/../prog/lib.sh"
src=tests/doors
cc=${CC:-cc}
flags="-O2 -w -fno-builtin"
shared="$cc $flags -shared -fPIC"
cells=0
# A plugin is patched when all other threads sleep. Without workers of the program's own OpenBLAS, whose spinning takes as long
# as the machine is busy, there are none but the device's.
export OPENBLAS_NUM_THREADS=1

# run LABEL COMMAND...: without libcdm, then with it, in both settings.
run()
{
	label=$1
	shift
	env "$@" >"$tmp/want" 2>&1 || { fail "$label: without libcdm: $(tail -n 1 "$tmp/want")"; return; }
	made=$(awk '/^CALLS/ { n += $2 } END { print n }' "$tmp/want")
	for settings in CDM_MIN_WORK=0 "CDM_MIN_WORK=0 CDM_HOOK=patch CDM_POLICY=copy" CDM_MIN_WORK=auto; do
		# shellcheck disable=SC2086
		# Of the device's libraries, BLIS has no LAPACK; and a LAPACK routine that stays on the host makes its BLAS calls one by one, and they are counted.
		[ "$settings" != CDM_MIN_WORK=auto ] || case $label in *lapack*) continue ;; esac
		case $label in *lapack*) settings="$settings CDM_BLAS=$openblas/libopenblas.so.0" ;; esac
		env $settings CDM_REPORT="$tmp/r.json" LD_PRELOAD="$lib" "$@" >"$tmp/got" 2>&1 || fail "$label, $settings: exit status $?"
		cmp -s "$tmp/want" "$tmp/got" || { fail "$label, $settings: results differ"; diff "$tmp/want" "$tmp/got" | head -n 4; }
		report "$tmp/r.json" "r['calls']['seen'] == $made" >/dev/null ||
			fail "$label, $settings: $(sed -n 's/.*"seen":\([0-9]*\).*/\1/p' "$tmp/r.json") calls seen of $made"
		cells=$((cells + 1))
	done
}

# doors LABEL LD_LIBRARY_PATH STATIC-ARCHIVES LIBRARY LAPACK-LIBRARY: all doors to one library.
doors()
{
	name=$1 path=$2 archives=$3 library=$4 lapack=$5
	run "$name, linked" LD_LIBRARY_PATH="$path" "$tmp/linked"
	[ -z "$lapack" ] || run "$name, linked, lapack" LD_LIBRARY_PATH="$path" "$tmp/linked" lapack
	run "$name, dlsym, local" LD_LIBRARY_PATH="$path" "$tmp/lookup" "$library" $local
	[ -z "$lapack" ] || run "$name, dlsym, lapack" LD_LIBRARY_PATH="$path" "$tmp/lookup" "$library" $local $lapack
	run "$name, dlsym, global" LD_LIBRARY_PATH="$path" "$tmp/lookup" "$library" $global
	run "$name, dlsym, deep binding" LD_LIBRARY_PATH="$path" "$tmp/lookup" "$library" $deep
	run "$name, plugin, local" LD_LIBRARY_PATH="$path" "$tmp/host" "$tmp/plugin.so" $local
	run "$name, plugin, deep binding" LD_LIBRARY_PATH="$path" "$tmp/host" "$tmp/plugin.so" $deep
	[ "$archives" ] || { echo "$name: no archive, static doors left out"; return; }
	$cc $flags -o "$tmp/static" $src/calls.c -DNO_LAPACK $archives || fail "$name: linking"
	run "$name, linked statically" "$tmp/static"
	if ! $shared -DPLUGIN -DNO_LAPACK -Wl,-Bsymbolic -o "$tmp/symbolic.so" $src/calls.c $archives 2>/dev/null; then
		echo "$name: the archive is not position independent, no plugin can have it inside"
		return
	fi
	run "$name, plugin with its own, -Bsymbolic" "$tmp/host" "$tmp/symbolic.so" $local
	$shared -DPLUGIN -DNO_LAPACK -Wl,--exclude-libs,ALL -o "$tmp/hidden.so" $src/calls.c $archives || fail "$name: linking"
	run "$name, plugin with its own, hidden" "$tmp/host" "$tmp/hidden.so" $local
}

local=0 global=256 deep=8 # RTLD_GLOBAL, RTLD_DEEPBIND
$cc $flags -o "$tmp/linked" $src/calls.c -L"$arch/lapack" -L"$arch/blas" -llapack -lblas -lm &&
	$cc $flags -DLOOKUP -o "$tmp/lookup" $src/calls.c -lm -ldl && $cc $flags -o "$tmp/host" $src/host.c -ldl &&
	$shared -DPLUGIN -DNO_LAPACK -o "$tmp/plugin.so" $src/calls.c -L"$arch/blas" -lblas -lm || fail "building"

archive() { [ ! -f "$1" ] || echo "$@"; }
doors netlib "$netlib" "$(archive "$arch/blas/libblas.a" -lgfortran -lm)" "$arch/blas/libblas.so.3" "$arch/lapack/liblapack.so.3"
doors OpenBLAS "$openblas" "$(archive "$openblas/libopenblas.a" -lgfortran -lpthread -lm)" "$openblas/libopenblas.so.0" \
	"$openblas/libopenblas.so.0"
doors BLIS "$blis" "$(archive "$blis/libblis.a" -lpthread -lm)" "$blis/libblis.so.4" ""
for own in "$arch/blas64" "$arch/openblas64-pthread"; do
	[ -f "$own/libblas64.so.3" ] || { echo "no $own, left out"; continue; }
	$cc $flags -o "$tmp/wide" $src/wide.c "$own/libblas64.so.3" || fail "$own: linking"
	run "${own##*/}, 64-bit integers under plain names" LD_LIBRARY_PATH="$own" "$tmp/wide"
done
echo "$cells cells"
finish
