# Write the configuration of a process manager into a release. On stdin: files, each after a line `==> PATH IN THE RELEASE`.
# Needs: release, names (of its processes).
for name in $names; do
  grep -q "^[[:space:]]*$name:" "$release/Procfile" 2>/dev/null || {
    echo "the artifact's Procfile has no process $name; it has: $(sed -n 's/^[[:space:]]*\([A-Za-z0-9_-]*\):.*/\1/p' "$release/Procfile" 2>&1 | tr '\n' ' ')"
    exit 1
  }
done
while IFS= read -r line; do
  case $line in
    '==> '*) file=$release/${line#* }; mkdir -p "${file%/*}" && : >"$file" || exit 1 ;;
    *) printf '%s\n' "$line" >>"$file" || exit 1 ;;
  esac
done
