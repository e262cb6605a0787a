#!/bin/sh
# Erlang takes the cookie only from a file of its own user that nobody else may read; a Secret's files are root's.
set -eu
umask 077
cp -f /run/secrets/mqtt/cookie "$HOME/.erlang.cookie"
chmod 0400 "$HOME/.erlang.cookie"
umask 027
exec rabbitmq-server
