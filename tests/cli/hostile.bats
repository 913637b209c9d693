#!/usr/bin/env bats
# Bad input: one line, the right exit status, no output file.  And runs that are cut short, starved or
# spread over threads: the same bytes.
load common
load pb

# bad STATUS PATTERN COMMAND...: as fault, and no file 'out' appears, whole or in part
bad() {
	local left
	fault "$@" || return 1
	left=$(find . -maxdepth 1 -name '*out*' ! -name out.txt)
	[ -z "$left" ] || { echo "left behind: $left"; return 1; }
}

# every tool that reads a model and may write one, on the damaged file $3
all_bad() {
	local status=$1 pattern=$2 f=$3
	bad "$status" "$pattern" onnx-info "$f"
	bad "$status" "$pattern" onnx-freeze --all -o out "$f"
	bad "$status" "$pattern" onnx-head --classes 3 -o out "$f"
	bad "$status" "$pattern" onnx-train --data images,labels -o out "$f"
	bad "$status" "$pattern" onnx-eval --data images,labels -o out "$f"
	bad "$status" "$pattern" onnx-export -o out "$f"
	bad "$status" "$pattern" onnx-run "$f"
}

# net FILE: a small picture classifier of 3 classes, all of it to be trained
net() {
	onnx-head -q --input x:float:Nx1x8x8 --layers 'conv:4:3 bn relu maxpool:2 conv:8:3 relu gap gemm:3' |
		onnx-freeze -q --none -o "$1"
}

# pictures N [LABELS]: IDX files images,labels; N pictures of 8 x 8 in three shades
pictures() {
	local n=$1 i k
	{
		printf '\0\0\010\003'
		printf '\\x%02x\\x%02x\\x%02x\\x%02x' 0 0 $((n / 256)) $((n % 256)) | xargs -0 printf
		printf '\0\0\0\010\0\0\0\010'
		for ((i = 0; i < n; i++)); do
			for ((k = 0; k < 64; k++)); do
				printf '\\x%02x' $((((i % 3) * 80 + k * ((i % 3) + 1) + i * 7) % 256))
			done
		done | xargs -0 printf
	} >images
	{
		printf '\0\0\010\001'
		printf '\\x%02x\\x%02x\\x%02x\\x%02x' 0 0 $((n / 256)) $((n % 256)) | xargs -0 printf
		for ((i = 0; i < n; i++)); do printf '\\x%02x' ${2:-$((i % 3))}; done | xargs -0 printf
	} >labels
}

# photos DIR: two classes of three PNG files
photos() {
	local red=iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAEUlEQVR42mM4ISeHFTEMLQkAkL9BAc9woTwAAAAASUVORK5CYII=
	local green=iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAEUlEQVR42mOQOyGHFTEMLQkAZj9BAZFjH9cAAAAASUVORK5CYII=
	local i
	mkdir -p "$1/red" "$1/green"
	for i in 1 2 3; do
		base64 -d <<<$red >"$1/red/$i.png"
		base64 -d <<<$green >"$1/green/$i.png"
	done
}

# colour FILE: a classifier of such pictures
colour() {
	onnx-head -q --input x:float:Nx3x8x8 --layers 'conv:4:3 relu gap gemm:2' | onnx-freeze -q --none -o "$1"
}

same() {
	cmp "$1" "$2"
}

# ---- files that are no models, or wicked ones ---------------------------------------------------------

@test "not an ONNX file" {
	echo "a text, no model" >text
	all_bad 3 . text
	: >empty
	all_bad 3 . empty
	all_bad 6 'No such file' nothing
}

@test "a truncated file, wherever it ends" {
	net whole
	local size n
	size=$(stat -c %s whole)
	for n in 1 2 7 $((size / 4)) $((size / 2)) $((size - 40)) $((size - 1)); do
		head -c "$n" whole >short
		bad 3 . onnx-freeze --all -o out short
		bad 3 . onnx-info short
		bad 3 . onnx-info - <short
	done
}

@test "flipped bits: never a crash, no file unless all is well" {
	net whole
	local size i at bit byte status
	size=$(stat -c %s whole)
	for ((i = 0; i < 120; i++)); do
		at=$(((i * 2654435761 + 12345) % size)) bit=$((1 << (i % 8)))
		byte=$(od -An -tu1 -j$at -N1 whole)
		cp whole flipped
		printf "$(printf '\\x%02x' $((byte ^ bit)))" | dd of=flipped bs=1 seek=$at conv=notrunc status=none
		for tool in "onnx-info --check" "onnx-freeze -q --all -o out" "onnx-head -q --classes 2 -o out" \
			"onnx-run --bench 1 --batch 2"; do
			status=0
			rm -f out
			$tool flipped >said 2>err || status=$?
			[ $status -lt 128 ] || { echo "byte $at bit $bit: $tool: $status"; return 1; }
			[ $status = 0 ] || [ ! -e out ] || { echo "byte $at: $tool left a file"; return 1; }
			[ $status = 0 ] || [ "$(wc -l <err)" -le 1 ] || { echo "byte $at: $tool: $(cat err)"; return 1; }
		done
	done
}

@test "a graph that runs in a circle" {
	pb_file m "$(pb_graph "$(pb_msg 1 "$(pb_node Add a 'x b' a)")$(pb_msg 1 "$(pb_node Relu b a b)")$(
		)$(pb_msg 1 "$(pb_node Relu c b y)")")"
	all_bad 3 "cycle: '[ab]' -> '[ab]' -> '[ab]'" m
}

@test "dimensions whose product overflows" {
	pb_file m "$(pb_graph "$(pb_msg 1 "$(pb_node Add a 'x w' y)")$(
		)$(pb_msg 5 "$(pb_tensor w '' 4611686018427387904 4)")")"
	all_bad 3 "shape \[4611686018427387904,4\] has more than" m
	pb_file m "$(pb_msg 1 "$(pb_node Add a 'x x' y)")$(pb_str 2 g)$(
		)$(pb_msg 11 "$(pb_value x 1 4294967296 4294967296)")$(pb_msg 12 "$(pb_value y)")"
	bad 5 "has more than" onnx-run --bench 1 m
}

@test "a tensor with fewer bytes than its shape says" {
	pb_file m "$(pb_graph "$(pb_msg 1 "$(pb_node Add a 'x w' y)")$(pb_msg 5 "$(pb_tensor w "$(pb_str 9 abcd)" 4)")")"
	all_bad 3 "'w'" m
}

@test "a constant of a type that nobody knows: kept in the file, named where it is computed with" {
	pb_file t.onnx "$(pb_graph "$(pb_msg 1 "$(pb_node Add sum 'x w' y)")$(
		pb_msg 5 "$(pb_int 1 1)$(pb_int 2 67)$(pb_str 8 w)$(pb_msg 9 00)")")"
	bytes "$(pb_tensor x "$(pb_msg 9 0000803f000000400000404000008040)" 1 4)" >x.pb
	fault 4 "'w' has elements of a type that is not known" onnx-run t.onnx x=x.pb
	onnx-freeze -q --all -o u.onnx t.onnx
	run -0 onnx-info u.onnx
	onnx-info --check u.onnx >said.txt || [ "$?" = 1 ]
}

@test "what nobody needs may be unknown, beside sequences" {
	pb_file t.onnx "$(pb_graph "$(pb_msg 1 "$(pb_node Nobody aside x z)")$(
		pb_msg 1 "$(pb_node SequenceConstruct both 'x x' s)")$(pb_msg 1 "$(pb_node Relu last x y)")")"
	run -0 onnx-info t.onnx
	onnx-info --check t.onnx >said.txt || [ "$?" = 1 ]
}

@test "texts that are made up to be measured are empty" {
	pb_file t.onnx "$(pb_graph "$(pb_msg 1 "$(pb_node Cast number s y "$(
		pb_msg 5 "$(pb_str 1 to)$(pb_int 3 1)$(pb_int 20 2)")")")$(
		pb_msg 11 "$(pb_str 1 s)$(pb_msg 2 "$(pb_msg 1 "$(pb_int 1 8)$(pb_msg 2 "$(pb_msg 1 "$(pb_int 1 3)")")")")")")"
	run onnx-run --bench 1 t.onnx
	[ "$status" -lt 9 ]
}

@test "ninety Ifs inside each other" {
	local nest i
	nest=$(pb_msg 1 "$(pb_node Relu r x y)")$(pb_str 2 g)
	for ((i = 0; i < 90; i++)); do
		nest=$(pb_msg 1 "$(pb_node If "if$i" c y "$(pb_msg 5 "$(pb_str 1 then_branch)$(pb_int 20 5)$(
			)$(pb_msg 6 "$nest")")")")$(pb_str 2 g)
	done
	pb_file m "$nest"
	all_bad 3 "more than 100 messages inside each other" m
}

@test "external data outside the model's folder, or past the end" {
	mkdir in
	head -c 64 /dev/zero >data.bin
	head -c 64 /dev/zero >in/plain.bin
	ln -s ../data.bin in/sym.bin
	ln data.bin in/hard.bin
	outside() {     # LOCATION OFFSET PATTERN
		pb_file in/m "$(pb_graph "$(pb_msg 1 "$(pb_node Add a 'x w' y)")$(pb_msg 5 "$(pb_tensor w "$(
			)$(pb_int 14 1)$(pb_msg 13 "$(pb_str 1 location)$(pb_str 2 "$1")")$(
			)$(pb_msg 13 "$(pb_str 1 offset)$(pb_str 2 "$2")")$(
			)$(pb_msg 13 "$(pb_str 1 length)$(pb_str 2 16)")" 1 4)")")"
		[ "$3" = fine ] || all_bad 3 "$3" in/m
	}
	outside ../data.bin 0 "only files inside the model's folder"
	outside "$PWD/data.bin" 0 "only files inside the model's folder"
	outside ./../in/../data.bin 0 "only files inside the model's folder"
	outside sym.bin 0 "symbolic links are not followed"
	outside hard.bin 0 "hard links are not allowed"
	outside plain.bin 60 "bytes 60 to 76 of 'plain.bin', which has 64"
	outside plain.bin 18446744073709551608 "offset '18446744073709551608' is not a number"
	outside plain.bin 9223372036854775800 "'w'"
	outside plain.bin -4 "offset '-4' is not a number"
	outside plain.bin 48 fine
	onnx-info in/m >/dev/null
}

@test "an unknown operator is named, with version and node" {
	pb_file m "$(pb_graph "$(pb_msg 1 "$(pb_node Frobnicate f x y)")")"
	local what="operator 'Frobnicate' .*opset 17.*'f'"
	bad 4 "$what" onnx-head --classes 3 -o out m
	bad 4 "$what" onnx-train --data images,labels -o out m
	bad 4 "$what" onnx-run m
	onnx-freeze -q --all m -o marked      # what need not run may be looked at and marked
}

# ---- options and recipes ------------------------------------------------------------------------------

@test "unknown options get the nearest name" {
	net m
	bad 2 "no option '--epoch'; did you mean '--epochs'\?; try 'onnx-train --help'$" \
		onnx-train --epoch 3 --data images,labels -o out m
	bad 2 "did you mean '--classes'" onnx-head --clases 3 -o out m
	bad 2 "'lr' must be .*'fast'" onnx-train --lr fast --data images,labels -o out m
	bad 2 "'optim' must be .*'adamv'" onnx-train --optim adamv --data images,labels -o out m
}

@test "recipes: unknown, repeated and missing keys, with their place" {
	net m
	recipe() { printf '%s\n' 'model:' '  file: m' '  output: out' "$@" >r.yaml; }
	recipe 'train:' '  epoch: 3'
	bad 2 "r\.yaml:5:3: .*'epoch'.*'epochs'" onnx-adapt r.yaml
	recipe 'train:' '  epochs: 3' '  lr: 0.1' '  epochs: 4'
	bad 2 "r\.yaml:7:3: .*'epochs'.* 5" onnx-adapt r.yaml
	recipe 'trian:' '  epochs: 3'
	bad 2 "r\.yaml:4:1: .*'trian'.*'train'" onnx-adapt r.yaml
	recipe 'train:' '  epochs: many'
	bad 2 "r\.yaml:5:11: .*'epochs'.*'many'" onnx-adapt r.yaml
	recipe 'train:' '  epochs: [1, 2'
	bad 2 "r\.yaml:[0-9]+:[0-9]+: " onnx-adapt r.yaml
	recipe 'data:' '  val: 0.2' 'train:' '  epochs: 3'
	bad 2 "r.yaml:4:1: 'data' needs" onnx-adapt r.yaml
	bad 6 "No such file" onnx-adapt nothing.yaml
}

# ---- data ---------------------------------------------------------------------------------------------

@test "data that cannot be learnt from" {
	colour m
	mkdir none
	bad 2 "'none'" onnx-train -q --data none -o out m
	bad 6 "nowhere" onnx-train -q --data nowhere -o out m
	photos one
	rm -r one/green
	bad 2 "one class" onnx-train -q --data one -o out m
	photos three
	cp -r three/red three/blue
	bad 5 "3 classes, but the model has 2 outputs" onnx-train -q --data three -o out m
	mkdir -p hollow/red hollow/green
	rmdir hollow/green
	status=0
	onnx-train -q --data hollow -o out m 2>err || status=$?
	[ $status = 2 ] && [ ! -e out ]
	tail -n 1 err | grep -q "no pictures in 'hollow'"
}

@test "a broken picture among good ones" {
	colour m
	photos p
	head -c 60 p/red/2.png >p/red/4.png
	bad 3 "p/red/4\.png.*; --skip-bad leaves such pictures out$" onnx-train -q --epochs 1 --preprocess unit --data p -o out m
	run -0 --separate-stderr onnx-train --skip-bad --epochs 1 --preprocess unit --data p -o good m
	grep -q '1 ' <<<"$stderr"
	[ -s good ]
}

@test "a label outside the classes" {
	net m
	pictures 12
	onnx-train -q --epochs 1 --data images,labels -o trained m
	pictures 12 7
	bad 2 "label '7' of sample 0 .*3 classes" onnx-train -q --epochs 1 --data images,labels -o out trained
	bad 2 "label '7' of sample 0 .*3 classes" onnx-eval --data images,labels -o out trained
}

@test "labels and pictures of different number, a damaged array" {
	net m
	pictures 12
	cp images more
	pictures 9
	bad 5 "y is \[9\], wanted one class of 12 samples" onnx-train -q --epochs 1 --data more,labels -o out m
	head -c 100 more >cut
	bad 3 . onnx-train -q --epochs 1 --data cut,labels -o out m
}

# ---- the machine --------------------------------------------------------------------------------------

@test "a full disk" {
	net m
	status=0
	onnx-freeze -q --all m >/dev/full 2>err || status=$?
	[ $status = 6 ] && [ "$(wc -l <err)" = 1 ]
	grep -q 'No space' err
	status=0
	onnx-info m >/dev/full 2>err || status=$?
	[ $status = 6 ] && [ "$(wc -l <err)" = 1 ]
	bad 6 . onnx-freeze -q --all -o /dev/full m
	[ -c /dev/full ]
}

@test "a full disk under the output file" {
	onnx-head -q --input x:float:Nx40 --layers 'gemm:2000 relu gemm:3' -o m
	mkdir small
	mount -t tmpfs -o size=8k tmpfs small 2>/dev/null || skip "no right to mount"
	head -c 4096 /dev/zero >small/ballast
	status=0
	onnx-freeze -q --all -o small/out m 2>err || status=$?
	left=$(find small -type f ! -name ballast)
	umount small
	[ $status = 6 ] || { echo "status $status: $(cat err)"; return 1; }
	[ "$(wc -l <err)" = 1 ]
	[ -z "$left" ]
}

@test "a reader that goes away" {
	net m
	status=0
	{ onnx-info m 2>err || echo $? >status; } | true
	[ ! -e status ] || [ "$(cat status)" = 6 ] || [ "$(cat status)" = 141 ]
	[ "$(wc -l <err)" -le 1 ]
}

@test "a loss that is not a number: status 8, no file" {
	onnx-head -q --input x:float:Nx1x8x8 --layers 'gemm:16 gemm:16 gemm:16 gemm:16 gemm:3' | onnx-freeze -q --none -o m
	pictures 60
	bad 8 "the loss became (NaN|infinite) at step .*--lr" \
		onnx-train -q --optim sgd --lr 100 --preprocess raw --schedule constant --epochs 5 --data images,labels -o out m
}

@test "a memory budget: kept by smaller batches, or refused" {
	net m
	pictures 96
	run -0 --separate-stderr onnx-train --epochs 1 --batch 32 --threads 2 --mem 130000 --data images,labels -o fits m
	[[ "$stderr" == *"memory budget: batches are worked off "* ]] || { echo "$stderr"; return 1; }
	bad 7 "over the budget|budget" onnx-train -q --epochs 1 --mem 2000 --data images,labels -o out m
}

# ---- the same bytes -----------------------------------------------------------------------------------

@test "one thread and two: the same bytes" {
	net m
	pictures 96
	onnx-train -q --epochs 3 --val 0.25 --threads 1 --data images,labels -o one m
	onnx-train -q --epochs 3 --val 0.25 --threads 2 --data images,labels -o two m
	same one two
}

@test "pipe and recipe: the same bytes" {
	net m
	pictures 96
	onnx-freeze -q --all m | onnx-head -q --classes 3 --seed 5 |
		onnx-train -q --epochs 2 --val 0.25 --lr 0.01 --data images,labels -o piped
	printf '%s\n' 'model:' '  file: m' '  output: cooked' 'freeze:' '  all: true' 'head:' '  classes: 3' \
		'  seed: 5' 'data:' '  data: images,labels' '  val: 0.25' 'train:' '  epochs: 2' '  lr: 0.01' >r.yaml
	onnx-adapt -q r.yaml
	same piped cooked
}

# A run long enough to be cut: it has begun once its events show a second epoch.
long_run() {
	onnx-train -q --epochs "$1" --val 0.25 --data images,labels --events log "${@:2}" m &
	pid=$!
	for _ in $(seq 6000); do
		[ "$(cat log 2>/dev/null | wc -l)" -lt 40 ] || break
		kill -0 $pid 2>/dev/null || break
		sleep 0.02
	done
}

@test "killed and resumed: the same bytes as straight through" {
	net m
	pictures 480
	onnx-train -q --epochs 60 --val 0.25 --data images,labels -o straight m
	long_run 60 --checkpoint ck -o cut
	kill -9 $pid || true
	wait $pid || true
	[ ! -e cut ] || skip "it was done before it could be killed"
	[ -s ck/state.ckpt ]
	onnx-train -q --epochs 60 --val 0.25 --data images,labels --resume ck -o cut m
	same straight cut
	printf x >ck/state.ckpt
	bad 3 "not a checkpoint" onnx-train -q --epochs 60 --val 0.25 --data images,labels --resume ck -o out m
}

@test "^C writes the best weights so far, status 0" {
	net m
	pictures 480
	# a job of a shell script ignores SIGINT and hands that on; SIGTERM asks for the same
	long_run 100000 -o best
	kill -TERM $pid
	status=0
	wait $pid || status=$?
	[ $status = 0 ]
	onnx-info --check best >/dev/null
	grep -q '"stopped": *true' log
	onnx-eval -q --data images,labels best >/dev/null
}
