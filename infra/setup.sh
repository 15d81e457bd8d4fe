#!/usr/bin/env bash
# Registers a first connector with its secret, checks every connection, and may load a first table. Repeatable.
#
# usage: infra/setup.sh --env dev|prod --connector NAME --base-url URL [options] [< secret]
#
#   --env dev|prod             which deployment (tributary-<env>) to ask for the app's address
#   --resource-group NAME      default: tributary-<env>
#   --url URL                  the app's address, with --audience instead of --env
#   --audience CLIENT_ID       the app registration
#   --connector NAME           its name; one of that name is changed, not doubled
#   --base-url URL             where it answers; its host must stand in CONNECTOR_HOSTS
#   --kind http|postgres       default: http
#   --auth TYPE                token (default), client_credentials or none
#   --secret-name NAME         under which Key Vault keeps the secret; default: the connector's name
#   --secret-file FILE         the secret; default: standard input, without echo where that is a terminal
#   --keep-secret              the vault has it already
#   --tenant NAME              default: default; made where it does not exist
#   --time-zone ZONE           of the source's times, such as Europe/Oslo; default: none
#   --sync SLUG                load this table now and wait for it
#
# A client_credentials secret is JSON: {"client_id": "...", "client_secret": "..."}.

set -euo pipefail
# shellcheck source=infra/azure/common.sh
. "$(dirname "$0")/azure/common.sh"
# shellcheck source=infra/azure/http.sh
. "$HERE/azure/http.sh"

ENVIRONMENT=
GROUP=
API_URL=
AUDIENCE=
CONNECTOR=
BASE_URL=
KIND=http
AUTH=token
SECRET_NAME=
SECRET_FILE=
KEEP_SECRET=
TENANT=default
TIME_ZONE=
SYNC=

read_options() {
    while [ $# -gt 0 ]; do
        case $1 in
            --keep-secret) KEEP_SECRET=yes && shift && continue ;;
            --help | -h) help_and_exit ;;
            --env) ENVIRONMENT=$(value_of "$@") ;;
            --resource-group) GROUP=$(value_of "$@") ;;
            --url) API_URL=$(value_of "$@") ;;
            --audience) AUDIENCE=$(value_of "$@") ;;
            --connector) CONNECTOR=$(value_of "$@") ;;
            --base-url) BASE_URL=$(value_of "$@") ;;
            --kind) KIND=$(value_of "$@") ;;
            --auth) AUTH=$(value_of "$@") ;;
            --secret-name) SECRET_NAME=$(value_of "$@") ;;
            --secret-file) SECRET_FILE=$(value_of "$@") ;;
            --tenant) TENANT=$(value_of "$@") ;;
            --time-zone) TIME_ZONE=$(value_of "$@") ;;
            --sync) SYNC=$(value_of "$@") ;;
            *) misused "$1 is no option" ;;
        esac
        shift 2
    done
    if [ -z "$CONNECTOR" ] || [ -z "$BASE_URL" ]; then misused "--connector and --base-url are needed"; fi
    if [ -z "$API_URL" ] || [ -z "$AUDIENCE" ]; then
        case $ENVIRONMENT in
            dev | prod) GROUP=${GROUP:-tributary-$ENVIRONMENT} ;;
            *) misused "--env dev or prod, or --url and --audience" ;;
        esac
    fi
    SECRET_NAME=${SECRET_NAME:-$CONNECTOR}
}

find_app() {
    step "Find the app"
    local deployed
    if [ -z "$API_URL" ] || [ -z "$AUDIENCE" ]; then
        deployed=$(az deployment group show --resource-group "$GROUP" --name "tributary-$ENVIRONMENT" \
            --query '{url: properties.outputs.functionAppUrl.value, audience: properties.parameters.entraAudience.value}' \
            --output json) || fail "nothing is deployed in $GROUP" "infra/deploy.sh --env $ENVIRONMENT --resource-group $GROUP"
        API_URL=${API_URL:-$(pick url <<<"$deployed")}
        AUDIENCE=${AUDIENCE:-$(pick audience <<<"$deployed")}
    fi
    say "$API_URL"
    sign_in_to_app
}

check_app() {
    step "Check the app"
    until_status 200 GET /api/v1/health || fail "$(told)" "infra/deploy.sh publishes it; see its log in Application Insights"
    step "Check PostgreSQL"
    until_status 200 GET /api/v1/health/db renew ||
        fail "$(told)" "401 or 403: see that the app role admin is assigned to you; 503: the app does not reach its database"
}

# Leaves the body of the connector in $1, readable by us alone: it holds the secret.
write_connector() {
    (umask 077 && : >"$1")
    local secret=
    if [ "$AUTH" != none ] && [ -z "$KEEP_SECRET" ]; then
        if [ -n "$SECRET_FILE" ]; then
            secret=$(cat "$SECRET_FILE") || fail "$SECRET_FILE cannot be read" "name another: --secret-file"
        elif [ -t 0 ]; then
            printf 'Secret %s: ' "$SECRET_NAME" >&2
            read -rs secret
            printf '\n' >&2
        else
            secret=$(cat)
        fi
        [ -n "$secret" ] || fail "the secret is empty" "give it on standard input, or pass --keep-secret"
    fi
    printf '%s' "$secret" | python3 "$HERE/azure/connector.py" "name=$CONNECTOR" "kind=$KIND" "base_url=$BASE_URL" \
        "auth=$AUTH" "secret_name=$SECRET_NAME" "tenant=$TENANT" "time_zone=$TIME_ZONE" >"$1"
}

register_connector() {
    step "Tenant $TENANT"
    api PUT "/api/v1/tenants/$TENANT"
    [ "$STATUS" = 200 ] || fail "$(told)" "see that the app roles admin and tenant:* are assigned to you"
    step "Connector $CONNECTOR"
    local body=$SCRATCH/connector found method=POST path=/api/v1/connectors
    write_connector "$body"
    found=$(find_connector) || exit 1
    if [ -n "$found" ]; then
        method=PUT
        path=$path/$found
    fi
    api "$method" "$path" "$body"
    rm -f "$body"
    case $STATUS in
        200 | 201) ;;
        422) fail "$(told) $(pick errors <"$ANSWER" | tr '\n' ' ')" \
            "a host that is refused must stand in CONNECTOR_HOSTS: infra/parameters, then infra/deploy.sh" ;;
        *) fail "$(told)" "see that the app role admin is assigned to you, and that the app may write to Key Vault" ;;
    esac
    CONNECTOR_UID=$(pick uid <"$ANSWER")
    say "$([ "$method" = PUT ] && printf 'changed' || printf 'registered'): $CONNECTOR_UID"
}

# The uid of the connector of our name and tenant, or nothing; walks every page.
find_connector() {
    local cursor='' uid
    while :; do
        api GET "/api/v1/connectors?limit=500${cursor:+&cursor=$cursor}"
        [ "$STATUS" = 200 ] || fail "$(told)" "see that the app role admin is assigned to you"
        uid=$(pick items <"$ANSWER" | python3 "$HERE/azure/connector.py" find "$TENANT" "$CONNECTOR")
        cursor=$(pick next_cursor <"$ANSWER")
        if [ -n "$uid" ] || [ -z "$cursor" ]; then break; fi
    done
    printf '%s' "$uid"
}

test_connector() {
    step "Check the connector"
    api POST "/api/v1/connectors/$CONNECTOR_UID/test"
    [ "$STATUS" = 200 ] || fail "$(told)" "see that the app role operator is assigned to you"
    [ "$(pick ok <"$ANSWER")" = true ] ||
        fail "$(pick error.code <"$ANSWER"): $(pick error.message <"$ANSWER")" "$(pick error.hint <"$ANSWER")"
    say "$(pick tables <"$ANSWER") tables"
    step "Discover its tables"
    api POST "/api/v1/connectors/$CONNECTOR_UID/discover"
    [ "$STATUS" = 200 ] || fail "$(told)" "compare the connector's answer with docs/protocol.md"
    pick items <"$ANSWER" >"$SCRATCH/tables"
    python3 "$HERE/azure/connector.py" tables <"$SCRATCH/tables"
}

sync_first_table() {
    if [ -z "$SYNC" ]; then
        say "the timer loads them at its next tick; follow it: GET $API_URL/api/v1/stats"
        return 0
    fi
    step "Load $SYNC"
    local entity run status='' try
    entity=$(python3 "$HERE/azure/connector.py" entity "$SYNC" <"$SCRATCH/tables")
    [ -n "$entity" ] || fail "the connector has no such table" "the tables stand above"
    api POST "/api/v1/entities/$entity/sync"
    case $STATUS in
        202) run=$(pick run_uid <"$ANSWER") ;;
        409)
            say "a run is in flight already; the timer was first"
            return 0
            ;;
        *) fail "$(told)" "see that the app role operator is assigned to you" ;;
    esac
    for ((try = 1; try <= TRIES; try++)); do
        api GET "/api/v1/runs/$run"
        status=$(pick status <"$ANSWER")
        case $status in
            success | partial)
                printf '%s: %s, %s rows fetched, %s inserted\n' "$SYNC" "$status" \
                    "$(pick fetched <"$ANSWER")" "$(pick inserted <"$ANSWER")"
                return 0
                ;;
            failed | cancelled) fail "$status: $(pick error.code <"$ANSWER"): $(pick error.message <"$ANSWER")" \
                "$(pick error.hint <"$ANSWER")" ;;
        esac
        pause
    done
    fail "run $run is still ${status:-unknown}" "follow it: GET $API_URL/api/v1/runs/$run"
}

read_options "$@"
check_tools
check_sign_in ""
find_app
check_app
register_connector
test_connector
sync_first_table
step "Done"
