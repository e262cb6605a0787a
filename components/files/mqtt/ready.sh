#!/bin/sh
# Ready means: every declared queue and every binding is there, so no device is let in whose message would reach no queue.
# Alarms (memory, disk) are not asked: they stop publishers by themselves, and readers must get in to drain the queues.
probe=/run/secrets/mqtt/probe
curl --config "$probe" && exit 0

# Something declared is missing although all members are there: a session expired, or somebody deleted it. Declare it again.
joined=$(curl --config /run/secrets/mqtt/members | grep -o '"name"' | wc -l)
if [ "$joined" -ge "$1" ]; then
    echo "a declared queue or binding is missing: importing the definitions again"
    rabbitmqctl --quiet import_definitions /run/secrets/mqtt/definitions.json && exec curl --config "$probe"
fi
exit 1
