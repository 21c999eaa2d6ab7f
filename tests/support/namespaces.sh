# Sourced: `in_namespaces OPTIONS COMMAND...` is `unshare OPTIONS COMMAND...` with process ids of its own, and returns as
# COMMAND does. INT, TERM and HUP end all processes of the namespaces, and then the script, whose EXIT trap may clean up.
in_namespaces() {
    namespaces=
    trap 'end_namespaces; exit 130' INT
    trap 'end_namespaces; exit 143' TERM HUP
    # A shell hears no signal while it waits for a child in the foreground. Not even SIGKILL of the shell leaves one.
    setpriv --pdeathsig KILL unshare --pid --fork --kill-child "$@" & namespaces=$!
    wait "$namespaces"
}

end_namespaces() {
    test -n "$namespaces" || return 0
    # unshare holds INT and TERM back. The end of the first process inside ends all others before unshare returns.
    first=$(grep -lsx "PPid:[[:space:]]$namespaces" /proc/[0-9]*/status | cut -d / -f 3) || true
    kill -KILL "${first:-$namespaces}" 2>/dev/null || true
    wait "$namespaces" 2>/dev/null || true
}
