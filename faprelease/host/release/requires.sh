# Check that the environment file sets every variable that the artifact needs, without running the file.
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
  [ -n "$name" ] || continue  # two names are separated by more than one of the characters in IFS
  case $given in *" $name "*) ;; *) missing="$missing $name" ;; esac
done
[ -n "$missing" ] || exit 0
echo "the artifact needs variables that $file does not set:$missing"
echo "add to deploy.yml, each with its value or with the source of its value:"
echo "environment:"
IFS=' '
for name in $missing; do
  echo "  $name: {env: $name}"
done
exit 1
