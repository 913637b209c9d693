#!/usr/bin/env bats
# What holds for every program: help, version, options, standard streams.
load common

@test "--help explains, on standard output" {
	for t in $(tools); do
		run -0 --separate-stderr "$t" --help
		[ -z "$stderr" ]
		[[ "${lines[0]}" == "$t -- "* ]]
		[[ "$output" == *"usage: $t "* ]]
		[[ "$output" == *"Exit status:"* ]]
		[[ "$output" == *"--version"* ]]
		[ "$(grep -c '^  # ' <<<"$output")" -ge 2 ]
		[ "$(awk 'length > 100 && !/^  [a-z#]/' <<<"$output" | wc -l)" = 0 ]
		run -0 "$t" -h
		[ "$output" = "$("$t" --help)" ]
	done
}

@test "--version names program and version" {
	for t in $(tools); do
		run -0 "$t" --version
		[[ "$output" =~ ^$t\ \(onnx-adapt\)\ [0-9]+\.[0-9]+\.[0-9]+$ ]]
	done
}

@test "--help=man is a manual page, --help=complete loads in bash" {
	for t in $(tools); do
		"$t" --help=man >page.1
		grep -q '^\.SH OPTIONS' page.1
		! command -v man >/dev/null || [ -z "$(man --warnings -l -Tutf8 page.1 2>&1 >/dev/null)" ]
		"$t" --help=complete >complete
		bash -c 'source ./complete; complete -p '"$t"
	done
}

@test "completion offers the options" {
	onnx-report --help=complete >complete
	run -0 bash -c 'source ./complete; COMP_WORDS=(onnx-report --qu); COMP_CWORD=1; _onnx_report; echo "${COMPREPLY[@]}"'
	[ "$output" = --quiet ]
}

@test "--help of another form is refused" {
	fault 2 "text, man, complete" onnx-report --help=html
}

@test "an unknown option: one line, the nearest name, status 2" {
	for t in $(tools); do
		fault 2 "^$t: no option '--outptu'; did you mean '--output'\?; try '$t --help'$" "$t" --outptu x
		fault 2 "^$t: no option '-Z'; try '$t --help'$" "$t" -Z
	done
}

@test "an option without its value" {
	for t in $(tools); do
		fault 2 "option '--output' needs a value" "$t" --output
		fault 2 "option '-o' needs a value" "$t" -o
	done
}

@test "a flag can be negated, an option with a value cannot" {
	fault 2 "cannot be negated" onnx-report --no-output x.html
	fault 2 "must be yes or no" onnx-report --quiet=perhaps
	onnx-report --no-quiet --help >/dev/null
}

@test "options in any order, bundled, and ended by --" {
	printf '{"event":"epoch","epoch":1,"loss":1}\n' >-x.jsonl
	onnx-report -qo one.html -- -x.jsonl
	onnx-report --output=two.html -q ./-x.jsonl
	cp -- -x.jsonl x.jsonl
	onnx-report x.jsonl -otwo2.html
	grep -q '<svg' one.html
	[ -s two.html ] && [ -s two2.html ]
}

@test "too many arguments" {
	fault 2 "too many arguments: .*'three'" onnx-diff one two three
}

@test "the last value of an option counts" {
	printf '{"event":"epoch","epoch":1,"loss":1}\n' >x.jsonl
	onnx-report x.jsonl -o one.html -o two.html
	[ ! -e one.html ] && [ -s two.html ]
}

@test "a full disk is a fault with status 6" {
	printf '{"event":"epoch","epoch":1,"loss":1}\n' >x.jsonl
	fault 6 "/dev/full.*No space left" onnx-report x.jsonl -o /dev/full
	run -6 bash -c 'onnx-report x.jsonl >/dev/full'
	[[ "$output" == *"No space left"* ]]
	run -6 bash -c 'onnx-report --help >/dev/full'
}

@test "an output folder that is not there" {
	printf '{"event":"epoch","epoch":1,"loss":1}\n' >x.jsonl
	fault 6 "No such file or directory" onnx-report x.jsonl -o nowhere/x.html
}

@test "a closed pipe ends a program without a word" {
	run bash -c 'set -o pipefail; onnx-info --ops 2>err | head -1 >/dev/null; cat err'
	[ -z "$output" ]
}
