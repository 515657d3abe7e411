# Run the artifact's own installer: without network, without a compiler, with a clean environment.
# Needs: release, install (a shell command, empty for "./install.sh if there is one").
cd "$release" || exit 1
if [ -z "$install" ]; then
  [ -f install.sh ] || { echo "the artifact has no install.sh: nothing to install"; exit 0; }
  install=./install.sh
  [ -x install.sh ] || install='sh ./install.sh'
fi
closed=
for way in 'unshare --net' 'unshare --map-current-user --net' 'unshare --map-root-user --net'; do
  if $way true 2>/dev/null; then
    closed=$way
    break
  fi
done
[ -n "$closed" ] || echo "this host does not allow network namespaces: the network is only discouraged"
exec $closed env -i PATH="$PATH" HOME="$HOME" LC_ALL=C.UTF-8 \
  CC=/bin/false CXX=/bin/false PIP_NO_INDEX=1 \
  http_proxy=http://127.0.0.1:9 https_proxy=http://127.0.0.1:9 \
  sh -c "$install" 3<&- 9<&-
