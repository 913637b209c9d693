#!/usr/bin/env bats
# onnx-adapt and recipes: faults with their place, the schema, the shipped recipes, pipeline and recipe.
load common

bad() {                         # bad PATTERN: the recipe on standard input is refused so
	cat >r.yaml
	fault 2 "^onnx-adapt: r.yaml:$1" onnx-adapt --check r.yaml
}

@test "faults say file, line and column" {
	bad "1:1: a recipe has no section 'trian'; nearest is 'train'" <<<'trian: {}'
	bad "2:3: 'train' has no key 'epoch'; nearest is 'epochs'" <<<$'train:\n  epoch: 3'
	bad "3:3: 'epochs' given twice, first on line 2" <<<$'train:\n  epochs: 3\n  epochs: 4'
	bad "2:1: section 'train' given twice, first on line 1" <<<$'train: {}\ntrain: {}'
	bad "2:7: 'lr' must be a number in" <<<$'train:\n  lr: fast'
	bad "2:11: 'epochs' must be a whole number in" <<<$'train:\n  epochs: -1'
	bad "2:11: 'epochs' must be .*not a list" <<<$'train:\n  epochs: [1, 2]'
	bad "2:11: 'epochs' wants a plain value" <<<$'train:\n  epochs: "3"'
	bad "2:10: 'optim' must be one of .*nearest is 'adam" <<<$'train:\n  optim: adamm'
	bad "1:1: 'eval' needs a 'data'" <<<$'eval:\n  batch: 3'
	bad "1:1: 'data' needs a 'data: SRC'" <<<$'train:\n  batch: 3'
	bad "3:1: 'data' needs a 'data: SRC'" <<<$'train:\n  batch: 3\ndata:\n  val: 0.2'
	bad "1:8: section 'train' must be a mapping" <<<'train: [1]'
	bad "1:1: a recipe is a mapping" <<<'- a'
}

@test "a tool says where in its recipe something is missing" {
	printf 'train:\n  batch: 3\n' >r.yaml
	onnx-freeze -q --none "$ONX_TOP/samples/fashion5.onnx" -o f.onnx
	fault 2 "^onnx-train: r.yaml:1:1: 'data' needs a 'data: SRC'" onnx-train -r r.yaml f.onnx
	fault 2 "^onnx-train: needs '--data SRC'" onnx-train f.onnx
	printf 'train:\n  batch: 3\neval:\n  batch: 2\n' >r.yaml
	fault 2 "^onnx-eval: r.yaml:3:1: 'eval' needs a 'data: SRC'" onnx-eval -r r.yaml f.onnx
}

@test "YAML's surprises are refused" {
	bad "2:11: 'events' wants text" <<<$'train:\n  events: no'
	bad "2:.*anchor" <<<$'train:\n  epochs: &a 3'
	bad "3:.*alias" <<<$'train:\n  epochs: 3\n  batch: *a'
	bad "2:.*tag" <<<$'train:\n  epochs: !!str 3'
	bad "2:.*second document" <<<$'train: {}\n---\ntrain: {}'
	bad "[0-9]+:[0-9]+: not YAML" <<<$'train: {epochs: 3'
	bad "2:.*no value" <<<$'train:\n  epochs:'
}

@test "no recipe, an empty one, two" {
	fault 2 "needs one recipe" onnx-adapt
	fault 6 "No such file" onnx-adapt nothing.yaml
	: >empty.yaml
	fault 2 "empty" onnx-adapt empty.yaml
	fault 2 "too many" onnx-adapt a.yaml b.yaml
}

@test "recipes/README.md is what --schema prints" {
	diff <(onnx-adapt --schema) "$ONX_TOP/recipes/README.md"
}

@test "every shipped recipe is right" {
	for r in "$ONX_TOP"/recipes/*.yaml; do
		run -0 onnx-adapt --check "$r"
	done
}

@test "the regression recipe runs as it is" {
	/usr/bin/awk 'BEGIN { print "a,b,c,y"; srand(1); for (i = 0; i < 200; i++) { a = rand(); b = rand(); c = rand()
		print a "," b "," c "," 2 * a - b + 0.5 * c } }' >table.csv
	onnx-adapt -q "$ONX_TOP/recipes/regression.yaml"
	cat >e.yaml <<-'Y'
		data: {target: y, task: regress}
	Y
	onnx-eval -r e.yaml --data table.csv --json regression.onnx >score
	/usr/bin/awk -F'[:,]' '/"r2"/ { exit !($2 > 0.95) }' score
}

@test "recipe and pipeline give the same file, whatever the threads" {
	model iris-pytorch.onnx
	cp "$m" model.onnx
	cp "$ONX_SHARED/data/tabular/iris.csv" table.csv
	onnx-adapt -q "$ONX_TOP/recipes/table.yaml"
	onnx-freeze -q --none model.onnx | onnx-train -q --data table.csv --target label --val 0.2 --epochs 100 \
		--lr 0.01 --threads 1 -o piped.onnx
	cmp adapted.onnx piped.onnx
	onnx-freeze -q -r "$ONX_TOP/recipes/table.yaml" model.onnx |
		onnx-train -q -r "$ONX_TOP/recipes/table.yaml" --threads 2 >piped2.onnx
	cmp adapted.onnx piped2.onnx
}

@test "an option wins over the recipe" {
	model iris-pytorch.onnx
	cp "$m" model.onnx
	onnx-freeze -q --none model.onnx | onnx-train -q -r "$ONX_TOP/recipes/table.yaml" --epochs 2 \
		--data "$ONX_SHARED/data/tabular/iris.csv" --events - -o out.onnx >events
	grep -q '"epochs": 2,' events
}
