# Write the configuration of a process manager into a release. Needs: release, file (in it), names (of its processes). The text is
# on stdin.
for name in $names; do
  grep -q "^[[:space:]]*$name:" "$release/Procfile" 2>/dev/null || {
    echo "the artifact's Procfile has no process $name; it has: $(sed -n 's/^[[:space:]]*\([A-Za-z0-9_-]*\):.*/\1/p' "$release/Procfile" 2>&1 | tr '\n' ' ')"
    exit 1
  }
done
mkdir -p "$release/${file%/*}" && cat >"$release/$file"
