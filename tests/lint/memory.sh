#!/bin/bash
# Memory comes from base/ (arena, onx_heap): one place to count it, to make it fail, to poison it.
. "$(dirname "$0")/common.bash"
calls='malloc|calloc|realloc|reallocarray|free|aligned_alloc|posix_memalign|strdup|strndup|asprintf'
mapfile -t files < <(sources | grep -v '^lib/base/')
[ ${#files[@]} = 0 ] && verdict
while read -r hit; do object "$hit"; done < <(code "${files[@]}" |
	grep -E "(^|[^A-Za-z0-9_.>])($calls) *\(")
verdict
