# shellcheck shell=bash disable=SC2034 # what is set here is read by the scripts that source this
# The app registration whose tokens the app accepts: its roles, its scope, who may have which. Sourced after common.sh.

readonly GRAPH=https://graph.microsoft.com/v1.0
readonly AZURE_CLI_CLIENT=04b07795-8ddb-461a-bbee-02f9e1bf7b46 # the Azure CLI's own, the same in every directory
CALLER_ID=
readonly ASK_DIRECTORY="ask somebody with the directory role Application Administrator to run infra/register.sh, \
and pass what it prints: --audience <client id>"

# The client id of the registration named $1, or nothing; fails where the name is not unique.
find_registration() {
    local found
    found=$(az ad app list --display-name "$1" --query "[?displayName=='$1'].appId" --output tsv) ||
        fail "app registrations cannot be listed" "$ASK_DIRECTORY"
    if [ "$(grep -c . <<<"$found")" -gt 1 ]; then
        fail "several app registrations are named $1" "name the right one: --audience <client id>"
    fi
    printf '%s' "$found"
}

# Makes the registration named $1 what infra/entra says; sets AUDIENCE. Nothing is written that is so already.
register_app() {
    step "App registration $1"
    AUDIENCE=$(find_registration "$1") || exit 1
    if [ -z "$AUDIENCE" ]; then
        AUDIENCE=$(az ad app create --display-name "$1" --sign-in-audience AzureADMyOrg \
            --requested-access-token-version 2 --app-roles "@$HERE/entra/app_roles.json" \
            --query appId --output tsv) || fail "it cannot be created" "$ASK_DIRECTORY"
        say "created: $AUDIENCE"
    fi
    update_roles
    # The scope first, then who may use it: the directory refuses both at once.
    update_api
    update_api
    if [ -z "$(az ad sp list --filter "appId eq '$AUDIENCE'" --query '[].id' --output tsv)" ]; then
        az ad sp create --id "$AUDIENCE" --output none ||
            fail "its service principal cannot be created" "$ASK_DIRECTORY"
    fi
}

update_roles() {
    local change=$SCRATCH/roles
    az ad app show --id "$AUDIENCE" --query appRoles --output json >"$SCRATCH/existing" ||
        fail "registration $AUDIENCE cannot be read" "$ASK_DIRECTORY"
    python3 "$HERE/azure/manifest.py" roles "$HERE/entra/app_roles.json" <"$SCRATCH/existing" >"$change"
    if [ ! -s "$change" ]; then return 0; fi
    az ad app update --id "$AUDIENCE" --app-roles "@$change" || fail "its roles cannot be changed" "$ASK_DIRECTORY"
    say "app roles set"
}

update_api() {
    local change=$SCRATCH/api.json
    az ad app show --id "$AUDIENCE" --query api --output json >"$SCRATCH/existing" ||
        fail "registration $AUDIENCE cannot be read" "$ASK_DIRECTORY"
    python3 "$HERE/azure/manifest.py" api "$HERE/entra/api.json" "$AZURE_CLI_CLIENT" <"$SCRATCH/existing" >"$change"
    if [ ! -s "$change" ]; then return 0; fi
    az rest --method patch --url "$GRAPH/applications(appId='$AUDIENCE')" --headers Content-Type=application/json \
        --body "@$change" --output none || fail "its scope cannot be changed" "$ASK_DIRECTORY"
    say "scope set"
}

# Sets CALLER_ID: the directory object of whoever is signed in, a person or a service.
find_caller() {
    if [ -n "$CALLER_ID" ]; then return 0; fi
    if [ "$CALLER_TYPE" = servicePrincipal ]; then
        CALLER_ID=$(az ad sp show --id "$CALLER_NAME" --query id --output tsv)
    else
        CALLER_ID=$(az ad signed-in-user show --query id --output tsv)
    fi || fail "the directory does not tell who $CALLER_NAME is" "sign in as a person or a service principal: az login"
}

# assign_role ROLE OBJECT_ID NAME: gives that person or service the app role, unless they have it.
assign_role() {
    local service role held
    service=$(az ad sp show --id "$AUDIENCE" --query id --output tsv) ||
        fail "registration $AUDIENCE has no service principal" "az ad sp create --id $AUDIENCE"
    role=$(az ad app show --id "$AUDIENCE" --query "appRoles[?value=='$1'].id | [0]" --output tsv) ||
        fail "registration $AUDIENCE cannot be read" "$ASK_DIRECTORY"
    [ -n "$role" ] || fail "registration $AUDIENCE has no app role $1" "infra/register.sh sets them"
    held=$(az rest --method get --url "$GRAPH/servicePrincipals/$service/appRoleAssignedTo?\$top=999" \
        --query "value[?principalId=='$2' && appRoleId=='$role'].id" --output tsv) ||
        fail "the assignments of $AUDIENCE cannot be read" "$ASK_DIRECTORY"
    if [ -n "$held" ]; then return 0; fi
    az rest --method post --url "$GRAPH/servicePrincipals/$service/appRoleAssignedTo" \
        --headers Content-Type=application/json --output none \
        --body "{\"principalId\": \"$2\", \"resourceId\": \"$service\", \"appRoleId\": \"$role\"}" ||
        fail "role $1 cannot be assigned to $3" \
            "ask an administrator of the directory: infra/register.sh --env <env> --assign $1=$2"
    say "role $1 assigned to $3"
}
