#!/bin/sh
# The launcher of a media set: this header, then the installer's own Python for each architecture (tar, gzip).
# It needs a POSIX shell, ls, tar and gzip; sha256sum and getconf are used where they are. Read-only verbs unpack into a
# temporary folder and leave nothing behind; the others unpack once, under a name that is the payload's digest, and
# from then on everything runs from there.
set -u
umask 022
LC_ALL=C
# Not the caller's: a "." in it would run what lies beside the medium, as root. Neither are settings that change what
# these programs do, or which libraries Python gets.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH
unset GZIP TAR_OPTIONS POSIXLY_CORRECT LD_PRELOAD LD_LIBRARY_PATH LD_AUDIT OPENSSL_CONF OPENSSL_MODULES

# One line per payload: architecture, offset of its first byte (from 1), size in bytes, what it takes on a disk in KiB,
# SHA-256, oldest glibc.
payloads='
@PAYLOADS@
'
# What --help says, here so that it answers at once: unpacking a Python for it would take most of a second.
help='@HELP@'
runtime_root=/opt/airgap-bundle/runtime
scratch=
why=

# fail FAMILY CODE WHAT WHERE WANTED GOT NEXT: the four parts of every error, and the end.
fail() {
  {
    printf 'error: %s  [%s]\n' "$3" "$1"
    printf '  where   %s\n  wanted  %s\n  got     %s\n  next    %s\n' "$4" "$5" "$6" "$7"
  } >&2
  exit "$2"
}

clean_up() {
  if [ -n "$scratch" ]; then
    rm -rf "$scratch"
    scratch=
  fi
}

# Whether a runtime that an earlier run kept is there.
is_kept() {
  [ -x "$runtime_root/$digest/python/bin/python3" ]
}

# Whether the arguments ask for something that must leave nothing behind.
reads_only() {
  [ $# -gt 0 ] || return 0
  value_follows=
  for word in "$@"; do
    if [ -n "$value_follows" ]; then
      value_follows=
      continue
    fi
    case $word in
      --dry-run | --help | -h | --version) return 0 ;;
      --role | --config | --join | --address | --data-disk | --media | --ignore | --only) value_follows=yes ;;
      --signer | --signatures | --accept-signer) value_follows=yes ;;
      plan | facts | status | preflight | explain | doctor | vip-probe | images | inventory | rebuild) return 0 ;;
      copy | repair) return 0 ;;
      -*) ;;
      *) break ;;
    esac
  done
  # A word such as "reset" ends the search above; --help may still come after it.
  for word in "$@"; do
    case $word in
      --dry-run | --help | -h | --version) return 0 ;;
    esac
  done
  return 1
}

# Sets architecture, offset, size, unpacked, digest and glibc to those of this machine's payload.
choose_payload() {
  machine=$(uname -m)
  case $machine in
    x86_64 | amd64) wanted=amd64 ;;
    aarch64 | arm64) wanted=arm64 ;;
    *) wanted= ;;
  esac
  there=
  while read -r architecture offset size unpacked digest glibc; do
    [ -n "$architecture" ] || continue
    there="$there $architecture"
    [ "$architecture" != "$wanted" ] || return 0
  done <<LIST
$payloads
LIST
  fail input 2 "this media set is for another architecture" "$self" "one of:$there" "$machine (uname -m)" \
    "build one with --arch for this machine"
}

payload() {
  tail -c "+$offset" "$self" | head -c "$size"
}

# The payload must be whole before a byte of it is used: by SHA-256, or at least by gzip's own checksum.
verify_payload() {
  if command -v sha256sum >/dev/null 2>&1; then
    got=$(payload | sha256sum)
    got=${got%% *}
    [ "$got" = "$digest" ] || fail integrity 4 "install is damaged" "$self" "sha256:$digest" "sha256:$got" \
      "copy the file install again"
  else
    payload | gzip -t 2>/dev/null || fail integrity 4 "install is damaged" "$self" "sha256:$digest" \
      "bytes that gzip cannot read" "copy the file install again"
  fi
}

# Unpacks into the empty folder $1 and demands that the Python there starts.
unpack() {
  why=$( (payload | gzip -dc | tar -xf - -C "$1") 2>&1) || return 1
  "$1/python/bin/python3" -I -B -c 'import installer' >/dev/null 2>"$1/.trial" && rm -f "$1/.trial"
}

# Sets free and mount to the room there is at $1, in KiB, and where that disk is mounted; both empty where no df tells.
look_at_disk() {
  free=
  mount=
  command -v df >/dev/null 2>&1 || return 0
  # shellcheck disable=SC2046  # the words are what is wanted
  set -- $(df -Pk "$1" 2>/dev/null | tail -n 1)
  case ${4:-} in
    '' | *[!0-9]*) ;;
    *) free=$4 mount=${6:-} ;;
  esac
}

# Whether the installer's Python finds room at $1, as far as that can be told.
has_room() {
  look_at_disk "$1"
  [ -z "$free" ] || [ "$free" -ge "$unpacked" ]
}

# A number of KiB as MB.
megabytes() {
  echo "$((($1 * 1024 + 999999) / 1000000)) MB"
}

# Ends because the disk at $1 does not take the installer's Python; $2 is what to do, $why what tar said of it, if it
# was asked at all.
no_room() {
  clean_up
  look_at_disk "$1"
  said=$(printf '%s\n' "$why" | tail -n 1)
  fail failed 1 "the installer's Python finds no room" "$1" "$(megabytes "$unpacked") free on ${mount:-its disk}" \
    "${free:+$(megabytes "$free") free}${said:+${free:+; }$said}" "$2"
}

# Why unpack failed in the folder $1, told as an error; $2 is what to do where there is no room.
unpack_failed() {
  if [ -s "$1/.trial" ]; then
    why=$(tail -n 1 "$1/.trial")
    here=$(getconf GNU_LIBC_VERSION 2>/dev/null || echo 'an unknown C library')
    clean_up
    fail input 2 "the installer's Python does not start on this machine" "$1" "glibc $glibc or newer" \
      "$here: $why" "build the media set with --runtime catalogue, which runs with glibc 2.17"
  fi
  no_room "${1%/*}" "$2"
}

# Whether a program in the folder $1 can be started.
can_run() {
  printf '#!/bin/sh\nexit 0\n' >"$1/trial" && chmod 700 "$1/trial" && "$1/trial" 2>/dev/null
  ran=$?
  rm -f "$1/trial"
  return "$ran"
}

# Whether nobody but root and this user can put another folder in the place of one made in the folder $1.
is_safe() {
  who=$(ls -ldnL "$1/." 2>/dev/null) || return 1
  # The mode, the number of links, the owner, and the rest; the group too may only write where a sticky bit is.
  read -r mode _ owner _ <<WHO
$who
WHO
  case $owner in 0 | "$(id -u)") ;; *) return 1 ;; esac
  case $mode in
    ?????????[tT]*) return 0 ;;
    ?????w* | ????????w*) return 1 ;;
  esac
}

# Makes an empty folder that programs can be started from, and sets scratch to it.
make_scratch() {
  trap clean_up EXIT
  trap 'clean_up; exit 130' INT
  trap 'clean_up; exit 143' HUP TERM
  for parent in "${TMPDIR:-/tmp}" /tmp /var/tmp /run /dev/shm "${HOME:-/root}"; do
    { [ -d "$parent" ] && [ -w "$parent" ] && is_safe "$parent" && has_room "$parent"; } || continue
    scratch=$parent/airgap-bundle.$$
    # Not mktemp, which a minimal node may lack: mkdir fails on anything that is there, links included.
    (umask 077 && mkdir "$scratch") 2>/dev/null || { scratch= && continue; }
    can_run "$scratch" 2>/dev/null && return 0
    clean_up
  done
  fail failed 1 "no temporary folder to run from" "TMPDIR, /tmp, /var/tmp, /run, /dev/shm, HOME" \
    "a folder of root's or yours that only its owner can write, or a sticky one, not mounted noexec,
          with $(megabytes "$unpacked") free" "none" "set TMPDIR to such a folder"
}

# Reads only: unpack into a scratch folder, run, remove it, and pass the exit code on.
run_once() {
  make_scratch
  verify_payload
  unpack "$scratch" || unpack_failed "$scratch" "make room there, or set TMPDIR to another folder"
  "$scratch/python/bin/python3" -I -B -m installer.cli "$@"
  code=$?
  clean_up
  exit "$code"
}

# Removes what was unpacked by an install that was killed meanwhile: stages whose process is no more.
remove_left() {
  for left in "$runtime_root"/.[0-9a-f]*.[0-9]*; do
    [ ! -d "$left" ] || kill -0 "${left##*.}" 2>/dev/null || rm -rf "$left"
  done
}

# Demands a folder for the runtime that can be written and run from, with room, and makes it: stage.
make_stage() {
  above=$runtime_root
  while [ ! -d "$above" ]; do above=$(dirname -- "$above"); done
  has_room "$above" || no_room "$above" "make room there, and run the same command again"
  stage=$runtime_root/.$digest.$$
  scratch=$stage
  trap clean_up EXIT
  trap 'clean_up; exit 130' INT
  trap 'clean_up; exit 143' HUP TERM
  why=$(mkdir -p "$runtime_root" 2>&1 && mkdir "$stage" 2>&1) ||
    fail failed 1 "the installer's Python cannot be unpacked" "$runtime_root" "a folder that can be written" \
      "${why##*: }" "make room, or mount ${mount:-it} for writing"
  can_run "$stage" 2>/dev/null ||
    fail failed 1 "the installer's Python cannot be started there" "$runtime_root" \
      "a file system that programs can be started from" "${mount:-one} mounted noexec, or full" \
      "mount it without noexec, and run the same command again"
}

# Changes the node: the runtime stays, under its digest, and later runs use it again.
run_kept() {
  runtime=$runtime_root/$digest
  if ! is_kept; then
    verify_payload
    make_stage
    unpack "$stage" || unpack_failed "$stage" "make room there, and run the same command again"
    # On the disk before it gets its name, or a power cut could leave a runtime of empty files.
    sync -f "$stage" 2>/dev/null || sync
    # Another install may have been faster; its runtime is the same.
    [ -d "$runtime" ] || mv "$stage" "$runtime"
    clean_up
    trap - EXIT INT HUP TERM
  fi
  exec "$runtime/python/bin/python3" -I -B -m installer.cli "$@"
}

main() {
  case $#${1:-} in
    1--help | 1-h)
      printf '%s\n' "$help"
      exit 0
      ;;
  esac
  folder=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P) || exit 1
  self=$folder/$(basename -- "$0")
  AIRGAP_MEDIA=$folder
  export AIRGAP_MEDIA
  for program in tar gzip head tail; do
    command -v "$program" >/dev/null 2>&1 || fail input 2 "this machine lacks a program" "PATH $PATH" \
      "tar, gzip, head and tail" "no $program" "install $program from the operating system's own medium"
  done
  choose_payload
  AIRGAP_RUNTIME=$runtime_root/$digest
  AIRGAP_RUNTIME_KIB=$unpacked
  export AIRGAP_RUNTIME AIRGAP_RUNTIME_KIB
  # Without root nothing can be kept; the installer itself then says what it needs root for.
  # Where an earlier run has kept it, nothing is unpacked at all.
  if ! is_kept && { reads_only "$@" || [ "$(id -u)" != 0 ]; }; then
    run_once "$@"
  else
    reads_only "$@" || [ "$(id -u)" != 0 ] || remove_left
    run_kept "$@"
  fi
}

main "$@"
exit 1
