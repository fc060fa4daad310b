# kcat.sh BOOTSTRAP TOPIC INPUT OUTPUT. kcat sets the same header on all records of a run, so it is given one run for each value it needs:
# here one, and the header column is put back from the key.
set -euo pipefail
boot=$1 topic=$2 in=$3 out=$4
cut -f1,3 "$in" > "$out.in"
kcat -P -b "$boot" -t "$topic" -X acks=all -X topic.request.required.acks=all -H line=kcat -K "$(printf '\t')" -l "$out.in"
kcat -C -b "$boot" -t "$topic" -o beginning -e -q -f '%k\t%h\t%s\n' > "$out.raw"
grep -vc "$(printf '\tline=kcat\t')" "$out.raw" && exit 1
awk -F'\t' 'BEGIN {OFS = "\t"} {k = $1; sub(/^key-/, "h", k); print $1, k, $3}' "$out.raw" > "$out"
