#!/bin/sh
# Only a server that takes commands is ready. Each time it reads its accounts again, which cuts nobody off: after a rotation the kubelet
# has put other ones there, and the server still knows the one before of the probe's own passwords.
for password in /etc/valkey/secret/keeper-*; do
    export REDISCLI_AUTH="$(cat "$password")"
    [ "$(timeout 2 valkey-cli --user keeper --no-auth-warning ping 2>&1)" = PONG ] || continue
    [ "$(timeout 2 valkey-cli --user keeper --no-auth-warning acl load 2>&1)" = OK ] && exit 0
done
exit 1
