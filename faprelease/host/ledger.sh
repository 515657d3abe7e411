# Add one line to the ledger. Needs: state, release, event, leaving (a release, may be empty), who.
read -r artifact 2>/dev/null <"$state/releases/$release.artifact.json" || artifact=null
printf '{"at":"%s","event":"%s","release":"%s","from":"%s","who":"%s","artifact":%s}\n' \
  "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$event" "$release" "$leaving" "$who" "$artifact" >>"$state/ledger.jsonl"
