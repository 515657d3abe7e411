# Write the release's environment file, which only its owner may read. On stdin: its content.
# Needs: file.
umask 077
[ -d "${file%/*}" ] || mkdir -p "${file%/*}" || exit 1
rm -f "$file" && cat >"$file" || exit 1
