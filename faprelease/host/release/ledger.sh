# Add one line to the ledger.
# Needs: state, at (RFC 3339), release, event, leaving (a release, may be empty), who, why (a member of the line: a comma, then
#   "why": and its text; may be empty).
read -r artifact 2>/dev/null <"$state/releases/$release.artifact.json" || artifact=null
printf '{"at":"%s","event":"%s","release":"%s","from":"%s","who":"%s"%s,"artifact":%s}\n' \
  "$at" "$event" "$release" "$leaving" "$who" "$why" "$artifact" >>"$state/ledger.jsonl" || exit 1
