# Write the release's environment file, readable by its owner alone. Needs: file. The content is on stdin.
umask 077
mkdir -p "${file%/*}" && cat >"$file.new" && mv -f "$file.new" "$file"
