# What a tester's output says of each path: lines of PATH RUN FAILED COUNTED. A failure's own line comes before its
# path's, as in "..., test( 5)= 0.450E+16" or "..., result  5 is 8.389E+06".
#
#   awk -v bits=1 -f paths.awk OUTPUT     bits: the input of a driver whose tests 5 to 7 compare bits

function path(name, run, failed)
{
	gsub(/All tests for|routines|auxiliary routine|:/, "", name)
	sub(/^ +/, "", name); sub(/ +$/, "", name)
	gsub(/ +/, "_", name)
	if (++seen[name] > 1) name = name "." seen[name]
	print name, run, failed, failed - spared
	spared = 0
}

# The number at "at" of the line.
function number(at,    word) { split(substr($0, at), word, /[^0-9]+/); return word[1] != "" ? word[1] : word[2] }

/All tests for .* passed .*[0-9] +tests run\)/ {
	path(substr($0, 1, index($0, " passed")), number(match($0, /\( *[0-9]+ +tests run/)), 0)
}
/[0-9] +out of +[0-9]+ tests failed/ {
	failed = match($0, / [0-9]+ +out of/)
	path(substr($0, 1, failed), number(match($0, /of +[0-9]+ tests/) + 2), number(failed))
}

/(test *(\( *[0-9]+\))? *=|result +[0-9]+ is|ratio *=) *[-+.0-9EDed]+ *$/ {
	value = $0
	sub(/ *$/, "", value); sub(/.*[ =]/, "", value); sub(/[Dd]/, "E", value)
	value += 0
	unequal = value > 8.3e6 && value < 8.4e6 || value > 4.49e15 && value < 4.51e15 # 1 / epsilon
	if (value < 100 || bits && unequal && /(test\(|result) +[567][) ]/) spared++
}
