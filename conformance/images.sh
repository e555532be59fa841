#!/usr/bin/env bash
# Builds the images that the end-to-end tests name, from published Go modules and distribution
# packages, and gives them to this machine's Portolan. No registry is asked.
#
#   conformance/images.sh [PORTOLAN [IMAGE...]]
#
# PORTOLAN is the binary [default: portolan]; IMAGE chooses some of agnhost, busybox, nonewprivs, pause, nginx,
# pets, etcd and sample [default: all]. PORTOLAN_DATA_DIR is the folder of a cluster that is not the usual one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

portolan=${1:-portolan}
(($# < 2)) && wanted=(agnhost busybox nonewprivs pause nginx pets etcd sample) || wanted=("${@:2}")
version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
sources=$(go list -m -f '{{.Dir}}' k8s.io/kubernetes)
registry=registry.k8s.io/e2e-test-images
built=${XDG_CACHE_HOME:-$HOME/.cache}/portolan-conformance/$version
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

missing=()
for pair in curl:curl dig:bind9-dnsutils etcd:etcd-server ip:iproute2 nc.openbsd:netcat-openbsd nginx:nginx-light; do
    [[ -n $(PATH=$PATH:/bin:/usr/sbin type -P "${pair%%:*}") ]] || missing+=("${pair##*:}")
done
[[ -e /bin/busybox ]] || missing+=(busybox-static)
if ((${#missing[@]})); then
    echo "installing ${missing[*]}" >&2
    # In runlevel 1 what is installed does not start its services.
    RUNLEVEL=1 apt-get install -y -q --no-install-recommends "${missing[@]}" >&2
fi

# The programs of the tests, linked statically.
mkdir -p "$built"
export CGO_ENABLED=0
[[ -x $built/agnhost ]] || go build -o "$built/agnhost" k8s.io/kubernetes/test/images/agnhost

# Copies programs of this machine with the libraries that they load.
programs() { # ROOT PROGRAM...
    local root=$1 program file
    shift
    for program; do
        program=$(PATH=$PATH:/bin:/usr/sbin type -P "$program")
        for file in "$program" $(ldd "$program" 2>/dev/null | grep -o '/[^ ]*'); do
            install -D "$(realpath "$file")" "$root$file"
        done
    done
}

# A root with a shell and the usual small tools.
base() { # ROOT
    mkdir -p "$1"/{bin,etc,tmp,root,var,usr/bin,usr/sbin,usr/local/bin}
    chmod 1777 "$1/tmp"
    cp /bin/busybox "$1/bin/busybox"
    local applet
    for applet in $(/bin/busybox --list); do
        [[ -e $1/bin/$applet ]] || ln -s busybox "$1/bin/$applet"
    done
    # The shell of busybox drops variables whose names it could not set itself, such as `data-1`.
    programs "$1" bash
    ln -sf "$(type -P bash)" "$1/bin/sh"
    printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\nuser-defined-in-image:x:1000:1000::/:/bin/sh\n' >"$1/etc/passwd"
    printf 'root:x:0:\nnogroup:x:65534:\nuser-defined-in-image:x:1000:\ngroup-defined-in-image:x:50000:user-defined-in-image\n' >"$1/etc/group"
    printf 'hosts: files dns\n' >"$1/etc/nsswitch.conf"
}

image() { # NAME CONTEXT < DOCKERFILE
    cat >"$2.Dockerfile"
    "$portolan" image build -t "$1" -f "$2.Dockerfile" "$2"
}

build_agnhost() {
    local agnhost=$work/agnhost
    base "$agnhost"
    programs "$agnhost" curl dig getent nc.openbsd ip ss
    local module tag libraries=/lib/$(uname -m)-linux-gnu
    for module in libnss_dns.so.2 libnss_files.so.2 libresolv.so.2; do
        install -D "$(realpath "$libraries/$module")" "$agnhost$libraries/$module"
    done
    ln -sf /usr/bin/nc.openbsd "$agnhost/bin/nc"
    [[ -e $agnhost/usr/bin/nc.openbsd ]] || ln -sf /bin/nc.openbsd "$agnhost/bin/nc"
    cp "$built/agnhost" "$agnhost/agnhost"
    ln -s agnhost "$agnhost/agnhost-2"
    cp "$sources"/test/images/agnhost/porter/localhost.{crt,key} "$agnhost/"
    mkdir -p "$agnhost/uploads"
    for tag in 2.63.0 2.55; do
        image "$registry/agnhost:$tag" "$agnhost" <<-'DOCKERFILE'
			FROM scratch
			COPY . /
			ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
			EXPOSE 80 8080 8081 9376 5000
			ENTRYPOINT ["/agnhost"]
			CMD ["pause"]
		DOCKERFILE
    done
    image "$registry/glibc-dns-testing:2.0.0" "$agnhost" <<-'DOCKERFILE'
		FROM scratch
		COPY . /
		ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
		CMD ["/bin/sh"]
	DOCKERFILE
}

build_pets() {
    local pet
    for pet in kitten nautilus; do
        mkdir -p "$work/$pet"
        cp "$built/agnhost" "$work/$pet/agnhost"
        cp "$sources/test/images/$pet/html/"* "$work/$pet/"
        chmod -R u+w "$work/$pet"
        image "$registry/$pet:1.8" "$work/$pet" <<-'DOCKERFILE'
			FROM scratch
			COPY . /
			WORKDIR /
			ENTRYPOINT ["/agnhost"]
			CMD ["test-webserver"]
		DOCKERFILE
    done
}

build_busybox() {
    local busybox=$work/busybox
    base "$busybox"
    # By its path it is the shell of busybox, as tests know its words.
    ln -sf "$(type -P bash)" "$busybox/usr/local/bin/sh"
    ln -sf busybox "$busybox/bin/sh"
    image "$registry/busybox:1.37.0-1" "$busybox" <<-'DOCKERFILE'
		FROM scratch
		COPY . /
		ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
		CMD ["sh"]
	DOCKERFILE
    image "$registry/nonroot:1.5" "$busybox" <<-'DOCKERFILE'
		FROM scratch
		COPY . /
		ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
		USER 1234
		CMD ["sh"]
	DOCKERFILE
}

build_nonewprivs() {
    local privileged=$work/nonewprivs
    [[ -x $built/nnp ]] || go build -o "$built/nnp" k8s.io/kubernetes/test/images/nonewprivs
    base "$privileged"
    install -D -m 6755 "$built/nnp" "$privileged/usr/local/bin/nnp"
    image "$registry/nonewprivs:1.4" "$privileged" <<-'DOCKERFILE'
		FROM scratch
		COPY . /
		ENV PATH=/usr/local/bin:/usr/bin:/bin
		CMD ["nnp"]
	DOCKERFILE
}

build_pause() {
    mkdir -p "$work/pause"
    cp "$built/agnhost" "$work/pause/agnhost"
    image registry.k8s.io/pause:3.10.2 "$work/pause" <<-'DOCKERFILE'
		FROM scratch
		COPY agnhost /agnhost
		USER 65535:65535
		ENTRYPOINT ["/agnhost", "pause"]
	DOCKERFILE
}

build_etcd() {
    local etcd=$work/etcd
    base "$etcd"
    programs "$etcd" etcd
    cp "$(type -P etcd)" "$etcd/usr/local/bin/etcd"
    image registry.k8s.io/etcd:3.6.8-0 "$etcd" <<-'DOCKERFILE'
		FROM scratch
		COPY . /
		ENV PATH=/usr/local/bin:/usr/bin:/bin
		CMD ["etcd"]
	DOCKERFILE
}

build_sample() {
    if [[ ! -x $built/sample-apiserver ]]; then
        # Its module replaces others, which `go install` refuses: it is built from a module of its own.
        mkdir -p "$work/module"
        (cd "$work/module" && go mod init sample && go get k8s.io/sample-apiserver@v0.29.2 && go build -o "$built/sample-apiserver" k8s.io/sample-apiserver)
    fi
    mkdir -p "$work/sample"
    cp "$built/sample-apiserver" "$work/sample/"
    image "$registry/sample-apiserver:1.29.2" "$work/sample" <<-'DOCKERFILE'
		FROM scratch
		COPY sample-apiserver /sample-apiserver
		ENTRYPOINT ["/sample-apiserver"]
	DOCKERFILE
}

build_nginx() {
    local tag nginx=$work/nginx
    base "$nginx"
    programs "$nginx" nginx
    mkdir -p "$nginx"/etc/nginx "$nginx"/usr/share/nginx/html "$nginx"/var/{log,lib}/nginx "$nginx"/run
    printf 'user nobody nogroup;\nevents {}\nerror_log /dev/stderr;\nhttp { access_log /dev/stdout; server { listen 80; root /usr/share/nginx/html; } }\n' >"$nginx/etc/nginx/nginx.conf"
    printf '<title>Welcome to nginx!</title>\n' >"$nginx/usr/share/nginx/html/index.html"
    for tag in 1.15-4 1.27-0; do
        image "$registry/nginx:$tag" "$nginx" <<-'DOCKERFILE'
			FROM scratch
			COPY . /
			ENV PATH=/usr/local/bin:/usr/sbin:/usr/bin:/bin
			EXPOSE 80
			CMD ["nginx", "-g", "daemon off;"]
		DOCKERFILE
    done
}

for name in "${wanted[@]}"; do
    "build_$name"
done
