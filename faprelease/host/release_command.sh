# Run the release's own command (migrations), with its environment, and its programs first on the PATH.
# Needs: state, release (its folder), id, environment_file, at (RFC 3339), who, command.
# release_command.jsonl says that it began, and then how it ended. Where a kill or the time limit came between, its
# end is missing: nobody knows how far the command came.
cd "$release" || exit 1
record=$state/release_command.jsonl
case $(cat "$record" 2>/dev/null) in
  *'"exit"'* | '') ;;
  *) echo "warning: nobody knows how the last release_command ended: $(head -n 1 "$record")" ;;
esac
read -r artifact 2>/dev/null <"$state/releases/$id.artifact.json" || artifact=null
umask 077
printf '{"release":"%s","at":"%s","by":"%s","artifact":%s}\n' "$id" "$at" "$who" "$artifact" >"$record" || exit 1
umask 022
(
  export LC_ALL=C.UTF-8
  if [ -f "$environment_file" ]; then
    set -a
    . "$environment_file"
    set +a
  fi
  [ ! -x .fap/run ] || exec .fap/run -- sh -c "$command"
  export PATH="$release/venv/bin:$PATH" VIRTUAL_ENV="$release/venv"
  exec sh -c "$command"
) 3<&-
code=$?
printf '{"exit":%s}\n' "$code" >>"$record" || exit 1
exit "$code"
