# shellcheck shell=bash disable=SC2034 # what is set here is read by the scripts that source this
# Who administers the databases, and how the app's identity becomes a role. Sourced after common.sh and entra.sh.

# Sets ADMIN_ID, ADMIN_NAME and ADMIN_TYPE as the template wants them.
find_database_admin() {
    if [ -n "$DATABASE_ADMIN" ]; then
        ADMIN_TYPE=Group
        ADMIN_NAME=${DATABASE_ADMIN%%=*}
        ADMIN_ID=${DATABASE_ADMIN#"$ADMIN_NAME"}
        ADMIN_ID=${ADMIN_ID#=}
        if [ -n "$ADMIN_ID" ]; then return 0; fi
        ADMIN_ID=$(az ad group show --group "$ADMIN_NAME" --query id --output tsv) ||
            fail "there is no Entra group $ADMIN_NAME, or you may not look" "--database-admin '$ADMIN_NAME=<object id>'"
        return 0
    fi
    find_caller
    if [ "$CALLER_TYPE" = servicePrincipal ]; then
        ADMIN_TYPE=ServicePrincipal
        ADMIN_ID=$CALLER_ID
        # PostgreSQL knows a service by its display name, a person by the sign-in name.
        ADMIN_NAME=$(az ad sp show --id "$CALLER_NAME" --query displayName --output tsv)
    else
        ADMIN_TYPE=User
        ADMIN_ID=$CALLER_ID
        ADMIN_NAME=$CALLER_NAME
    fi
}

create_database_role() {
    step "PostgreSQL role of the app"
    if [ "$DATABASE_ROLE" = admin ]; then create_admin_role; else create_plain_role; fi
}

# Over Azure's interface, so it needs no way to the server; the app becomes an administrator of it.
create_admin_role() {
    local server identity present
    server=$(output postgresServerName)
    identity=$(output identityPrincipalId)
    present=$(az postgres flexible-server microsoft-entra-admin list --resource-group "$GROUP" --server-name "$server" \
        --query "[?objectId=='$identity'].objectId" --output tsv) ||
        fail "the administrators of $server cannot be listed" "see that Entra authentication is on there"
    if [ -n "$present" ]; then
        say "there already"
        return 0
    fi
    az postgres flexible-server microsoft-entra-admin create --resource-group "$GROUP" --server-name "$server" \
        --object-id "$identity" --display-name "$(output identityName)" --type ServicePrincipal --output none ||
        fail "the app's identity cannot become an administrator of $server" "run this again in a minute"
}

# Over port 5432, as the Entra administrator: a plain role with rights in one database.
create_plain_role() {
    local token
    # A package from elsewhere was built without it.
    [ -x "$ROOT/.venv/bin/python" ] || make --directory "$ROOT" --no-print-directory install >&2 ||
        fail "there is no .venv to make it with" "make install; or take --database-role admin (docs/deploy.md)"
    token=$(az account get-access-token --resource-type oss-rdbms --query accessToken --output tsv) ||
        fail "no token for PostgreSQL" "az login"
    DATABASE_HOST=$(output postgresHost) DATABASE_NAME=$(output postgresDatabase) DATABASE_USER=$ADMIN_NAME \
        DATABASE_TOKEN=$token APP_ROLE=$(output identityName) "$ROOT/.venv/bin/python" "$HERE/azure/database_role.py" ||
        fail "the role could not be made" \
            "run this where port 5432 of the server can be reached, or take --database-role admin (docs/deploy.md)"
}
