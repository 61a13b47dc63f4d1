#!/bin/sh
# Makes the stack's passwords, each once, in volumes that only those who need them mount; and brings the
# credentials for Reddit from .env to where freshet reads them. None stands in the definition of a container,
# where anybody who may inspect it would read it.
set -eu

# Files are made whole or not at all: whoever finds one may rely on it.
put() { # FILE, its text from standard input
  cat > "$1.new"
  chmod 0444 "$1.new"
  mv "$1.new" "$1"
}

# Letters and digits only, so that it needs no escaping anywhere.
password() { # FILE
  [ -s "$1" ] || od -An -N24 -tx1 /dev/urandom | tr -d ' \n' | put "$1"
  cat "$1"
}

cd /secrets

password postgres/superuser-password > /dev/null
freshet=$(password postgres/freshet-password)
monitor=$(password postgres/monitor-password)
redis=$(password redis/password)
password grafana/admin-password > /dev/null
password grafana/secret-key > /dev/null

printf 'requirepass %s\n' "$redis" | put redis/password.conf
printf '{"redis://redis:6379": "%s"}\n' "$redis" | put redis-exporter/passwords.json
printf '%s' "$monitor" | put postgres-exporter/password
printf 'postgres://freshet:%s@postgres:5432/freshet?sslmode=disable' "$freshet" | put freshet/database-url
printf 'redis://:%s@redis:6379' "$redis" | put freshet/queue-url

for name in client-id client-secret password; do
  from=/run/secrets/reddit-$name
  if [ -s "$from" ]; then put "freshet/reddit-$name" < "$from"; else : | put "freshet/reddit-$name"; fi
done

echo "The secrets are in place."
