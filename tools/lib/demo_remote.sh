#!/usr/bin/env bash
# The part of tools/demo --remote that runs once lpbench is built: a NATS server and two nodes on loopback, lpbench files
# on them, and one node killed in the middle. All of it ends with this script, however that ends.
# usage: tools/lib/demo_remote.sh LPBENCH DIRECTORY
set -euo pipefail
[[ $# -eq 2 ]] || { echo "usage: ${0##*/} LPBENCH DIRECTORY" >&2; exit 2; }
lpbench=$1 directory=$2
PATH=$PATH:/usr/sbin:/usr/local/bin
command -v nats-server >/dev/null || { echo "demo: there is no nats-server: install Debian's nats-server" >&2; exit 1; }

say() { printf '\n== %s\n' "$*"; }
scratch=$(mktemp -d)
started=()
end_all() {
  trap '' INT TERM
  [[ ${#started[@]} -eq 0 ]] || kill -KILL "${started[@]}" 2>/dev/null || true
  rm -rf "$scratch"
}
trap end_all EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# start COMMAND...: beside this script; the kernel kills it should this script be killed.
start() {
  setpriv --pdeathsig KILL -- "$@" </dev/null &
  started+=($!)
}

# wait_for FILE PROCESS: until there is something in the file; fails with the process.
wait_for() {
  until [[ -s $1 ]]; do
    kill -0 "$2" 2>/dev/null || { echo "demo: it did not start" >&2; exit 1; }
    sleep 0.02
  done
}

say "A NATS server on loopback"
printf 'listen: "127.0.0.1:-1"\nports_file_dir: "%s"\n' "$scratch" >"$scratch/nats.conf"
start nats-server -c "$scratch/nats.conf" -l "$scratch/nats.log"
disown  # no word of the shell's when it is killed
server=${started[-1]}
wait_for "$scratch/nats-server_$server.ports" "$server"
url=$(grep -o 'nats://[^"]*' "$scratch/nats-server_$server.ports" | head -n 1)
echo "process $server: $url"

say "Two nodes, each of which lends one pool of two worker processes"
for node in 1 2; do
  start "$lpbench" node --servers "$url" --pools 1 --workers 2 >"$scratch/node$node"
  disown
  wait_for "$scratch/node$node" "${started[-1]}"
  echo "process ${started[-1]}: $(<"$scratch/node$node")"
done
victim=${started[-1]}

say "lpbench files, which kills the second node in the middle of the run on nodes"
start "$lpbench" files "$directory" --workers 2 --servers "$url" --pools 2 --kill-node "$victim"
result=0
wait "${started[-1]}" || result=$?
unset 'started[-1]'

if kill -0 "$victim" 2>/dev/null; then
  say "NOT OK: the node of process $victim is still there"
  exit 1
fi
say "The node of process $victim is gone; the other one and the server end with this script."
exit "$result"
