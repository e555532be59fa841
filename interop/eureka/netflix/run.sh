set -eu
cp "$1/pom.xml" .
mkdir -p src/main/java
cp "$1/Client.java" src/main/java/
mvn -q -B compile dependency:build-classpath -Dmdep.outputFile=classpath.txt
java -Deureka.validateInstanceId=false -cp "target/classes:$(cat classpath.txt)" Client "$EUREKA_URL"
