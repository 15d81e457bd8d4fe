#!/usr/bin/env bash
# Deploys Tributary into a resource group of the signed-in subscription: infrastructure, app, schema. Repeatable.
#
# usage: infra/deploy.sh --env dev|prod [options]
#
#   --env dev|prod             which of infra/parameters to use
#   --resource-group NAME      default: tributary-<env>; created where it does not exist
#   --location REGION          where; needed only where the resource group does not exist yet
#   --subscription NAME|ID     refuse to run unless this one is selected
#   --what-if                  say what would change and write nothing
#   --allow-ip ADDRESS|CIDR    let this address in while there are public endpoints; may be repeated, and replaces
#                              allowedIpRanges of infra/parameters. Yours must be among them, or nothing can be published
#   --audience CLIENT_ID       an app registration that somebody else looks after (infra/register.sh)
#   --database-role MODE      how the app's identity gets into PostgreSQL; admin: as an Entra administrator, over
#                              Azure's interface (default for dev); sql: as a plain role, over port 5432 (for prod)
#   --database-admin GROUP[=OBJECT_ID]
#                              an Entra group that administers the databases, instead of whoever runs this
#   --parameter NAME=VALUE     one more template parameter; may be repeated
#   --zip FILE                 publish this package instead of building one
#
# TRIES and WAIT_SECONDS bound every wait: 30 tries, 10 seconds apart.

set -euo pipefail
# shellcheck source=infra/azure/common.sh
. "$(dirname "$0")/azure/common.sh"
# shellcheck source=infra/azure/http.sh
. "$HERE/azure/http.sh"
# shellcheck source=infra/azure/entra.sh
. "$HERE/azure/entra.sh"
# shellcheck source=infra/azure/triggers.sh
. "$HERE/azure/triggers.sh"
# shellcheck source=infra/azure/database.sh
. "$HERE/azure/database.sh"

ENVIRONMENT=
GROUP=
LOCATION=
SUBSCRIPTION=
WHAT_IF=
AUDIENCE=
DATABASE_ROLE=
DATABASE_ADMIN=
PACKAGE=
PARAMETERS=()
ADDRESSES=()
REGISTRATION_OF=ours
OUTPUTS=$SCRATCH/outputs

read_options() {
    while [ $# -gt 0 ]; do
        case $1 in
            --what-if) WHAT_IF=yes && shift && continue ;;
            --help | -h) help_and_exit ;;
            --env) ENVIRONMENT=$(value_of "$@") ;;
            --resource-group) GROUP=$(value_of "$@") ;;
            --location) LOCATION=$(value_of "$@") ;;
            --subscription) SUBSCRIPTION=$(value_of "$@") ;;
            --audience) AUDIENCE=$(value_of "$@") ;;
            --database-role) DATABASE_ROLE=$(value_of "$@") ;;
            --database-admin) DATABASE_ADMIN=$(value_of "$@") ;;
            --allow-ip) ADDRESSES+=("$(value_of "$@")") ;;
            --parameter) PARAMETERS+=("$(value_of "$@")") ;;
            --zip) PACKAGE=$(value_of "$@") ;;
            *) misused "$1 is no option" ;;
        esac
        shift 2
    done
    case $ENVIRONMENT in
        dev) DATABASE_ROLE=${DATABASE_ROLE:-admin} ;;
        prod) DATABASE_ROLE=${DATABASE_ROLE:-sql} ;;
        *) misused "--env is dev or prod" ;;
    esac
    case $DATABASE_ROLE in
        admin | sql) ;;
        *) misused "--database-role is admin or sql" ;;
    esac
    GROUP=${GROUP:-tributary-$ENVIRONMENT}
    DEPLOYMENT=tributary-$ENVIRONMENT
}

compile_template() {
    step "Compile the template"
    az bicep build --file "$HERE/main.bicep" --stdout >/dev/null ||
        fail "infra/main.bicep does not compile" "read the lines above; without a Bicep compiler: az bicep install"
}

find_group() {
    step "Resource group $GROUP"
    local exists
    exists=$(az group exists --name "$GROUP" --output tsv) ||
        fail "it cannot be looked up" "see that you may read the subscription"
    if [ "$exists" = true ]; then
        LOCATION=${LOCATION:-$(az group show --name "$GROUP" --query location --output tsv)}
    elif [ -z "$LOCATION" ]; then
        fail "it does not exist" "say where to create it: --location <region>; those there are: az account list-locations"
    elif [ -z "$WHAT_IF" ]; then
        # infra/destroy.sh deletes only groups that carry this tag.
        az group create --name "$GROUP" --location "$LOCATION" --output none \
            --tags application=tributary environment="$ENVIRONMENT" ||
            fail "it cannot be created" "see that you are Contributor of the subscription, or have it created for you"
        say "created in $LOCATION"
    else
        say "it does not exist: everything would be new. A comparison needs the group itself; nothing was written"
        exit 0
    fi
}

# Whose tokens the app accepts. A comparison changes nothing, so it makes do with a registration that may not exist.
find_audience() {
    if [ -n "$AUDIENCE" ]; then
        REGISTRATION_OF=others
        return 0
    fi
    if [ -z "$WHAT_IF" ]; then
        register_app "$DEPLOYMENT"
        step "App roles of $CALLER_NAME"
        find_caller
        assign_role admin "$CALLER_ID" "$CALLER_NAME"
        assign_role 'tenant:*' "$CALLER_ID" "$CALLER_NAME"
        return 0
    fi
    AUDIENCE=$(find_registration "$DEPLOYMENT") || exit 1
    AUDIENCE=${AUDIENCE:-00000000-0000-0000-0000-000000000000}
}

allow_addresses() {
    if [ ${#ADDRESSES[@]} -eq 0 ]; then return 0; fi
    local ranges
    ranges=$(python3 "$HERE/azure/addresses.py" "${ADDRESSES[@]}") || misused "--allow-ip takes addresses and CIDRs"
    PARAMETERS+=("allowedIpRanges=$ranges")
}

# Public endpoints let in those who are named alone, so without a name the package could not be published either.
check_way_in() {
    step "Check who is let in"
    local file=$HERE/parameters/$ENVIRONMENT.parameters.json one
    for one in ${PARAMETERS[@]+"${PARAMETERS[@]}"}; do
        case $one in allowedIpRanges=* | privateNetworking=*) return 0 ;; esac
    done
    if [ "$(pick parameters.privateNetworking.value <"$file")" = true ]; then return 0; fi
    [ -n "$(pick parameters.allowedIpRanges.value <"$file")" ] ||
        fail "nobody would be let in, not even this script" "name the address you come from: --allow-ip <address>"
}

# Azure registers what a template names, for whoever may; the subnet's delegation and the event trigger name nothing.
check_providers() {
    step "Check the resource providers"
    local one state
    for one in Microsoft.App Microsoft.EventGrid; do
        # Whoever may not read the subscription deploys all the same.
        state=$(az provider show --namespace "$one" --query registrationState --output tsv 2>/dev/null) || continue
        [ "$state" = Registered ] || fail "$one is $state in this subscription" "az provider register --namespace $one --wait"
    done
}

# Alerts that nobody is told of are found when it is too late.
check_who_is_told() {
    local file=$HERE/parameters/$ENVIRONMENT.parameters.json one
    for one in ${PARAMETERS[@]+"${PARAMETERS[@]}"}; do
        case $one in alertEmails=* | alertsEnabled=false) return 0 ;; esac
    done
    if [ "$(pick parameters.alertsEnabled.value <"$file")" = false ]; then return 0; fi
    if [ -z "$(pick parameters.alertEmails.value <"$file")" ]; then
        say "nobody is told of alerts: --parameter 'alertEmails=[\"you@example.com\"]', or infra/parameters"
    fi
}

# Sets ARGUMENTS: what validate, what-if and create all take.
collect_arguments() {
    find_database_admin
    ARGUMENTS=(
        --resource-group "$GROUP" --name "$DEPLOYMENT" --template-file "$HERE/main.bicep" --no-prompt true
        --parameters "@$HERE/parameters/$ENVIRONMENT.parameters.json" "location=$LOCATION"
        "entraAudience=$AUDIENCE" "databaseAdministratorObjectId=$ADMIN_ID"
        "databaseAdministratorName=$ADMIN_NAME" "databaseAdministratorType=$ADMIN_TYPE"
        ${PARAMETERS[@]+"${PARAMETERS[@]}"}
    )
}

validate() {
    step "Validate"
    az deployment group validate "${ARGUMENTS[@]}" --output none ||
        fail "Azure would refuse the deployment" \
            "the message above names the resource; quota and names: change infra/parameters, rights: see docs/deploy.md"
}

compare() {
    step "What would change"
    az deployment group what-if "${ARGUMENTS[@]}" >&2 || fail "the comparison failed" "read the message above"
    say "nothing was written"
}

build_package() {
    if [ -n "$PACKAGE" ]; then
        step "Package $PACKAGE"
        [ -f "$PACKAGE" ] || fail "no such file" "build it: make package"
        return 0
    fi
    step "Build the package"
    PACKAGE=$ROOT/dist/tributary.zip
    make --directory "$ROOT" --no-print-directory package >&2 ||
        fail "it could not be built" "the message above names the file or package; try: make package"
}

deploy_template() {
    step "Deploy the infrastructure; ten to twenty minutes the first time"
    if ! az deployment group create "${ARGUMENTS[@]}" --mode Incremental --output none; then
        az deployment operation group list --resource-group "$GROUP" --name "$DEPLOYMENT" --output json \
            --query "[?properties.provisioningState=='Failed'].properties.{resource: targetResource.id, said: statusMessage}" \
            >&2 || true
        fail "Azure failed some of it" "what failed stands above; mend it and run this again: what stands is kept"
    fi
    az deployment group show --resource-group "$GROUP" --name "$DEPLOYMENT" --query properties.outputs --output json |
        flatten >"$OUTPUTS" || fail "its outputs cannot be read" "run this again"
}

# Wheels are made for one Python: a package for another would leave an app that cannot import itself.
check_python() {
    local packaged
    packaged=$(sed -n 's/^PYTHON = "\(.*\)"$/\1/p' "$HERE/package/target.py")
    [ "$(output pythonVersion)" = "$packaged" ] ||
        fail "the app runs Python $(output pythonVersion), packages are built for $packaged" \
            "leave pythonVersion of infra/parameters at $packaged"
}

# The output named $1; a list one element a line.
output() { sed -n "s/^$1\.value //p" "$OUTPUTS"; }

# A managed private endpoint waits until the owner of its target agrees; only our factory's are agreed to.
approve_private_endpoints() {
    step "Approve Data Factory's private endpoints"
    local endpoint name target found connection
    while IFS= read -r endpoint; do
        if [ -z "$endpoint" ]; then continue; fi
        name=$(pick name <<<"$endpoint")
        target=$(pick resourceId <<<"$endpoint")
        found=$(find_connections "$target" "$(output dataFactoryName).$name") || exit 1
        if [ -z "$found" ]; then
            say "$name does not show yet: run this again later, or approve it in the portal: Networking, Private access"
        fi
        while IFS= read -r connection; do
            az network private-endpoint-connection approve --id "$connection" --description "infra/deploy.sh" \
                --output none ||
                fail "$name cannot be approved" "ask an owner of $target to approve it: Networking, Private access"
            say "approved: $name"
        done < <(sed -n 's/^Pending[[:space:]]//p' <<<"$found")
    done <<<"$(output dataFactoryPrivateEndpoints)"
}

# State and id of each connection of $1 that comes from the endpoint $2: a new one may take a minute to show.
find_connections() {
    local try found
    for ((try = 1; try <= 6; try++)); do
        found=$(az network private-endpoint-connection list --id "$1" --output tsv --query \
            "[?contains(properties.privateEndpoint.id || '', '$2')].[properties.privateLinkServiceConnectionState.status, id]") ||
            fail "the connections of $1 cannot be listed" "approve $2 in the portal: Networking, Private access"
        if [ -n "$found" ] || [ "$try" -ge "$TRIES" ]; then break; fi
        pause
    done
    printf '%s' "$found"
}

# The settings that refer to the vault were resolved when the app was made, before its identity could read there; Azure
# looks again only once a day.
resolve_references() {
    step "Resolve the settings that are secrets"
    az rest --method post --output none --url "/subscriptions/$SUBSCRIPTION_ID/resourceGroups/$GROUP\
/providers/Microsoft.Web/sites/$(output functionAppName)/config/configreferences/appsettings/refresh?api-version=2022-03-01" ||
        say "not resolved anew: secrets of mail and Graph may be missing until tomorrow, or until this runs again"
}

publish() {
    step "Publish the package; two to five minutes"
    local try
    # A first deployment's roles are minutes old, and the app may not reach its container yet.
    for ((try = 1; try <= 3; try++)); do
        # Without the flag az would have Azure build the app anew, with other versions than were tested.
        if az functionapp deployment source config-zip --resource-group "$GROUP" --name "$(output functionAppName)" \
            --src "$PACKAGE" --build-remote false --output none; then
            return 0
        fi
        say "not taken; try $try of 3"
        if [ "$try" -lt 3 ]; then pause; fi
    done
    fail "the app did not take it" \
        "your address must be let in: --allow-ip; a private network: run this inside it (docs/deploy.md)"
}

migrate() {
    step "Migrate the schema"
    until_status 200 POST /api/v1/operations/migrate renew || case $STATUS in
        401 | 403) fail "$(told)" "the token of $CALLER_NAME must name $AUDIENCE and the app role admin: az logout, az login" ;;
        000) fail "$API_URL does not answer" \
            "your address must be let in: --allow-ip; a private network: run this inside it (docs/deploy.md)" ;;
        *) fail "$(told)" "see $(output applicationInsightsName); PostgreSQL role or network: docs/deploy.md" ;;
    esac
    say "applied: $(pick applied <"$ANSWER" | tr '\n' ' ')"
}

# Data Factory calls the app as itself, and the app knows callers by their app roles.
let_factory_call() {
    step "App roles of Data Factory"
    local id name
    id=$(output dataFactoryPrincipalId)
    name=$(output dataFactoryName)
    if [ -z "$id" ]; then
        say "there is no Data Factory"
    elif [ "$REGISTRATION_OF" = others ]; then
        say "to be assigned once by those who look after $AUDIENCE:"
        say "infra/register.sh --env $ENVIRONMENT --assign operator=$id --assign 'tenant:*=$id'"
    else
        assign_role operator "$id" "$name"
        assign_role 'tenant:*' "$id" "$name"
    fi
}

check_health() {
    step "Check that it is healthy"
    until_status 200 GET /api/v1/health || fail "$(told)" \
        "see its log in Application Insights: $(output workbookUrl)"
    until_status 200 GET /api/v1/health/db || fail "$(told)" \
        "the app runs and does not reach PostgreSQL: its role (--database-role) or the network"
}

tell() {
    step "Done"
    printf 'API           %s/api/v1\n' "$API_URL"
    printf 'Swagger UI    %s/docs\n' "$API_URL"
    printf 'audience      %s\n' "$AUDIENCE"
    printf 'Key Vault     %s\n' "$(output keyVaultUrl)"
    printf 'PostgreSQL    %s\n' "$(output postgresHost)"
    printf 'Data Factory  %s\n' "$(output dataFactoryMonitoringUrl)"
    printf 'workbook      %s\n' "$(output workbookUrl)"
    say "register a first connector: infra/setup.sh --env $ENVIRONMENT --resource-group $GROUP --help"
}

main() {
    read_options "$@"
    trap leave_no_trigger_stopped EXIT
    check_tools
    if [ -z "$PACKAGE$WHAT_IF" ]; then need make "install make, or pass a package that was built elsewhere: --zip"; fi
    allow_addresses
    check_way_in
    check_who_is_told
    check_sign_in "$SUBSCRIPTION"
    check_providers
    compile_template
    find_group
    find_audience
    collect_arguments
    validate
    if [ -n "$WHAT_IF" ]; then
        compare
        return 0
    fi
    build_package
    stop_triggers
    deploy_template
    if [ -n "$FACTORY" ]; then restart_triggers; fi
    check_python
    API_URL=$(output functionAppUrl)
    approve_private_endpoints
    let_factory_call
    create_database_role
    resolve_references
    publish
    migrate
    check_health
    start_new_triggers
    tell
}

main "$@"
