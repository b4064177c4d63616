# Sourced by the scripts beside it. The comment at the head of a script is its help.

# check_number NAME VALUE: ends with the status 2 if VALUE is no number of processes
check_number() {
    if ! [[ $2 =~ ^[1-9][0-9]*$ ]]; then
        echo "$1 must be a number of processes, but got '$2'" >&2
        exit 2
    fi
}

# check_usage LEAST MOST "$@": -h and --help print the help; a wrong number of arguments (MOST may be
# "any") or another option in the first place end with the status 2
check_usage() {
    local least=$1 most=$2 help
    shift 2
    help=$(awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$0")
    case ${1:-} in
        -h | --help) echo "$help"; exit 0 ;;
        -*) echo "$help" >&2; exit 2 ;;
    esac
    if [ $# -lt "$least" ] || { [ "$most" != any ] && [ $# -gt "$most" ]; }; then
        echo "$help" >&2
        exit 2
    fi
}
