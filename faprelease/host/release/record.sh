# Add to the records of releases. The last complete line of each counts, so a line that a kill or a full disk cut short
# changes nothing.
# Needs: state, records (lines of an id and JSON).
while read -r id json; do
  printf '\n%s\n' "$json" >>"$state/releases/$id.jsonl" || exit 1
done <<.
$records
.
