set -eu
cp "$1/pom.xml" .
mkdir -p src/main/java/demo
cp "$1/Demo.java" src/main/java/demo/
mvn -q -B compile dependency:build-classpath -Dmdep.outputFile=classpath.txt
java -cp "target/classes:$(cat classpath.txt)" demo.Demo "$EUREKA_URL"
