#!/bin/sh
# Ready means: every declared queue and every binding is there, so no device is let in whose message would reach no queue.
# Alarms (memory, disk) are not asked: they stop publishers by themselves, and readers must get in to drain the queues.
# $1: how many members there are.
imported=/tmp/imported
# The kubelet puts another folder in the place of this one when the Secret has changed: one that is read from is whole.
said=$(readlink -f /run/secrets/mqtt/..data)
same() { [ "$(cat "$said/$1")" = "$(cat "$imported/$1" 2>/dev/null)" ]; }

# A rotation renews the Secret while the server runs. Until the new users are imported the server is asked as the one before. One step
# each time: rabbitmqctl takes a second to start, and ten on a machine that has much to do. (-f: files of a Secret are read-only.)
if ! same definitions.json; then
    echo "other definitions are said: importing them"
    rabbitmqctl --quiet import_definitions "$said/definitions.json" </dev/null &&
        cp -f "$said/probe" "$said/members" "$said/definitions.json" $imported/
elif ! same revoked; then
    # A device may be called so: the stack's own users carry its tag. Whoever is logged in as one that is deleted is cut off.
    names=$(sed 's/.*/<<"&">>/' "$said/revoked" | paste -sd, -)
    found="Name <- [$names], {ok, User} <- [rabbit_auth_backend_internal:lookup_user(Name)]"
    ours="$found, lists:member(stack, internal_user:get_tags(User))"
    echo "users are revoked: deleting them"
    rabbitmqctl --quiet eval "[rabbit_auth_backend_internal:delete_user(Name, <<\"rotation\">>) || $ours]." </dev/null >/dev/null &&
        cp -f "$said/revoked" $imported/
fi

curl --config $imported/probe && exit 0

# Something declared is missing although all members are there: a session expired, or somebody deleted it. Declare it again.
joined=$(curl --config $imported/members | grep -o '"name"' | wc -l)
if [ "$joined" -ge "$1" ]; then
    echo "a declared queue or binding is missing: importing the definitions again"
    rabbitmqctl --quiet import_definitions "$said/definitions.json" && exec curl --config $imported/probe
fi
exit 1
