#!/usr/bin/env bats
# Models of ai.onnx.ml: weights that stand in attributes train and go back there; maps.
load common
load pb

ml() { pb_msg 1 "$(pb_node "$1" "$2" "$3" "$4" "$(pb_str 7 ai.onnx.ml)${5:-}")"; }
floats() { pb_msg 5 "$(pb_str 1 "$1")$(pb_msg 7 "$2")$(pb_int 20 6)"; }
strings() {
	local hex s
	hex=$(pb_str 1 "$1")
	for s in $2; do hex+=$(pb_str 9 "$s"); done
	pb_msg 5 "$hex$(pb_int 20 8)"
}
imports() { pb_msg 8 "$(pb_str 1 ai.onnx.ml)$(pb_int 2 "${1:-3}")"; }
one=0000803f zero=00000000

# linear FILE: Scaler 'in', LinearRegressor without a name; x [1,4] -> y [1,1]
linear() {
	pb_file "$1" "$(ml Scaler in x h "$(floats offset $zero$zero$zero$zero)$(floats scale $one$one$one$one)")$(
		ml LinearRegressor '' h y "$(floats coefficients $zero$zero$zero$zero)$(floats intercepts $zero)")$(
		pb_str 2 g)$(pb_msg 11 "$(pb_value x 1 4)")$(pb_msg 12 "$(pb_value y 1 1)")" "$(imports)"
}

@test "weights in attributes are named, frozen, trained, and written back" {
	linear m
	run -0 onnx-info --weights m
	[[ "$output" == *"in.scale  float [4]  (attribute)"* ]]
	[[ "$output" == *"y.coefficients  float [4]  (attribute)"* ]]
	/usr/bin/awk 'BEGIN { print "a,b,c,d,t"; for (i = 0; i < 80; i++) { a = i % 3; b = i % 5 - 2; c = i % 7 / 7; d = i % 2;
		print a "," b "," c "," d "," 2 * a - b + c / 2 + 3 } }' >t.csv
	onnx-freeze --none --match '*.scale' m |
		onnx-train -q --data t.csv --target t --task regress --val 0.25 --epochs 150 --batch 8 --lr 0.05 \
			--weight-decay 0 -o n
	onnx-eval --data t.csv --target t --task regress --json n >score
	cat score
	/usr/bin/awk -F'[:,]' '/"r2"/ { exit !($2 > 0.999) }' score
	onnx-export -q -o out n
	onnx-diff --no-meta m out >d || true
	grep -q "attribute 'coefficients'" d
	grep -q "attribute 'offset'" d
	refute grep -q "attribute 'scale'" d
	refute grep -q '^weight' d
	[ "$(onnx-info --json out | grep -c '"type": "LinearRegressor"')" = 1 ]
}

# skl FILE POST LABELS ROWS: as scikit-learn's pipelines are exported; x [1,2] -> label, maps.  ROWS of W are 0.
skl() {
	local n names zip w='' b='' i
	n=$(wc -w <<<"$3")
	for ((i = 0; i < $4; i++)); do w+=$zero$zero b+=$zero; done
	names=$(strings classlabels_strings "$3")
	zip=$(pb_str 1 maps)$(pb_msg 2 "$(pb_msg 4 "$(pb_msg 1 "$(pb_msg 5 "$(pb_int 1 8)$(pb_msg 2 "$(pb_msg 1 "$(pb_int 1 1)")")")")")")
	pb_file "$1" "$(ml Scaler s x h "$(floats offset $zero$zero)$(floats scale $one$one)")$(
		ml LinearClassifier c h 'l z' "$(floats coefficients "$w")$(floats intercepts "$b")$names$(
			pb_msg 5 "$(pb_str 1 post_transform)$(pb_str 4 "$2")$(pb_int 20 3)")")$(
		ml Normalizer n z p "$(pb_msg 5 "$(pb_str 1 norm)$(pb_str 4 L1)$(pb_int 20 3)")")$(
		pb_msg 1 "$(pb_node Identity i l label)")$(ml ZipMap m p maps "$names")$(pb_str 2 g)$(
		pb_msg 11 "$(pb_value x 1 2)")$(pb_msg 12 "$(pb_str 1 label)$(pb_msg 2 "$(pb_msg 1 "$(pb_int 1 8)")")")$(
		pb_msg 12 "$zip")" "$(imports)"
}

# points N: x, y and the name of the third of the circle they are in
points() {
	/usr/bin/awk -v n="$1" 'BEGIN { print "x,y,t"; for (i = 0; i < n; i++) { a = i * 6.2831 / n; k = int(3 * i / n)
		print 2 * cos(a) "," 2 * sin(a) "," substr("nut oak fir", 4 * k + 1, 3) } }'
}

@test "a classifier of scikit-learn: the scores train, labels and maps come out" {
	points 60 >t.csv
	for post in SOFTMAX LOGISTIC NONE; do
		skl m $post 'oak fir nut' 3                     # in an order of its own
		run -0 onnx-info --check m
		[[ "$output" == "ready: 13 weights in 4 tensors can train" ]]
		run -0 onnx-info m
		[[ "$output" == *"maps  sequence, map or optional"* ]]
		onnx-freeze -q --none --match 's.*' m |
			onnx-train -q --data t.csv --target t --epochs 80 --batch 8 --lr 0.1 -o n
		onnx-info n | grep -q 'onnx_adapt.labels = \["oak", "fir", "nut"\]'
		onnx-eval --data t.csv --target t --json n >score
		/usr/bin/awk -F'[:,]' '/"accuracy"/ { exit !($2 > 0.95) }' score
		onnx-diff --no-meta m n >d || true
		grep -q "node 'c': attribute 'coefficients'" d
		refute grep -qE "offset|node .[^c]" d
		bytes "$(pb_tensor x "$(pb_msg 9 000000bf000000c0)" 1 2)" >x.pb         # -0.5 -2
		run -0 onnx-run n x=x.pb
		[[ "$output" == *'  "fir"'*'maps  sequence of 1'*'  {"oak": '*', "fir": '*', "nut": '*'}'* ]]
		run -0 onnx-run --json n x=x.pb
		[[ "$output" == *'"maps"'*'"oak": '* ]]
	done
	onnx-run --output out n x=x.pb 2>err
	[[ "$(cat err)" == *"output 'maps' is a sequence"* ]]
	[ -s out/label.npy ]
}

@test "two classes by one row of a linear classifier" {
	points 60 | /usr/bin/awk -F, '$3 != "fir"' >t.csv
	skl m LOGISTIC 'nut oak' 1
	onnx-freeze -q --none m | onnx-train -q --data t.csv --target t --epochs 60 --batch 8 --lr 0.1 -o n
	onnx-eval --data t.csv --target t --json n >score
	/usr/bin/awk -F'[:,]' '/"accuracy"/ { exit !($2 > 0.95) }' score
	[ "$(onnx-info --json n | grep -c '"type": "LinearScores"')" = 0 ]
}

@test "a linear model with more inputs than the standard gives it is refused" {
	pb_file m "$(pb_graph "$(ml Scaler s 'x x' y)")" "$(imports)"
	fault 3 'has 2 inputs, wanted 1 to 1' onnx-run m
}

@test "ZipMap and DictVectorizer: scores to maps and back, while planning" {
	c=$(pb_msg 5 "$(pb_tensor c "$(pb_msg 9 0000803f000000400000404000008040)" 1 4)")       # 1 2 3 4
	at=$(pb_msg 5 "$(pb_int 2 7)$(pb_str 8 at)$(pb_msg 9 0000000000000000)")
	rest=$(pb_str 2 g)$(pb_msg 11 "$(pb_value x 1 3)")$(pb_msg 12 "$(pb_value y 1 3)")
	bytes "$(pb_tensor x "$(pb_msg 9 000000000000803f00000000)" 1 3)" >x.pb                 # 0 1 0
	# maps FILE ZIP DICT: the attributes of both
	maps() {
		pb_file "$1" "$(ml ZipMap z c s "$2")$(pb_msg 1 "$(pb_node SequenceAt t 's at' m)")$(
			ml DictVectorizer v m w "$3")$(pb_msg 1 "$(pb_node Add a 'w x' y)")$c$at$rest" "$(imports)"
	}
	maps m "$(strings classlabels_strings 'a b c d')" "$(strings string_vocabulary 'd q b')"
	run -0 onnx-run m x=x.pb
	[[ "$output" == *'4 1 2'* ]]
	maps m "$(strings classlabels_strings 'a b')" "$(strings string_vocabulary 'd q b')"
	fault 5 '2 class labels for 4 scores' onnx-run m x=x.pb
	maps m "$(strings classlabels_strings 'a b c d')" ''
	fault 5 'wanted a map with keys as in the vocabulary' onnx-run m x=x.pb
	pb_file m "$(ml DictVectorizer v c w "$(strings string_vocabulary 'd q b')")$(
		pb_msg 1 "$(pb_node Add a 'w x' y)")$c$rest" "$(imports)"
	fault 5 'wanted a map' onnx-run m x=x.pb
}

@test "ZipMap of what is computed while running" {
	c=$(pb_msg 5 "$(pb_tensor c "$(pb_msg 9 0000803f0000004000004040)" 1 3)")               # 1 2 3
	at=$(pb_msg 5 "$(pb_int 2 7)$(pb_str 8 at)$(pb_msg 9 0000000000000000)")
	pb_file m "$(pb_msg 1 "$(pb_node Mul a 'x c' p)")$(ml ZipMap z p s "$(strings classlabels_strings 'a b c')")$(
		pb_msg 1 "$(pb_node SequenceAt t 's at' m)")$(ml DictVectorizer v m y "$(
		strings string_vocabulary 'c a q')")$c$at$(pb_str 2 g)$(pb_msg 11 "$(pb_value x 1 3)")$(
		pb_msg 12 "$(pb_value y 1 3)")" "$(imports)"
	bytes "$(pb_tensor x "$(pb_msg 9 0000803f0000803f00000040)" 1 3)" >x.pb                  # 1 1 2
	run -0 onnx-run m x=x.pb
	[[ "$output" == *'6 1 0'* ]]
}

@test "CastMap: a map as a row, dense and sparse" {
	c=$(pb_msg 5 "$(pb_tensor c "$(pb_msg 9 0000803f0000004000004040)" 1 3)")               # 1 2 3
	at=$(pb_msg 5 "$(pb_int 2 7)$(pb_str 8 at)$(pb_msg 9 0000000000000000)")
	keys=$(pb_msg 5 "$(pb_str 1 classlabels_int64s)$(pb_int 8 4)$(pb_int 8 0)$(pb_int 8 1)$(pb_int 20 7)")
	# row FILE LENGTH ATTRIBUTES
	row() {
		pb_file "$1" "$(ml ZipMap z c s "$keys")$(pb_msg 1 "$(pb_node SequenceAt t 's at' m)")$(
			ml CastMap v m w "$3")$(pb_msg 1 "$(pb_node Mul a 'w x' y)")$c$at$(pb_str 2 g)$(
			pb_msg 11 "$(pb_value x 1)")$(pb_msg 12 "$(pb_value y 1 "$2")")" "$(imports)"
	}
	bytes "$(pb_tensor x "$(pb_msg 9 0000803f)" 1)" >x.pb                                    # 1
	row m 3 ''
	run -0 onnx-run m x=x.pb
	[[ "$output" == *'2 3 1'* ]]
	row m 6 "$(pb_msg 5 "$(pb_str 1 map_form)$(pb_str 4 SPARSE)$(pb_int 20 3)")$(
		pb_msg 5 "$(pb_str 1 max_map)$(pb_int 3 6)$(pb_int 20 2)")"
	run -0 onnx-run m x=x.pb
	[[ "$output" == *'2 3 0 0 1 0'* ]]
	row m 3 "$(pb_msg 5 "$(pb_str 1 cast_to)$(pb_str 4 TO_STRING)$(pb_int 20 3)")"
	fault 4 'does not say how numbers' onnx-run m x=x.pb
}
