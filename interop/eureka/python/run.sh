set -eu
[ -x env/bin/pip ] || python3 -m venv env
env/bin/pip install --quiet py-eureka-client==0.13.3
env/bin/python "$1/client.py" "$EUREKA_URL"
