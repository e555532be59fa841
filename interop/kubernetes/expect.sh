# Sourced by the suites: lines as users type them, and words of what they print.
#
#   says "helm list" shop deployed     must succeed and print all the words
#   refuses "helm test missing" "not found"

failed=0

_check() {
    local wanted="$1" line="$2" printed code=0 word
    shift 2
    printed="$(bash -c "$line" 2>&1)" || code=$?
    if { [[ "$wanted" == success ]] && ((code != 0)); } || { [[ "$wanted" == failure ]] && ((code == 0)); }; then
        printf 'FAILED (exit code %s)\n$ %s\n%s\n' "$code" "$line" "$printed"
        failed=$((failed + 1))
        return
    fi
    for word in "$@"; do
        if [[ "$printed" != *"$word"* ]]; then
            printf 'FAILED (no "%s")\n$ %s\n%s\n' "$word" "$line" "$printed"
            failed=$((failed + 1))
            return
        fi
    done
    printf 'ok %s\n' "$line"
}

says() { _check success "$@"; }
refuses() { _check failure "$@"; }
