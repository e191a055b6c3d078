#!/bin/sh
# Installs nats-server and redis-server, which tests start for themselves, where they are missing. Silent when they are there.
# Plain sh, since it runs before `npm ci`.
set -eu

# Debian puts nats-server where only root's PATH leads.
PATH="$PATH:/usr/local/sbin:/usr/sbin:/opt/homebrew/bin"

missing=''
for program in nats-server redis-server; do
  command -v "$program" >/dev/null 2>&1 || missing="$missing $program"
done
[ -n "$missing" ] || exit 0

say_how() {
  echo "These servers are missing and could not be installed:$missing" >&2
  echo 'Get nats-server 2.9 or newer from https://github.com/nats-io/nats-server/releases and Redis 7 or newer from' >&2
  echo 'https://redis.io/download, and put nats-server and redis-server into a folder of PATH.' >&2
  exit 1
}

# Only the programs are wanted: a policy of 101 keeps apt from starting them as services of the system.
with_apt='
set -eu
export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap "rm -f $policy" EXIT
  printf "#!/bin/sh\nexit 101\n" >"$policy"
  chmod 755 "$policy"
fi
apt-get update
apt-get install -y --no-install-recommends "$@"
'

echo "Installing$missing" >&2
# shellcheck disable=SC2086 # the names are words
if command -v apt-get >/dev/null 2>&1; then
  if [ "$(id -u)" -eq 0 ]; then
    sh -c "$with_apt" sh $missing >&2 || say_how
  elif command -v sudo >/dev/null 2>&1; then
    sudo sh -c "$with_apt" sh $missing >&2 || say_how
  else
    say_how
  fi
elif command -v brew >/dev/null 2>&1; then
  for program in $missing; do
    [ "$program" = redis-server ] && formula=redis || formula=$program
    brew install "$formula" >&2 || say_how
  done
else
  say_how
fi

for program in $missing; do
  command -v "$program" >/dev/null 2>&1 || say_how
done
