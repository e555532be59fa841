#!/bin/sh
# Two Spring Boot applications with Spring Cloud's published Consul client, unchanged, that find each other and are
# configured from keys: run.sh URL. Maven installs into its usual folder.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=${WORK:-$(mktemp -d)}
mkdir -p "$work/src/main/java/demo"
cp "$here/pom.xml" "$work/"
cp "$here/Demo.java" "$work/src/main/java/demo/"
cd "$work"
mvn -q -B compile dependency:build-classpath -Dmdep.outputFile=classpath.txt
java -cp "target/classes:$(cat classpath.txt)" demo.Demo "$1"
