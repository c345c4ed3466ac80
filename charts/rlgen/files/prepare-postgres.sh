#!/bin/sh
# Make the database cluster when there is none, and give the role the password of the Secret. Safe to run again.
set -eu
data=/data/postgres
if [ ! -e "$data" ]; then
    rm -rf "$data.new" # of an attempt that was cut short
    initdb --pgdata="$data.new" --username=mlflow --pwfile=/secret/password --auth-local=trust \
        --auth-host=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8
    echo 'host all all all scram-sha-256' >>"$data.new/pg_hba.conf"
    echo 'CREATE DATABASE mlflow;' | postgres --single -D "$data.new" postgres
    mv "$data.new" "$data"
fi
chmod 0700 "$data" # or the server refuses it, where the volume's group was set anew
rm -f "$data/postmaster.pid" # of a server that was killed: the volume is mounted here only
echo "ALTER ROLE mlflow PASSWORD '$(cat /secret/password)';" | postgres --single -D "$data" postgres
