#!/bin/sh
# Only a server that takes commands is ready.
[ "$(REDISCLI_AUTH=$(cat /etc/valkey/secret/password) timeout 4 valkey-cli ping)" = PONG ]
