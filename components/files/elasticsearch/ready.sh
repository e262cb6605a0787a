#!/bin/sh
# Ready means joined, and after a start also recovered: a rolling update goes on to the next node only then. It fails while there is
# no elected master.
health=$(curl --config /run/secrets/elasticsearch/probe "https://localhost:9200/_cluster/health?timeout=2s") || exit 1
[ -e /tmp/recovered ] && exit 0
case $health in
*'"status":"green"'*) ;;
*)
    # Not green for good where an index wants more copies than there are nodes: then it is enough that nothing is on its way, or about
    # to be. A node that has just joined is first asked which copies it has (in flight), and only then do they start (initializing).
    for what in initializing_shards delayed_unassigned_shards number_of_in_flight_fetch number_of_pending_tasks; do
        case $health in *"\"$what\":0,"*) ;; *) exit 1 ;; esac
    done
    ;;
esac
touch /tmp/recovered
