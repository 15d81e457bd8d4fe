#!/usr/bin/env bash
# Makes the app registration that Tributary accepts tokens of, with its app roles, and prints its client id.
# infra/deploy.sh does this by itself; this is for directories where somebody else must. Repeatable.
#
# usage: infra/register.sh --env dev|prod [--assign ROLE=OBJECT_ID]...
#
#   --assign ROLE=OBJECT_ID    give a person or a service an app role: reader, operator, approver, admin, tenant:*

set -euo pipefail
# shellcheck source=infra/azure/common.sh
. "$(dirname "$0")/azure/common.sh"
# shellcheck source=infra/azure/entra.sh
. "$HERE/azure/entra.sh"

ENVIRONMENT=
ASSIGNMENTS=()

while [ $# -gt 0 ]; do
    case $1 in
        --help | -h) help_and_exit ;;
        --env) ENVIRONMENT=$(value_of "$@") ;;
        --assign) ASSIGNMENTS+=("$(value_of "$@")") ;;
        *) misused "$1 is no option" ;;
    esac
    shift 2
done
case $ENVIRONMENT in
    dev | prod) ;;
    *) misused "--env is dev or prod" ;;
esac

check_tools
check_sign_in ""
register_app "tributary-$ENVIRONMENT"
for assignment in ${ASSIGNMENTS[@]+"${ASSIGNMENTS[@]}"}; do
    assign_role "${assignment%%=*}" "${assignment#*=}" "${assignment#*=}"
done
say "who may do what: Enterprise applications, tributary-$ENVIRONMENT, Users and groups"
printf '%s\n' "$AUDIENCE"
