# Remove what an artifact or its installer brought in place of files that only plugins write.
# Needs: release.
[ ! -L "$release/.fap" ] || { echo "$release/.fap is a link: the artifact's installer must not make one"; exit 1; }
rm -rf "$release/.fap/handover" "$release/.fap/schedules"
