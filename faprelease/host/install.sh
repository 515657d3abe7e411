# Run the artifact's own installer, contained by sandbox.sh (on stdin) as far as this host can. What was contained is
# printed, and kept in releases/ID.install.json.
# Needs: release, state, id, install (a shell command, empty for "./install.sh if there is one"), network (allow: leave
# it open), strict (yes: refuse to run where something can't be contained),
# cache (of unpacked wheels, empty for none). Our own installer also writes to that and to $state/envs, and is told where they are.
# What it makes for the latter lies in the former, $new, as it may link no file from one mount to another: settle puts it there.
cd "$release" || exit 1
if [ -z "$install" ]; then
  [ -f install.sh ] || { echo "the artifact has no install.sh: nothing to install"; exit 0; }
  install=./install.sh
  [ -x install.sh ] || install='sh ./install.sh'
fi
umask 022
scratch=$state/install.tmp
[ ! -e "$scratch" ] || rm -rf "$scratch" || exit 1
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch" "$scratch/tmp" "$scratch/nothing" && sandbox=$(cat) || exit 1
# What belongs to the build says so, where it is looked for by name. It stays on the host, as it is always the same.
if [ ! -d "$state/compilers" ]; then
  mkdir "$scratch/compilers" && cat >"$scratch/compilers/cc" <<'.'
#!/bin/sh
echo "${0##*/}: nothing is compiled on a server (factor V): fapbuild packs it as a wheel" >&2
exit 1
.
  chmod 755 "$scratch/compilers/cc" || exit 1
  for name in c89 c99 gcc g++ c++ clang clang++ tcc gfortran ld as rustc cargo go javac; do
    ln -s cc "$scratch/compilers/$name" || exit 1
  done
  mv "$scratch/compilers" "$state/compilers" || exit 1
fi
envs= new= writable=
if [ -d .fap/installer ]; then
  case $cache in "~/"*) cache=$HOME/${cache#"~/"} ;; esac
  envs=$state/envs
  [ -d "$envs" ] || mkdir "$envs" || exit 1
  [ -z "$cache" ] || [ -d "$cache" ] || (umask 077 && mkdir -p "$cache") 2>/dev/null || cache=
  [ -z "$cache" ] || { new=$cache/new; [ -d "$new" ] || mkdir "$new" 2>/dev/null || new=; }
  writable="$envs${cache:+
$cache}"
fi
# Put sets of packages where the installer left links to them. It may be anyone's, so what is not just that is left alone.
settle() {
  [ -n "$new" ] && [ ! -L "$new" ] || return 0
  for link in "$envs"/*; do
    [ -L "$link" ] || continue
    made=$(readlink "$link") && rm "$link" || return 1
    name=${made#"$new/"}
    case $name in "$made" | */* | .*) continue ;; esac
    [ -d "$made" ] && [ ! -L "$made" ] || continue
    mv "$made" "$link.new" && chmod a-w "$link.new" && mv "$link.new" "$link" || return 1
  done
}
settle || exit 1
root=
while read -r key user _; do
  [ "$key" != Uid: ] || { [ "$user" != 0 ] || root=yes; break; }
done </proc/self/status

# attempt SPACES LAUNCHER…: run the installer by a launcher that makes these namespaces. `held` says what is contained when the
# installer begins: so a host that refuses is told apart from an installer that fails. What a launcher says of that is of
# no use to anyone. A pipe ends when its last writer does, and only a pid namespace is sure to end them all.
attempt() {
  spaces=$1
  shift
  case $spaces in
    *pid*)
      { launch "$@"; echo $? >"$scratch/code"; } | {
        head -c 268435456 | tail -c 65536
        [ -z "$(head -c 1)" ] || echo "stopped: the installer printed more than 256 MB"
      } ;;
    *) launch "$@"; echo $? >"$scratch/code" ;;
  esac
  read -r code <"$scratch/code" || exit 1
  [ -s "$scratch/held" ] || return 0
  IFS='|' read -r held open <"$scratch/held"
  printf '{"contained":"%s","open":"%s"}\n' "$held" "$open" >"$state/releases/$id.install.json" || exit 1
  echo "contained: ${held:-nothing}"
  [ -z "$network" ] || echo "warning: the installer may use the network: install_network says so"
  [ -z "$open" ] || echo "warning: this host does not contain all that the installer could do: $open"
  settle || exit 1
  exit "$code"
}
launch() {
  "$@" env -i PATH="$PATH" HOME="$HOME" spaces="$spaces" root="$root" release="$release" scratch="$scratch" install="$install" \
    compilers="$state/compilers" writable="$writable" envs="$envs" cache="$cache" new="$new" network="$network" strict="$strict" \
    sh -c "$sandbox" 3<&- 8>"$scratch/held" 2>"$scratch/said"
}

all='--mount --pid --ipc --fork --kill-child --mount-proc' some=--mount net=--net
[ -z "$network" ] || net=
# With the network open there is nothing that this alone would contain.
only_net() {
  [ -z "$net" ] || attempt "net" unshare "$@" "$net"
}
if [ -n "$root" ]; then
  attempt "net mount pid" unshare $net $all
  attempt "net mount" unshare $net $some
  only_net
else
  for as in '--map-current-user --keep-caps' --map-root-user; do
    attempt "net mount pid" unshare $as $net $all
    attempt "net mount" unshare $as $net $some
    only_net $as
  done
fi
attempt ""
# Not even that began, for example on a disk so full that nothing can be written.
cat "$scratch/said"
exit "$code"
