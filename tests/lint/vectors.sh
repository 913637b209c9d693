#!/bin/bash
# What GCC makes vectors of for AVX-512 it makes vectors of for AVX2: a loop whose choice it cannot turn into a blend, or a
# vector wider than the registers, is ten times as slow on processors without AVX-512, and no test sees it.
# Compares the clones of ONX_CLONES (kernel/cpu.h) in the objects; builds without clones have nothing to compare.
. "$(dirname "$0")/common.bash"
objects=("${ONX_BUILD:-build}"/lib/kernel/*.f32.o "${ONX_BUILD:-build}"/lib/op/*.f32.o)
command -v objdump >/dev/null && [ ${#objects[@]} -gt 0 ] || verdict
# shellcheck disable=SC2016
while read -r hit; do object "$hit"; done < <(objdump -d --no-show-raw-insn "${objects[@]}" | awk '
	/^[^ ].*file format/ { file = $1; sub(/.*\/lib\//, "", file); sub(/\.f32\.o:/, ".c", file) }
	/^[0-9a-f]+ <.*>:$/ { name = $2; gsub(/[<>:]/, "", name) }
	name ~ /\.arch_x86_64_v[34]$/ && /%[yz]mm/ {
		set = substr(name, length(name))
		base = file " " substr(name, 1, length(name) - 15)
		vectors[base, set]++
		seen[base]
	}
	END {
		for (f in seen)
			if (vectors[f, 4] > 3 && vectors[f, 3] == 0)
				print "lib/" f ": vectors with AVX-512, none with AVX2"
	}' | LC_ALL=C sort)
verdict
