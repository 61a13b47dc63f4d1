#!/bin/bash
# Run once, when the data directory is made: freshet's database, owned by a role that may do nothing else,
# and a role that may look at statistics and at no row.
set -euo pipefail

psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres <<'SQL'
\set freshet `cat /secrets/freshet-password`
\set monitor `cat /secrets/monitor-password`
CREATE ROLE freshet LOGIN PASSWORD :'freshet';
CREATE DATABASE freshet OWNER freshet;
REVOKE ALL ON DATABASE freshet FROM PUBLIC;
CREATE ROLE monitor LOGIN PASSWORD :'monitor' IN ROLE pg_monitor;
GRANT CONNECT ON DATABASE freshet TO monitor;
SQL
