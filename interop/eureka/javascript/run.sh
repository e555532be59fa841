set -eu
if [ ! -f package/installed ]; then
    rm -rf package
    npm pack --silent eureka-js-client@4.5.0 >/dev/null 2>&1
    tar xzf eureka-js-client-4.5.0.tgz
    cd package
    # The package has its tests and its compiled code, but not the sources that the tests name.
    ln -s lib src
    printf '{"presets": [["@babel/preset-env", {"targets": {"node": "current"}}]]}' >.babelrc
    npm install --silent --no-audit --no-fund --no-save --ignore-scripts --omit=dev >/dev/null
    npm install --silent --no-audit --no-fund --no-save --ignore-scripts mocha@10 chai@4 sinon@1 sinon-chai@2 \
        @babel/core@7 @babel/register@7 @babel/preset-env@7 >/dev/null
    touch installed
    cd ..
fi
cd package
EUREKA_URL="$EUREKA_URL" npx mocha --exit --timeout 20000 -r @babel/register -r "$1/port.js" test/integration.test.js
cp "$1/client.test.js" test/portolan.test.js
npx mocha --exit --timeout 20000 -r @babel/register test/portolan.test.js
