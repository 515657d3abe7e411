# See the new release answer on the host's own port, $good times in a row, before $seconds are over.
# On stdin: curl's configuration.
# Needs: release, port, status, good, seconds, artifact (the file that knows version and commit),
#   shows (what the answer must contain: version, commit or release; may be empty), listeners (its Python source),
#   managed (yes: a process manager has shown that the release runs).
config=$(cat)
folder=$(cd "$release" && pwd -P) || exit 1
# Of what another tool released nobody knows a version.
[ -f "$artifact" ] || shows=
case $shows in
  '') word= ;;
  release) word=${folder##*/} ;;
  *)
    word=$(python3 -I -S -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$artifact" "$shows" 2>/dev/null)
    [ -n "$word" ] || { echo "$artifact knows no $shows, so healthcheck_shows: $shows can't be seen"; exit 1; }
    ;;
esac
newline='
'
# Says what is wrong, or in what way all is well.
look() {
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
  held=$(python3 -I -S -c "$listeners" "$port" "$folder")
  seen=$?
  [ "$seen" != 0 ] || { echo "status $code, $held"; return; }
  [ "$seen" != 1 ] || { echo "the old release still answers: $held"; return 1; }
  [ -z "$managed" ] || { echo "status $code; who listens can't be seen"; return; }
  echo "status $code, but nothing shows that the new release answers: $held; set healthcheck_shows: version"
  return 1
}
end=$(($(date +%s) + seconds)) row=0
while :; do
  if said=$(look); then
    row=$((row + 1))
    [ "$row" -lt "$good" ] || { echo "$said"; exit 0; }
  else
    row=0
  fi
  [ "$(date +%s)" -lt "$end" ] || break
  sleep 1
done
echo "no $good good answers in a row within $seconds s; the last one:"
echo "$said"
exit 1
