#!/bin/sh
# Takes a snapshot of all indices, and deletes those beyond the newest $KEEP that are whole. Snapshots of another name are left alone.
set -eu
ask() { curl --config /run/secrets/elasticsearch/login --header 'Content-Type: application/json' "$@"; }
server=https://elasticsearch:9200
repository=$server/_snapshot/switchyard
ask --request PUT --data @/etc/elasticsearch/repository.json "$repository" >/dev/null
name=scheduled-$(date -u +%Y.%m.%d-%H.%M.%S)
ask --request PUT --data '{"indices": "*", "include_global_state": true, "feature_states": ["none"]}' "$repository/$name" >/dev/null
echo "$name: started"
while :; do
    # By itself: a pipe would hide that the server did not answer, or refused.
    list=$(ask "$server/_cat/snapshots/switchyard?h=id,status")
    state=$(echo "$list" | sed -n "s/^$name  *\([A-Z_]*\).*/\1/p")
    case $state in IN_PROGRESS | '') sleep 2 ;; *) break ;; esac
done
echo "$name: $state"

# Names sort by time, so the newest come first.
list=$(echo "$list" | sort -r)
whole=0
while read -r id status; do
    case $id in scheduled-*) ;; *) continue ;; esac
    case $status in
    IN_PROGRESS) continue ;;
    SUCCESS) whole=$((whole + 1)) && [ "$whole" -le "$KEEP" ] && continue ;;
    # What failed is looked into until a later one is whole.
    *) [ "$whole" -eq 0 ] && continue ;;
    esac
    ask --request DELETE "$repository/$id" >/dev/null
    echo "$id: deleted"
done <<LIST
$list
LIST
[ "$state" = SUCCESS ]
