#!/bin/sh
# Make the database in PGDATA if there is none, then become the server. Runs as any user that owns PGDATA.
set -eu
if [ "$1" != postgres ]; then
    exec "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    : "${POSTGRES_PASSWORD:?not set; expected the password of the database user}"
    user=${POSTGRES_USER:-postgres}
    database=${POSTGRES_DB:-$user}
    # Made beside PGDATA and moved there when whole: a pod killed in between leaves no half database.
    making=$PGDATA.making
    rm -rf "$making"
    mkdir -p "$making"
    chmod 0700 "$making"
    password=$(mktemp)
    printf '%s\n' "$POSTGRES_PASSWORD" > "$password"
    initdb --pgdata="$making" --username="$user" --pwfile="$password" --auth-local=trust --auth-host=scram-sha-256 \
        --encoding=UTF8 --locale=C.UTF-8 --data-checksums
    rm "$password"
    echo 'host all all all scram-sha-256' >> "$making/pg_hba.conf"
    if [ "$database" != postgres ]; then
        echo "CREATE DATABASE \"$database\"" | postgres --single -D "$making" postgres > /dev/null
    fi
    mv "$making" "$PGDATA"
fi
# Sockets go to /tmp: the root file system is read-only.
exec "$@" -D "$PGDATA" -c listen_addresses='*' -c unix_socket_directories=/tmp
