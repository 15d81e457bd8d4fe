#!/usr/bin/env bash
# Deletes a resource group that infra/deploy.sh made, with everything in it: databases, secrets, queues.
#
# usage: infra/destroy.sh --resource-group NAME [options]
#
#   --yes                      do not ask; for automation
#   --registration             delete the app registration too, and with it who may do what
#   --subscription NAME|ID     refuse to run unless this one is selected
#
# Without --yes it asks for the resource group's name. Backups of the PostgreSQL server go with the server.

set -euo pipefail
# shellcheck source=infra/azure/common.sh
. "$(dirname "$0")/azure/common.sh"
# shellcheck source=infra/azure/entra.sh
. "$HERE/azure/entra.sh"

GROUP=
SUBSCRIPTION=
YES=
REGISTRATION=

read_options() {
    while [ $# -gt 0 ]; do
        case $1 in
            --yes) YES=yes && shift && continue ;;
            --registration) REGISTRATION=yes && shift && continue ;;
            --help | -h) help_and_exit ;;
            --resource-group) GROUP=$(value_of "$@") ;;
            --subscription) SUBSCRIPTION=$(value_of "$@") ;;
            *) misused "$1 is no option" ;;
        esac
        shift 2
    done
    [ -n "$GROUP" ] || misused "--resource-group is missing"
}

# Sets ENVIRONMENT. A group without our tag may hold anything.
find_our_group() {
    step "Resource group $GROUP"
    local tags
    tags=$(az group show --name "$GROUP" --query tags --output json) ||
        fail "it does not exist, or you may not see it" "those you see: az group list"
    if [ "$(pick application <<<"$tags")" != tributary ]; then
        fail "it has no tag application=tributary, so infra/deploy.sh did not make it" \
            "if it may go all the same: az group delete --name '$GROUP'"
    fi
    ENVIRONMENT=$(pick environment <<<"$tags")
}

confirm() {
    step "Confirm"
    az resource list --resource-group "$GROUP" --query '[].{type: type, name: name}' --output table >&2 ||
        fail "its resources cannot be listed" "see that you may read it"
    if [ -n "$YES" ]; then return 0; fi
    printf '\nAll of this is deleted, data included. Type the name of the resource group to go on: ' >&2
    local answer=
    read -r answer || true
    [ "$answer" = "$GROUP" ] || fail "not confirmed; nothing was deleted" "type $GROUP, or pass --yes"
}

delete_group() {
    step "Delete $GROUP; some minutes"
    az group delete --name "$GROUP" --yes --output none ||
        fail "it could not be deleted whole" \
            "a lock is removed with: az lock delete --name <name> --resource-group '$GROUP'; then run this again"
    say "the deleted Key Vault is kept for 90 days, name and all; before deploying into a group of this name again:"
    say "az keyvault list-deleted, then az keyvault recover --name <vault> --resource-group '$GROUP'"
}

delete_registration() {
    if [ -z "$REGISTRATION" ]; then return 0; fi
    step "Delete the app registration tributary-$ENVIRONMENT"
    local found
    found=$(find_registration "tributary-$ENVIRONMENT") || exit 1
    if [ -z "$found" ]; then
        say "there is none"
        return 0
    fi
    az ad app delete --id "$found" || fail "$found could not be deleted" "$ASK_DIRECTORY"
}

read_options "$@"
check_tools
check_sign_in "$SUBSCRIPTION"
find_our_group
confirm
delete_group
delete_registration
step "Done"
