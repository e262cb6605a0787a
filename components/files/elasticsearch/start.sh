#!/bin/sh
# All configuration is read from one folder, and the server writes there too: its keystore.
set -eu
umask 077
home=/usr/share/elasticsearch
cp -f /etc/elasticsearch/* /run/secrets/elasticsearch/* /run/secrets/elasticsearch-tls/* "$home/config/"
# Only nodes that were never in a cluster may form one: said again later, it could make a second one beside the first.
first=
if [ -n "$FIRST_MEMBERS" ] && [ ! -d "$home/data/_state" ]; then
    first="-Ecluster.initial_master_nodes=$FIRST_MEMBERS"
fi
cd "$home"
exec bin/elasticsearch $first
