# Begin a release of its own, which is this session's for as long as that lives.
# Needs: lib/process.sh, new (its folder).
mkdir -p "${new%/*}" || exit 1
process_of "$FAP_SESSION"
{ echo "$FAP_SESSION $process" >"$new.new" && mv "$new.new" "$new.holder"; } || { rm -f "$new.new"; exit 1; }
mkdir -p "$new/.fap/releases" || exit 1
