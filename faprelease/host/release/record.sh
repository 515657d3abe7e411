# Add to the records of releases; the last whole line of each is what counts, so a line that was cut by a kill
# or a full disk changes nothing.
# Needs: state, records (an id and its JSON a line).
while read -r id json; do
  printf '\n%s\n' "$json" >>"$state/releases/$id.jsonl" || exit 1
done <<.
$records
.
