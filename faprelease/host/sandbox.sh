# Contain all that comes after, as far as the namespaces in $spaces go, and become the installer.
# Needs: spaces, root, release, scratch, install, compilers, writable, envs, cache, new, network, strict. Nothing of it is left for the installer.
# Descriptor 8 takes what is contained. It was opened outside: a file that is open for writing keeps its file system from
# becoming read-only.
held= open=
# is WHAT COMMAND…: the command contains it, or says that it can't.
is() {
  what=$1
  shift
  if "$@" 2>/dev/null; then held=$held${held:+, }$what; else open=$open${open:+, }$what; fi
}
only_loopback() {
  while read -r interface _; do
    case $interface in lo:* | Inter-* | face) ;; *) return 1 ;; esac
  done </proc/self/net/dev
}
no_compilers() {
  case $spaces in *mount*) ;; *) return 1 ;; esac
  for folder in /usr/lib/gcc /usr/libexec/gcc /usr/lib/llvm-* /usr/lib/go-* /usr/local/go "$HOME/.cargo" "$HOME/.rustup"; do
    [ ! -d "$folder" ] || mount --bind "$scratch/nothing" "$folder" || return 1
  done
}
# Every file system becomes read-only but for these folders; what the kernel makes up by itself is of no use to a user.
only_the_release() {
  case $spaces in *mount*) ;; *) return 1 ;; esac
  mounts=$(cat /proc/self/mounts) || return 1
  while read -r folder; do
    mount --bind "$folder" "$folder" || return 1
  done <<.
$release
$scratch/tmp${writable:+
$writable}
.
  while read -r _ place type options _; do
    case $place in *\\*) place=$(printf '%b' "$place") ;; esac
    case $type in
      proc) continue ;;
      sysfs | devtmpfs | cgroup* | devpts | mqueue | debugfs | tracefs | securityfs | bpf | pstore | configfs | fusectl | autofs | binfmt_misc)
        [ -n "$root" ] || continue ;;
    esac
    case ,$options, in *,ro,*) continue ;; esac
    [ -e "$place" ] || continue
    keep=
    for option in nosuid nodev noexec noatime nodiratime relatime; do
      case ,$options, in *",$option,"*) keep=$keep,$option ;; esac
    done
    mount -o "remount,bind,ro$keep" "$place" || return 1
  done <<.
$mounts
.
}
no_process_is_left() {
  case $spaces in *pid*) ;; *) return 1 ;; esac
}
nobody_else() {
  drop='setpriv --no-new-privs --bounding-set=-all --inh-caps=-all --ambient-caps=-all'
  $drop true && return
  drop='setpriv --no-new-privs'
  $drop true || drop=
  # Without a namespace there is no privilege to give up.
  [ -n "$drop" ] && [ -z "$spaces$root" ]
}
[ -n "$network" ] || is network only_loopback
is files only_the_release
is compilers no_compilers
is processes no_process_is_left
is privileges nobody_else
if [ -n "$strict" ] && [ -n "$open" ]; then
  echo "the installer is not run: this stage is protected, and this host can't contain: $open" >&2
  echo "allow user namespaces there (sysctl user.max_user_namespaces), with util-linux's unshare, mount and setpriv" >&2
  exit 78
fi
cd "$release" && echo "$held|$open" >&8 || exit 70
exec 8>&-
closed='PIP_NO_INDEX=1 http_proxy=http://127.0.0.1:9 https_proxy=http://127.0.0.1:9 ALL_PROXY=http://127.0.0.1:9'
[ -z "$network" ] || closed=
exec $drop env -i PATH="$compilers:$PATH" HOME="$HOME" TMPDIR="$scratch/tmp" LC_ALL=C.UTF-8 CC=/bin/false CXX=/bin/false \
  FAP_ENVS="$envs" FAP_CACHE="$cache" FAP_NEW="$new" $closed sh -c 'exec 2>&1; eval "$1"' install "$install"
