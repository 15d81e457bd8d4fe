# shellcheck shell=bash disable=SC2034 # what is set here is read by the scripts that source this
# How the scripts speak, fail, wait and read JSON. Sourced, never run.
# Progress goes to standard error; standard output holds results alone.
#
# TRIES and WAIT_SECONDS bound every wait: 30 tries, 10 seconds apart.

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
ROOT=$(dirname "$HERE")
TRIES=${TRIES:-30}
WAIT_SECONDS=${WAIT_SECONDS:-10}
STEP=start
SCRATCH=$(mktemp -d)
trap 'rm -rf "$SCRATCH"' EXIT
# The Azure CLI's own notes would drown ours; Git Bash would rewrite resource ids into Windows paths.
export AZURE_CORE_ONLY_SHOW_ERRORS=true MSYS_NO_PATHCONV=1 PYTHONDONTWRITEBYTECODE=1
readonly OLDEST_AZ=2.85.0

say() { printf '    %s\n' "$*" >&2; }

step() {
    STEP=$1
    printf '==> %s\n' "$STEP" >&2
}

# fail MESSAGE NEXT_STEP: what went wrong in this step, and what to do about it.
fail() {
    printf '\n%s: %s: %s\n    next: %s\n' "$(basename "$0")" "$STEP" "$1" "$2" >&2
    exit 1
}

misused() {
    printf '%s: %s\n' "$(basename "$0")" "$1" >&2
    printf 'usage: %s --help tells\n' "$0" >&2
    exit 2
}

# The header of the calling script is its help.
help_and_exit() {
    sed -n '2,/^[^#]/{/^#/s/^# \{0,1\}//p;}' "$0"
    exit 0
}

# value_of OPTION VALUE...: the option's value, which must be there.
value_of() {
    if [ $# -lt 2 ] || [ -z "$2" ]; then misused "$1 needs a value"; fi
    printf '%s' "$2"
}

pause() { sleep "$WAIT_SECONDS"; }

# pick PATH < JSON: the value at a dotted path; a list one element a line; nothing where there is none.
pick() { python3 "$HERE/azure/pick.py" "$1"; }

# flatten < JSON: every value of it, one a line behind its path.
flatten() { python3 "$HERE/azure/pick.py" --all; }

need() {
    command -v "$1" >/dev/null 2>&1 || fail "$1 is not installed" "$2"
}

check_tools() {
    step "Check the tools"
    need az "install the Azure CLI, https://aka.ms/install-azure-cli, or use the Cloud Shell"
    need curl "install curl"
    need python3 "install Python 3.11, 3.12 or 3.13"
    local version
    version=$(az version --query '"azure-cli"' --output tsv) ||
        fail "the Azure CLI does not say its version" "reinstall the Azure CLI"
    if [ "$(printf '%s\n' "$OLDEST_AZ" "$version" | sort -t. -k1,1n -k2,2n -k3,3n | head -n 1)" != "$OLDEST_AZ" ]; then
        fail "az is $version; $OLDEST_AZ or newer is needed" "az upgrade"
    fi
}

# Sets SUBSCRIPTION_ID, CALLER_TYPE and CALLER_NAME. $1: the subscription that must be selected, or nothing.
check_sign_in() {
    step "Check the sign-in"
    local account name state
    account=$(az account show --query '[id, name, state, user.type, user.name]' --output tsv) ||
        fail "nobody is signed in" "az login"
    { read -r SUBSCRIPTION_ID && read -r name && read -r state && read -r CALLER_TYPE && read -r CALLER_NAME; } \
        <<<"$account"
    if [ -n "$1" ] && [ "$1" != "$SUBSCRIPTION_ID" ] && [ "$1" != "$name" ]; then
        fail "subscription $name ($SUBSCRIPTION_ID) is selected, not $1" "az account set --subscription '$1'"
    fi
    [ "$state" = Enabled ] ||
        fail "subscription $name is $state" "select another: az account set --subscription <name>"
    say "$CALLER_NAME, subscription $name ($SUBSCRIPTION_ID)"
}
