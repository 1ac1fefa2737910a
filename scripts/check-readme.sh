#!/bin/sh
# The README's table of variables is what `cdm env --markdown` prints. With --update, it is put there.
cd "$(dirname "$0")/.." || exit 1
begin='<!-- cdm env --markdown -->'
end='<!-- end -->'
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT

env -i build/cdm env --markdown >"$tmp/table" || exit 1
awk -v begin="$begin" -v end="$end" -v table="$tmp/table" '
	$0 == begin { print; while ((getline line < table) > 0) print line; inside = 1; next }
	$0 == end { inside = 0 }
	!inside' README.md >"$tmp/README.md"
grep -qxF -- "$begin" README.md || { echo "check-readme: no line $begin"; exit 1; }
if [ "$1" = --update ]; then
	cp "$tmp/README.md" README.md
elif ! diff -u README.md "$tmp/README.md"; then
	echo 'check-readme: the table of variables is out of date: scripts/check-readme.sh --update'
	exit 1
fi
