#!/bin/sh
# Includes go one way: shim -> offload/offload.h and base; op -> mem -> dev -> base; policy includes only its own
# headers; op and mem may include policy/policy.h; tiny includes only itself and base/cpu.h, op and shim include tiny/tiny.h; only
# tests reach into shim/. Paths start at the repository root.
cd "$(dirname "$0")/.." || exit 1

# allowed FILE: the patterns of project headers that it may include.
allowed()
{
	case $1 in
	offload/offload.h) echo '' ;;
	offload/base/*) echo 'offload/base/*' ;;
	offload/dev/*) echo 'offload/base/* offload/dev/* offload/offload.h' ;;
	offload/mem/*) echo 'offload/base/* offload/dev/* offload/mem/* offload/offload.h policy/policy.h' ;;
	offload/op/*) echo 'offload/base/* offload/dev/* offload/mem/* offload/op/* offload/offload.h policy/policy.h offload/tiny/tiny.h' ;;
	offload/tiny/*) echo 'offload/tiny/* offload/base/cpu.h' ;;
	policy/*) echo 'policy/*' ;;
	shim/*) echo 'shim/* offload/offload.h offload/base/* offload/tiny/tiny.h' ;;
	tools/*) echo 'tools/* offload/*' ;;
	tests/*) echo '*' ;;
	*) echo '' ;;
	esac
}

set -f
status=0 files=0
for file in $(find shim policy offload tools tests examples -name '*.[ch]' -o -name '*.def' -o -name '*.cc' | sort); do
	files=$((files + 1))
	patterns=$(allowed "$file")
	for header in $(sed -n 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*"\([^"]*\)".*/\1/p' "$file"); do
		good=
		for pattern in $patterns; do
			case $header in $pattern) good=1 ;; esac
		done
		[ -f "$header" ] || good=
		if [ -z "$good" ]; then
			echo "check-layers: $file must not include \"$header\""
			status=1
		fi
	done
done
[ $status = 0 ] && echo "check-layers: $files files"
exit $status
