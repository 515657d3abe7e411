# Replace the records of releases, each by a rename. Needs: records. On stdin: an id and its JSON a line.
while read -r id json; do
  printf '%s\n' "$json" >"$records/.$id.new" && mv -f "$records/.$id.new" "$records/$id.json" || exit 1
done
