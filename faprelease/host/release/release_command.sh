# Run the release's own command (migrations), with its environment and with its programs first on the PATH.
# Needs: lib/in_release.sh, state, id, at (RFC 3339), who, command.
# release_command.jsonl records that it started, and then how it ended. After a kill or a timeout the second line is
# missing: then it is not known how far the command came.
record=$state/release_command.jsonl
case $(cat "$record" 2>/dev/null) in
  *'"exit"'* | '') ;;
  *) echo "warning: it is not known how the last release_command ended: $(head -n 1 "$record")" ;;
esac
read -r artifact 2>/dev/null <"$state/releases/$id.artifact.json" || artifact=null
umask 077
printf '{"release":"%s","at":"%s","by":"%s","artifact":%s}\n' "$id" "$at" "$who" "$artifact" >"$record" || exit 1
umask 022
in_release "$command"
code=$?
printf '{"exit":%s}\n' "$code" >>"$record" || exit 1
exit "$code"
