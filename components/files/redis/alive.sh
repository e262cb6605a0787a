#!/bin/sh
# Any answer will do, also LOADING: a server that reads a long file must not be killed for it. Two refusals mean that it knows neither
# generation of passwords, because one was left out: started again it reads them.
for password in /etc/valkey/secret/keeper-*; do
    said=$(REDISCLI_AUTH=$(cat "$password") timeout 2 valkey-cli --user keeper --no-auth-warning ping 2>&1) || exit 1
    case $said in *WRONGPASS*) ;; *) exit 0 ;; esac
done
exit 1
