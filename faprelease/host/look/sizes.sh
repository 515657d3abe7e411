# Print the disk usage of each release, one per line: KiB and its id. What its links name (shared/, the packages in
# .fap/envs) is not counted.
# Needs: releases.
cd "$releases" 2>/dev/null || exit 0
du -sk -- [0-9]*/ 2>/dev/null | while read -r kib folder; do
  echo "$kib ${folder%/}"
done
