# Write the release's environment file, readable by its owner alone. The content is on stdin.
# Needs: file.
umask 077
[ -d "${file%/*}" ] || mkdir -p "${file%/*}" || exit 1
rm -f "$file" && cat >"$file" || exit 1
