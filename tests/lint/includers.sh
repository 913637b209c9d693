#!/bin/bash
# A header that comes from neither C nor POSIX has one includer: a library is replaced in one place.
# protobuf-c's generated header belongs to lib/model.
. "$(dirname "$0")/common.bash"
own=' assert ctype errno fenv float inttypes limits locale math setjmp signal stdalign stdarg stdatomic
stdbool stddef stdint stdio stdlib stdnoreturn string strings time wchar dirent fcntl fnmatch ftw glob
poll pthread sched termios unistd cpuid immintrin sys/ioctl sys/mman sys/resource sys/stat sys/time
sys/types sys/wait sys/uio sys/file sys/sysinfo sanitizer/asan_interface '
own=${own//$'\n'/ }
declare -A by
while IFS=: read -r file line text; do
	header=${text#*<}
	header=${header%%>*}
	[[ $own == *" ${header%.h} "* ]] && continue
	case " ${by[$header]:-} " in
	*" $file "*) ;;
	"  ")   by[$header]=$file ;;
	*)      object "$file:$line: <$header> is already included by ${by[$header]}" ;;
	esac
done < <(sources | xargs grep -nH '^ *# *include *<')
while IFS=: read -r file line _; do
	[[ $file == lib/model/* ]] || object "$file:$line: only lib/model uses protobuf-c"
done < <(sources | xargs grep -nH '^ *# *include.*pb-c')
verdict
