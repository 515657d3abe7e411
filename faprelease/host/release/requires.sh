# See that every variable the artifact needs stands in the environment file, without running that.
# Needs: lib/environment.sh, release, file.
manifest=$release/.fap/manifest.json
[ -f "$manifest" ] || exit 0
# A manifest is one line of compact JSON, and names of variables need no escapes.
needed=$(sed -n 's/.*"requires_env":\[\([^]]*\)\].*/\1/p' "$manifest")
[ -n "$needed" ] || exit 0
given=" $(echo $(variables_in "$file")) "
missing=
set -f
IFS=',"'
for name in $needed; do
  [ -n "$name" ] || continue  # between two names stands more than one of the signs that part them
  case $given in *" $name "*) ;; *) missing="$missing $name" ;; esac
done
[ -n "$missing" ] || exit 0
echo "the artifact needs variables that $file does not set:$missing"
echo "add to deploy.yml, each with its value or with where that comes from:"
echo "environment:"
IFS=' '
for name in $missing; do
  echo "  $name: {env: $name}"
done
exit 1
