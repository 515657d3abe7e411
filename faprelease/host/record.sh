# Add to the records of releases; the last whole line of each is what counts, so a line that was cut by a kill
# or a full disk changes nothing. Needs: records. On stdin: an id and its JSON a line.
while read -r id json; do
  printf '\n%s\n' "$json" >>"$records/$id.jsonl" || exit 1
done
