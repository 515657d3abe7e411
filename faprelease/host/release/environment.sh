# Write the release's environment file, which only its owner may read. On stdin: its content.
# Needs: lib/release_path.sh, release, file (in the release).
refuse_links "$release" "${file#"$release/"}" || exit 1
umask 077
[ -d "${file%/*}" ] || mkdir -p "${file%/*}" || exit 1
rm -f "$file" && cat >"$file" || exit 1
