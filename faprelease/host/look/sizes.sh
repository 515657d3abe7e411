# Say how much disk each release takes: KiB, then its id, a line. What its links lead to (shared/, the packages in .fap/envs) is
# not counted.
# Needs: releases.
cd "$releases" 2>/dev/null || exit 0
du -sk -- [0-9]*/ 2>/dev/null | while read -r kib folder; do
  echo "$kib ${folder%/}"
done
