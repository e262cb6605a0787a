#!/bin/sh
# Before SIGTERM: wait, for a minute at most, until every queue has a majority without this member; then send clients to the others.
timeout 60 rabbitmq-upgrade await_online_quorum_plus_one -t 55
timeout 20 rabbitmq-upgrade drain
exit 0
