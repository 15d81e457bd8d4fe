# shellcheck shell=bash disable=SC2034 # what is set here is read by the scripts that source this
# Data Factory's triggers around a deployment. Sourced after common.sh; FACTORY is a resource id, or nothing.
#
# An active trigger refuses to be deployed over, and the template cannot start one: so all are stopped before and
# started after. One that a person had stopped stays stopped; one that is new is started.

readonly ADF_API=api-version=2018-06-01
FACTORY=
# Names, one a line: what this run stopped and has not started again; what stood still before.
TRIGGERS_STOPPED=
TRIGGERS_AT_REST=

find_factory() {
    FACTORY=$(az resource list --resource-group "$GROUP" --resource-type Microsoft.DataFactory/factories \
        --query '[0].id' --output tsv) || fail "the resources of $GROUP cannot be listed" \
        "see that you are Contributor of the resource group"
}

# trigger_names STATE: one a line.
trigger_names() {
    az rest --method get --url "$FACTORY/triggers?$ADF_API" \
        --query "value[?properties.runtimeState=='$1'].name" --output tsv ||
        fail "the triggers of $FACTORY cannot be listed" "see that you are Data Factory Contributor of it"
}

stop_triggers() {
    step "Stop Data Factory's triggers"
    find_factory
    if [ -z "$FACTORY" ]; then
        say "there is no Data Factory yet"
        return 0
    fi
    TRIGGERS_AT_REST=$(trigger_names Stopped) || exit 1
    local running name
    running=$(trigger_names Started) || exit 1
    for name in $running; do
        # Noted first: if this very call breaks off, the trigger may be stopped all the same.
        TRIGGERS_STOPPED+=$name$'\n'
        az rest --method post --url "$FACTORY/triggers/$name/stop?$ADF_API" --output none ||
            fail "trigger $name cannot be stopped" "stop it by hand: $(monitoring_url)"
        say "stopped: $name"
    done
    wait_for_rest
}

wait_for_rest() {
    local try running
    for ((try = 1; try <= TRIES; try++)); do
        running=$(trigger_names Started) || exit 1
        if [ -z "$running" ]; then return 0; fi
        pause
    done
    fail "still running: $running" "run this again; or stop them by hand: $(monitoring_url)"
}

# start_triggers NAME...: those named; one that fails is named and the others go on.
start_triggers() {
    local name failed=
    for name in "$@"; do
        if az rest --method post --url "$FACTORY/triggers/$name/start?$ADF_API" --output none; then
            TRIGGERS_STOPPED=$(grep -vxF -- "$name" <<<"$TRIGGERS_STOPPED") || true
            say "started: $name"
        else
            failed="$failed $name"
        fi
    done
    [ -z "$failed" ] || fail "not started:$failed" "start them by hand: $(monitoring_url)"
}

restart_triggers() {
    step "Start the triggers that were stopped"
    # shellcheck disable=SC2086 # names, one a word
    start_triggers $TRIGGERS_STOPPED
}

start_new_triggers() {
    step "Start Data Factory's new triggers"
    find_factory
    if [ -z "$FACTORY" ]; then return 0; fi
    local name stopped new=
    stopped=$(trigger_names Stopped) || exit 1
    for name in $stopped; do
        if grep -qxF -- "$name" <<<"$TRIGGERS_AT_REST"; then
            say "left stopped, as it was: $name"
        else
            new="$new $name"
        fi
    done
    # shellcheck disable=SC2086 # names, one a word
    start_triggers $new
}

# At the end of every run, however it ended: what this run stopped must not stay stopped unnoticed.
leave_no_trigger_stopped() {
    local status=$?
    trap - EXIT
    if [ -n "${TRIGGERS_STOPPED//[[:space:]]/}" ]; then (restart_triggers) || true; fi
    rm -rf "$SCRATCH"
    exit "$status"
}

monitoring_url() { printf 'https://adf.azure.com/en/monitoring/pipelineruns?factory=%s' "$FACTORY"; }
