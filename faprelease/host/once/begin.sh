# Make the folder of a trial, which belongs to this session as long as the session lives.
# Needs: lib/process.sh, new (its folder).
mkdir -p "${new%/*}" || exit 1
process_of "$FAP_SESSION"
{ echo "$FAP_SESSION $process" >"$new.new" && mv "$new.new" "$new.holder"; } || { rm -f "$new.new"; exit 1; }
mkdir -p "$new/.fap/releases" || exit 1
