#!/usr/bin/env bats
# Every command that README.md and the --help of the programs show runs here as it stands, on stand-ins of the files
# that it names, made from samples/.  One that no longer works, or whose --output does not appear, fails.
load common

# Stand-ins for "your" files, made once; each case works on copies.
setup_file() {
	cd "$BATS_FILE_TMPDIR" || return 1
	local s=$ONX_TOP/samples c
	cp "$s/fashion5.onnx" model.onnx
	cp model.onnx mobilenet.onnx
	for c in bag boot sandal shirt sneaker; do
		mkdir -p "flowers-test/$c"
		find "$s/test/$c" -name '*.png' | sort | head -n 3 | xargs -I{} cp {} "flowers-test/$c/"
	done
	cp -r flowers-test test
	cp -r "$s/train" flowers
	cp -r "$s/train" photos
	cp "$s/new-labels.txt" new-labels.txt
	cp new-labels.txt flowers.txt
	cp "$(find test/bag -name '*.png' | head -n 1)" rose.jpg
	cp "$(find test/boot -name '*.png' | head -n 1)" tulip.jpg
	cp -r "$ONX_TOP/recipes" recipes
	cp recipes/new-classes.yaml recipe.yaml
	{       # an .npy file of version 1.0: a header of 128 bytes, and zeros
		printf '\x93NUMPY\x01\x00\x76\x00%-117s\n' \
			"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 28, 28), }"
		head -c 3136 /dev/zero
	} >x.npy
	awk -v OFS=, 'BEGIN { print "sepal,petal,width,length,species"
		for (i = 0; i < 60; i++) print i % 3, i % 5, i % 7, i % 2, "abc" i % 3 }' >iris.csv
	onnx-head -q --input x:float:Nx4 --layers 'gemm:8 relu gemm:3' -o iris.onnx
	onnx-freeze -q --all model.onnx | onnx-head -q --labels flowers.txt -o headed.onnx
	onnx-train -q --data flowers --epochs 2 --events slow.jsonl headed.onnx -o trained.onnx
	onnx-export -q --int8 model.onnx -o model-int8.onnx
	cp slow.jsonl fast.jsonl
	cp slow.jsonl run.jsonl
	for c in adapted flowers better; do cp trained.onnx $c.onnx; done
	mkdir bin
	ln -s "$(command -v cat)" bin/less
}

setup() {
	cp -r "$BATS_FILE_TMPDIR"/. "$BATS_TEST_TMPDIR" && cd "$BATS_TEST_TMPDIR" || return 1
	PATH=$PWD/bin:$PATH
}

# shown NAME: runs each line of standard input
shown() {
	local line status out n=0
	while IFS= read -r line; do
		n=$((n + 1)) status=0
		out=$(sed -n 's/.* \(-o\|--html\|--events\|--output\) \([^ ]*\).*/\2/p' <<<"$line")
		[ -z "$out" ] || rm -rf "$out.before"
		[ -z "$out" ] || [ ! -e "$out" ] || touch -d '2000-01-01' "$out"
		bash -o pipefail -c "$line" >out.txt 2>err.txt </dev/null || status=$?
		# "they differ" is an answer
		[ "$status" = 0 ] || [[ $status = 1 && $line == *onnx-diff* ]] ||
			{ echo "$1: status $status of: $line: $(tail -n 3 err.txt)"; return 1; }
		[ -z "$out" ] || [ "$(find "$out" -maxdepth 0 -newermt 2001-01-01)" ] ||
			{ echo "$1: no new $out after: $line"; return 1; }
		if grep -q 'warning:' err.txt; then echo "$1: $line: $(cat err.txt)"; return 1; fi
	done
	[ $n -gt 0 ] || { echo "$1: no example"; return 1; }
}

# What the page of a program shows.
examples() {
	"$1" --help | sed -n '/^Examples:$/,/^$/s/^  \([^#].*\)/\1/p'
}

@test "the examples of every program work" {
	local t
	for t in $(tools); do
		[ "$(examples "$t" | wc -l)" -ge 2 ]
		examples "$t" | shown "$t --help"
	done
}

# Lines with four blanks in front are commands.
commands() {
	sed -n 's/^    \([^ ].*\)/\1/p' "$@"
}

@test "README.md's commands work, in its order" {
	commands "$ONX_TOP/README.md" | grep -v '^make' | shown README.md
}

@test "README.md names only targets that are there" {
	local t
	{ commands "$ONX_TOP/README.md" | grep '^make' | tr -s '&' '\n'
	  # shellcheck disable=SC2016
	  grep -o '`make [a-z-]*' "$ONX_TOP/README.md" | tr -d '`'; } |
		while read -r _ t; do
			grep -qE "^$t:" "$ONX_TOP/Makefile" || { echo "no target '$t'"; exit 1; }
		done
	# shellcheck disable=SC2016
	for t in $(grep -o '`onnx-[a-z]*`' "$ONX_TOP/README.md" | tr -d '`'); do
		[ -x "$ONX_BUILD/bin/$t" ] || { echo "no program '$t'"; return 1; }
	done
	for t in $(tools); do grep -q "^| \`$t\` |" "$ONX_TOP/README.md"; done
}

@test "README.md's options are options" {
	local o
	for o in $(commands "$ONX_TOP/README.md" | cat - "$ONX_TOP/README.md" | grep -oE -- '(^|[ `])--[a-z][a-z0-9-]*' | tr -d ' `' |
		sort -u); do
		for t in $(tools); do "$t" --help; done | grep -qE -- "$o\b" || { echo "no option $o"; return 1; }
	done
}

@test "every recipe that ships works" {
	local r
	for r in recipes/*.yaml; do
		case $r in
		recipes/table.yaml)
			cp iris.onnx model.onnx
			sed 's/species/label/' iris.csv >table.csv ;;
		recipes/regression.yaml)
			awk -v OFS=, 'BEGIN { print "a,b,c,y"; for (i = 0; i < 60; i++) print i % 3, i % 5, i % 7, i % 2 }' \
				>table.csv ;;
		*) cp "$BATS_FILE_TMPDIR/model.onnx" model.onnx ;;
		esac
		echo "onnx-adapt $r" | shown "$r"
	done
}
