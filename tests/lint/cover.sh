#!/bin/bash
# Every operator has a case, every input with a gradient a gradient case (tests/op/cover.c).
. "$(dirname "$0")/common.bash"
exec "${ONX_BUILD:-build}/tests/op/cover"
