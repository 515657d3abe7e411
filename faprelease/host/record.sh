# Replace the records of releases, each by a rename. Needs: records. On stdin: an id and its JSON a line.
written=
while read -r id json; do
  printf '%s\n' "$json" >"$records/.new/$id.json" || exit 1
  written="$written .new/$id.json"
done
cd "$records" && mv -f $written .
