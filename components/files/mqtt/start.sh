#!/bin/sh
# Erlang takes the cookie only from a file of its own user that nobody else may read; a Secret's files are root's.
set -eu
umask 077
cp -f /run/secrets/mqtt/cookie "$HOME/.erlang.cookie"
chmod 0400 "$HOME/.erlang.cookie"
# What ready.sh compares with: the server itself imports the definitions at its start, and deletes nobody.
rm -rf /tmp/imported
mkdir -p /tmp/imported /tmp/modules
cp -f /run/secrets/mqtt/definitions.json /run/secrets/mqtt/probe /run/secrets/mqtt/members /tmp/imported/
# The backend of ours is text, because its compiled form depends on the version of Erlang.
erlc -o /tmp/modules /etc/rabbitmq/switchyard_client_ids.erl >/dev/null
umask 027
export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="${RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS:-} -pa /tmp/modules"
exec rabbitmq-server
