#!/bin/bash
# A file of lib/X may include "X/..." and the folders, or single headers, that lib/LAYERS grants to X.
# Private headers (*_i.h) stay in their folder.
. "$(dirname "$0")/common.bash"
declare -A may
while IFS=: read -r folder list; do
	may[$folder]=" $folder $list "
done < <(sed 's/#.*//; /^ *$/d' lib/LAYERS)

while IFS=: read -r file line text; do
	header=${text#*\"}
	header=${header%%\"*}
	to=${header%%/*}
	case $file in
	lib/*)  from=${file#lib/}; from=${from%%/*} ;;
	*)      from=tools ;;
	esac
	case $header in
	*.inc|onnx.pb-c.h) continue ;;
	*/*)    ;;
	*)      [ "$from" = tools ] || object "$file:$line: \"$header\" is not named from lib/"; continue ;;
	esac
	if [ "$from" = tools ]; then
		[[ $header != *_i.h ]] || object "$file:$line: $header is private to lib/$to"
	elif [ -z "${may[$from]:-}" ]; then
		object "$file: lib/LAYERS has no line for '$from'"
	elif [[ ${may[$from]} != *" $to "* && ${may[$from]} != *" $header "* ]]; then
		object "$file:$line: $from may not include $header (lib/LAYERS)"
	elif [[ $header = *_i.h && $from != "$to" ]]; then
		object "$file:$line: $header is private to lib/$to"
	fi
done < <(sources | xargs grep -nH '^ *# *include *"')
for d in lib/*/; do
	d=$(basename "$d")
	[ -n "${may[$d]:-}" ] || object "lib/LAYERS has no line for '$d'"
done
verdict
