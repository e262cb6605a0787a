#!/bin/sh
# Ready means joined, and after a start also recovered: nothing of the node's is on its way any more. It fails while there is no elected master.
health=$(curl --config /run/secrets/elasticsearch/probe "https://localhost:9200/_cluster/health?timeout=2s") || exit 1
[ -e /tmp/recovered ] && exit 0
case $health in
*'"status":"green"'*) ;;
*)
    # Yellow for good where an index wants more copies than there are nodes.
    for what in initializing_shards relocating_shards delayed_unassigned_shards; do
        case $health in *"\"$what\":0,"*) ;; *) exit 1 ;; esac
    done
    ;;
esac
touch /tmp/recovered
