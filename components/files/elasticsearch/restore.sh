#!/bin/sh
# Brings indices back from a snapshot. `restore.sh --help` says how.
set -u
server=https://localhost:9200
repository=$server/_snapshot/switchyard
usage() {
    cat <<'TEXT'
restore.sh                           list the snapshots, the newest last
restore.sh SNAPSHOT                  list the indices in one; `latest` is the newest that is whole
restore.sh SNAPSHOT INDEX            bring INDEX back; events-* for several. Asks before it writes over one that is there
restore.sh SNAPSHOT INDEX --as NAME  bring INDEX back under another name, beside the one that is there
  --yes                              write over what is there without asking

Exit codes: 0 done; 1 failed midway, and the text says what to do; 2 nothing was changed
TEXT
}
ask() { curl --config /run/secrets/elasticsearch/operator --header 'Content-Type: application/json' "$@"; }
refuse() {
    echo "restore: $1" >&2
    exit 2
}
plain() {
    case $2 in '' | -* | *[!A-Za-z0-9._*-]*) refuse "$1 '$2': expected a name such as events-2026.11.22" ;; esac
}
# The indices that match $1, one a line. A pattern never fails, a plain name that is missing would.
existing() {
    found=$(ask "$server/_cat/indices/$1*?h=index&expand_wildcards=all") || refuse "Elasticsearch does not answer: $found"
    for one in $found; do
        # shellcheck disable=SC2254 # a pattern is wanted
        case $one in $1) echo "$one" ;; esac
    done
}

snapshot='' index='' name='' yes=''
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) usage && exit 0 ;;
    --yes) yes=1 ;;
    --as) [ $# -gt 1 ] || refuse "--as: expected a name after it"; name=$2; plain --as "$name"; shift ;;
    -*) refuse "$1: no such option; --help lists them" ;;
    *) if [ -z "$snapshot" ]; then snapshot=$1; plain SNAPSHOT "$1"; elif [ -z "$index" ]; then index=$1; plain INDEX "$1"; else
        refuse "$1: expected one INDEX; quote a pattern ('events-*')"; fi ;;
    esac
    shift
done

[ -f /etc/elasticsearch/repository.json ] || refuse "this stack takes no snapshots: elasticsearch.snapshots says where to"
# A new cluster does not know the repository yet.
said=$(ask --request PUT --data @/etc/elasticsearch/repository.json "$repository") || refuse "the repository can not be read: $said"
list=$(ask "$server/_cat/snapshots/switchyard?h=id,status,end_time,indices") || refuse "the snapshots can not be listed: $list"
list=$(echo "$list" | sort)
if [ -z "$snapshot" ]; then
    echo "$list"
    exit 0
fi
[ "$snapshot" != latest ] || snapshot=$(echo "$list" | sed -n 's/^\([^ ]*\)  *SUCCESS .*/\1/p' | tail -n 1)
[ -n "$snapshot" ] || refuse "there is no snapshot that is whole"
inside=$(ask "$repository/$snapshot?filter_path=snapshots.indices") || refuse "snapshot $snapshot: there is none of that name. There are:
$list"
inside=$(echo "$inside" | tr ',' '\n' | sed -n 's/.*"\([^"]*\)"[]}]*$/\1/p' | sort)
if [ -z "$index" ]; then
    echo "$inside"
    exit 0
fi
wanted=$(for one in $inside; do
    # shellcheck disable=SC2254 # a pattern is wanted
    case $one in $index) echo "$one" ;; esac
done)
[ -n "$wanted" ] || refuse "$index: snapshot $snapshot has no such index; \`restore.sh $snapshot\` lists what it has"
count=$(echo "$wanted" | wc -l)
[ -z "$name" ] || [ "$count" -eq 1 ] || refuse "--as $name: $index means $count indices; expected one"

there=''
for one in ${name:-$wanted}; do
    more=$(existing "$one") || exit 2
    there="$there $more"
done
there=$(echo $there)
if [ -n "$there" ]; then
    echo "These are there, and what $snapshot has would be written over them:"
    ask "$server/_cat/indices/$(echo "$there" | tr ' ' ',')?v&h=index,status,docs.count,store.size&expand_wildcards=all"
    if [ -z "$yes" ]; then
        printf 'Type yes to lose what is in them now: '
        read -r answer || { answer=''; echo; }
        [ "$answer" = yes ] || refuse "nothing was changed; \`--as NAME\` brings one index back beside the other, --yes does not ask"
    fi
    closed=$(echo "$there" | tr ' ' ',')
    said=$(ask --request POST "$server/$closed/_close") || refuse "closing $closed: $said"
fi

chosen=$(echo $wanted | tr ' ' ',')
rename=''
[ -z "$name" ] || rename=", \"include_aliases\": false, \"rename_pattern\": \".+\", \"rename_replacement\": \"$name\""
echo "restoring $chosen from $snapshot${name:+ as $name}" >&2
if said=$(ask --request POST --data "{\"indices\": \"$chosen\", \"include_global_state\": false, \"feature_states\": [\"none\"]$rename}" \
    "$repository/$snapshot/_restore?wait_for_completion=true"); then
    case $said in *'"failed":0'*) failed='' ;; *) failed=1 ;; esac
else
    failed=1
fi
if [ -n "$failed" ]; then
    echo "restore: $said" >&2
    [ -z "$there" ] || echo "restore: what was there is closed; as far as it is not restored it opens again with POST $closed/_open" >&2
    exit 1
fi
ask "$server/_cat/indices/${name:-$chosen}?v&h=index,health,docs.count,store.size&expand_wildcards=all"
