#!/bin/sh
# All configuration is read from one folder, and the server writes there too: its keystore.
set -eu
umask 077
home=/usr/share/elasticsearch
# /tmp outlives a container that was killed, and this start has yet to recover.
rm -f /tmp/recovered
cp -f /etc/elasticsearch/* /run/secrets/elasticsearch/* /run/secrets/elasticsearch-tls/* "$home/config/"
cd "$home"
# What the server reads from its keystore alone: the bucket's keys. Made anew at each start; its password would lie beside it.
rm -f config/elasticsearch.keystore
for file in /run/secrets/elasticsearch-keystore/*; do
    [ -f "$file" ] || continue
    [ -f config/elasticsearch.keystore ] || bin/elasticsearch-keystore create --silent
    bin/elasticsearch-keystore add --silent --force --stdin "${file##*/}" <"$file"
done
# Only nodes that were never in a cluster may form one: said again later, it could make a second one beside the first.
first=
if [ -n "$FIRST_MEMBERS" ] && [ ! -d data/_state ]; then
    first="-Ecluster.initial_master_nodes=$FIRST_MEMBERS"
fi
exec bin/elasticsearch $first
