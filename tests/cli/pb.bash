# Model files that no exporter would write: protobuf in hexadecimal, put together by hand.
# pb_int FIELD N | pb_str FIELD TEXT | pb_msg FIELD HEX | pb_f32 FIELD-less numbers go in as raw hex.

pb_varint() {           # N -> $pb
	local n=$1
	pb=
	while [ "$n" -ge 128 ]; do
		printf -v pb '%s%02x' "$pb" $((n & 127 | 128))
		n=$((n >> 7))
	done
	printf -v pb '%s%02x' "$pb" "$n"
}
pb_int() {
	pb_varint $(($1 << 3))
	local tag=$pb
	pb_varint "$2"
	printf %s "$tag$pb"
}
pb_msg() {
	pb_varint $(($1 << 3 | 2))
	local tag=$pb
	pb_varint $((${#2} / 2))
	printf %s "$tag$pb$2"
}
pb_str() {
	pb_msg "$1" "$(printf %s "$2" | od -An -v -tx1 | tr -d ' \n')"
}

# pb_node TYPE NAME 'IN...' 'OUT...' [ATTRIBUTES]: a NodeProto
pb_node() {
	local hex='' i
	for i in $3; do hex+=$(pb_str 1 "$i"); done
	for i in $4; do hex+=$(pb_str 2 "$i"); done
	printf %s "$hex$(pb_str 3 "$2")$(pb_str 4 "$1")${5:-}"
}
# pb_value NAME DIM...: a ValueInfoProto of floats
pb_value() {
	local name=$1 shape='' d
	shift
	for d in "$@"; do shape+=$(pb_msg 1 "$(pb_int 1 "$d")"); done
	printf %s "$(pb_str 1 "$name")$(pb_msg 2 "$(pb_msg 1 "$(pb_int 1 1)$(pb_msg 2 "$shape")")")"
}
# pb_tensor NAME HEX DIM...: a TensorProto of floats; HEX are its remaining fields
pb_tensor() {
	local name=$1 rest=$2 hex='' d
	shift 2
	for d in "$@"; do hex+=$(pb_int 1 "$d"); done
	printf %s "$hex$(pb_int 2 1)$(pb_str 8 "$name")$rest"
}
# bytes HEX: as they are
bytes() {
	# shellcheck disable=SC2059
	printf "$(sed 's/../\\x&/g' <<<"$1")"
}
# pb_file FILE GRAPH [MORE]: ir_version 8, opset 17; MORE fields of the model
pb_file() {
	bytes "$(pb_int 1 8)$(pb_msg 7 "$2")$(pb_msg 8 "$(pb_int 2 17)")${3:-}" >"$1"
}
# pb_graph HEX: with one input x [1,4] and one output y [1,4]
pb_graph() {
	printf %s "$1$(pb_str 2 g)$(pb_msg 11 "$(pb_value x 1 4)")$(pb_msg 12 "$(pb_value y 1 4)")"
}
