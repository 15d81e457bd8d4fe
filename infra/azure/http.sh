# shellcheck shell=bash disable=SC2034 # what is set here is read by the scripts that source this
# Calls to the app's own interface. Sourced after common.sh; API_URL and AUDIENCE are set by the caller.

ANSWER=$SCRATCH/answer
STATUS=000

# A token for the app, in TOKEN; it never stands in an argument, where every process could read it.
sign_in_to_app() {
    TOKEN=$(az account get-access-token --resource "$AUDIENCE" --query accessToken --output tsv) ||
        fail "no token for the app registration $AUDIENCE" \
            "az login --scope '$AUDIENCE/.default', and see that the app role admin is assigned to you"
}

# api METHOD PATH [FILE]: sends FILE as JSON; the answer goes to $ANSWER, its status to STATUS (000: no connection).
api() {
    local method=$1 path=$2 body=${3:-}
    : >"$ANSWER"
    if [ -z "$body" ]; then
        body=$SCRATCH/nothing
        : >"$body"
    fi
    STATUS=$(
        printf 'header = "Authorization: Bearer %s"\n' "${TOKEN:-}" |
            curl --silent --config - --max-time 120 --request "$method" --header 'Content-Type: application/json' \
                --data-binary "@$body" --output "$ANSWER" --write-out '%{http_code}' "$API_URL$path"
    ) || STATUS=000
}

# What the last answer said: its problem document in one line, or its first line.
told() {
    local detail
    detail=$(pick detail <"$ANSWER")
    if [ -z "$detail" ]; then detail=$(head -c 300 "$ANSWER" | head -n 1); fi
    printf 'status %s%s' "$STATUS" "${detail:+, $detail}"
}

# until_status "200 204" METHOD PATH [RENEW]: repeats the call until one of these statuses comes.
# RENEW fetches another token before each try: roles that were just assigned are not in older ones.
until_status() {
    local wanted=$1 method=$2 path=$3 renew=${4:-} try
    for ((try = 1; try <= TRIES; try++)); do
        if [ -n "$renew" ]; then sign_in_to_app; fi
        api "$method" "$path"
        case " $wanted " in *" $STATUS "*) return 0 ;; esac
        may_pass || return 1
        say "$method $path: $(told); try $try of $TRIES"
        if [ "$try" -lt "$TRIES" ]; then pause; fi
    done
    return 1
}

# Whether waiting may help: the app is starting (404, 5xx, no connection), or a role is on its way (401, 403).
may_pass() {
    case $STATUS in
        000 | 401 | 403 | 404 | 408 | 429 | 500 | 502 | 503 | 504) return 0 ;;
        *) return 1 ;;
    esac
}
