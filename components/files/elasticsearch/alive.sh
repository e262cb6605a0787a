#!/bin/sh
# Any answer will do, also a refusal: a node that waits for the others must not be killed for it.
exec curl --silent --max-time 4 --output /dev/null --cacert /run/secrets/elasticsearch-tls/ca.crt https://localhost:9200/
