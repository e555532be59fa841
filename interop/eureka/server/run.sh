#!/usr/bin/env bash
# Netflix's server, as Spring ships it, in the role of the registry that a team leaves:
#
#   interop/eureka/server/run.sh
#
# starts it on loopback, registers with it, imports from it by `portolan registry import eureka`, and compares; PORTOLAN
# and PORTOLAN_DATA name the binary and the running Portolan, EUREKA_URL its Eureka dialect. Works in $WORK.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cd "$WORK"
cp "$here/pom.xml" .
mkdir -p src/main/java/server
cp "$here/Server.java" src/main/java/server/
[[ -s classpath.txt && -d target/classes ]] ||
    mvn -q -B compile dependency:build-classpath -Dmdep.outputFile=classpath.txt
started=()
trap 'for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done; wait' EXIT
: >server.log
java -Xmx256m -XX:TieredStopAtLevel=1 -cp "target/classes:$(cat classpath.txt)" server.Server \
    --server.address=127.0.0.1 --server.port=0 --spring.main.banner-mode=off \
    --eureka.client.register-with-eureka=false --eureka.client.fetch-registry=false \
    --eureka.server.wait-time-in-ms-when-sync-empty=0 --eureka.server.use-read-only-response-cache=false \
    >server.log 2>&1 &
started+=($!)
port=
for _ in $(seq 240); do
    port="$(sed -n 's/.*Tomcat started on port \([0-9]*\).*/\1/p' server.log)"
    [[ -z "$port" ]] || break
    sleep 0.5
done
[[ -n "$port" ]] || { cat server.log >&2; exit 1; }
python3 "$here/compare.py" "http://127.0.0.1:$port/eureka" "$EUREKA_URL" "$PORTOLAN" "$PORTOLAN_DATA"
