#!/usr/bin/env bash
# A process limit that is set before bubblewrap starts counts the processes of all sandboxes of the user, not of this sandbox.
#
# Expected: every script runs in its own sandbox with "ulimit -u 32", so a script that starts 8 processes has enough of them, whatever
#   the other sandboxes do.
# Happens: RLIMIT_NPROC counts the processes of the user in the user namespace where the limit was set. Set before bwrap, this is the
#   namespace outside, and all sandboxes of the user count, with the two processes of each bwrap. While another sandbox has 22 processes,
#   the shell of the second cannot fork. While it has 27, bwrap itself fails: "Creating new namespace failed: Resource temporarily
#   unavailable". Set by prlimit INSIDE of the sandbox, the limit counts the processes of this sandbox only (Linux 5.14 or newer).
# Where a service desk meets it: rules run scripts for tickets in sandboxes. In a quiet hour and in every test they work. When several
#   tickets arrive at once, scripts fail that did nothing wrong, and the message says nothing about the other sandboxes.
# What to do: start prlimit --nproc as the first program in the sandbox (bwrap ... prlimit --nproc=32 script), not before bwrap. Test it as
#   an ordinary user: no process limit applies to root, not even in the sandbox.
# Exit status: 0 if the behavior is as described, 1 if it changed or if user namespaces are not allowed, so that nothing can be shown.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The Debian package is extracted into the temporary folder. apt-get gets a cache there, and new package lists only if the lists of this
# machine are missing or old.
apt=(apt-get -q -o "Dir::Cache=$work/apt" -o "APT::Sandbox::User=")
new=(-o "Dir::State::Lists=$work/lists")
package=bubblewrap=0.8.0-2+deb12u1
mkdir -p "$work/apt/archives/partial" "$work/lists/partial" "$work/packages"
(
    cd "$work/packages"
    "${apt[@]}" download "$package" || { "${apt[@]}" "${new[@]}" update && "${apt[@]}" "${new[@]}" download "$package"; }
) >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
dpkg-deb -x "$work"/packages/bubblewrap_*.deb "$work/root"

# Every case runs in a user namespace of its own, so that other processes of the user do not count.
namespace=(unshare --user --map-current-user)
if [ "$(id -u)" = 0 ]; then
    # No process limit applies to root. The other user must be able to read the temporary folder.
    chmod 755 "$work" "$work/root" "$work/root/usr" "$work/root/usr/bin"
    namespace=(setpriv --reuid 65534 --regid 65534 --clear-groups "${namespace[@]}")
fi

cat > "$work/start" <<'SH'
# start COUNT SECONDS: starts processes, and says so when all have started.
i=0
while [ "$i" -lt "$1" ]; do
    sleep "$2" &
    i=$((i + 1))
done
echo "$1 processes started"
if [ "$2" -gt 5 ]; then wait; fi
SH
cat > "$work/case" <<'SH'
# case before|inside OTHER COUNT: starts COUNT processes in a sandbox with the limit 32, while another sandbox has OTHER processes.
cd "$(dirname "$0")"
sandbox=(root/usr/bin/bwrap --die-with-parent --unshare-user --unshare-pid --ro-bind / / --dev /dev)
echo "limit set $1, $2 processes in the other sandbox, $3 in this one"
if [ "$2" -gt 0 ]; then
    # This sandbox ends with the case, or after 20 seconds.
    exec 3< <(exec "${sandbox[@]}" sh start "$2" 20)
    other=$!
    read -r -u 3 || exit 1
fi
if [ "$1" = before ]; then
    (ulimit -u 32 && exec "${sandbox[@]}" sh start "$3" 5) 2>&1
else
    "${sandbox[@]}" prlimit --nproc=32 sh start "$3" 5 2>&1
fi | sed 's/^/  /'
echo "  result ${PIPESTATUS[0]}"
if [ "$2" -gt 0 ]; then
    kill "$other"
    wait "$other" || true
fi
SH
if ! LC_ALL=C "${namespace[@]}" bash "$work/case" inside 0 1 > "$work/log" 2>&1 || ! grep -q "result 0" "$work/log"; then
    echo "skipped all cases: a sandbox cannot start here. User namespaces may not be allowed:" >&2
    cat "$work/log" >&2
    exit 1
fi
{
    "$work/root/usr/bin/bwrap" --version
    for arguments in "before 0 8" "before 22 8" "before 27 8" "inside 22 8" "inside 27 8" "inside 27 40"; do
        # shellcheck disable=SC2086 # three arguments
        LC_ALL=C "${namespace[@]}" bash "$work/case" $arguments
    done
} | tee "$work/seen"

cat > "$work/expected" <<'OUT'
bubblewrap 0.8.0
limit set before, 0 processes in the other sandbox, 8 in this one
  8 processes started
  result 0
limit set before, 22 processes in the other sandbox, 8 in this one
  start: 0: Cannot fork
  result 2
limit set before, 27 processes in the other sandbox, 8 in this one
  bwrap: Creating new namespace failed: Resource temporarily unavailable
  result 1
limit set inside, 22 processes in the other sandbox, 8 in this one
  8 processes started
  result 0
limit set inside, 27 processes in the other sandbox, 8 in this one
  8 processes started
  result 0
limit set inside, 27 processes in the other sandbox, 40 in this one
  start: 0: Cannot fork
  result 2
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
