#!/bin/bash
# Nothing here knows the machine it was written on.
. "$(dirname "$0")/common.bash"
while read -r hit; do object "$hit"; done < <(all_files | xargs -d '\n' grep -nIHE \
	'(^|[^A-Za-z0-9_.$}])/(work|root|home|Users)/[A-Za-z]' | cut -c1-160)
verdict
