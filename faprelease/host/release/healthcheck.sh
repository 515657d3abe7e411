# Check that the new release answers on the host's own port, $good times in a row, within $seconds.
# On stdin: curl's configuration.
# Needs: release, port, status, good, seconds, artifact (the file that knows version and commit),
#   shows (what the answer must contain: version, commit or release; may be empty), listeners (listeners.py),
#   managed (yes: a process manager has checked that the release runs).
config=$(cat)
folder=$(cd "$release" && pwd -P) || exit 1
# The version of a release from another tool is not known.
[ -f "$artifact" ] || shows=
case $shows in
  '') word= ;;
  release) word=${folder##*/} ;;
  *)
    word=$(python3 -I -S -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$artifact" "$shows" 2>/dev/null)
    [ -n "$word" ] || { echo "$artifact has no $shows, so healthcheck_shows: $shows can't be checked"; exit 1; }
    ;;
esac
newline='
'
# Print what is wrong, or that the answer is good.
try() {
  answer=$(printf '%s\n' "$config" | curl -q --config - 2>&1)
  failed=$? code=${answer##*"$newline"} answer=${answer%"$newline"*}
  [ "$failed" = 0 ] || { echo "no answer: ${answer%%"$newline"*}"; return 1; }
  [ "$code" = "$status" ] || { printf 'status %s, not %s: %.200s\n' "$code" "$status" "$answer"; return 1; }
  if [ -n "$word" ]; then
    case $answer in
      *"$word"*) echo "status $code, and the answer shows $shows $word"; return ;;
    esac
    printf 'the answer does not show %s %s: %.200s\n' "$shows" "$word" "$answer"
    return 1
  fi
  listener=$(python3 -I -S -c "$listeners" "$port" "$folder")
  found=$?
  [ "$found" != 0 ] || { echo "status $code, $listener"; return; }
  [ "$found" != 1 ] || { echo "the old release still answers: $listener"; return 1; }
  [ -z "$managed" ] || { echo "status $code; the listening process can't be seen"; return; }
  echo "status $code, but it is not certain that the new release answers: $listener; set healthcheck_shows: version"
  return 1
}
end=$(($(date +%s) + seconds)) row=0
while :; do
  if result=$(try); then
    row=$((row + 1))
    [ "$row" -lt "$good" ] || { echo "$result"; exit 0; }
  else
    row=0
  fi
  [ "$(date +%s)" -lt "$end" ] || break
  sleep 1
done
echo "not $good good answers in a row within $seconds s; the last one:"
echo "$result"
exit 1
