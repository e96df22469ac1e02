#compdef NAME
# zsh completion for NAME, made by: discoveryd completion zsh

_discovery_ask() {  # ask the daemon, for a second at most; without a daemon print nothing
    local address=$DISCOVERYCTL_ADDRESS MATCH MBEGIN MEND
    local -a match mbegin mend found
    [[ $BUFFER =~ '[[:space:]]--address[=[:space:]]+([^[:space:]]+)' ]] && address=$match[1]
    found=(${(f)"$(DISCOVERYCTL_ADDRESS=$address timeout 1 discoveryctl list --all --only $1 2>/dev/null </dev/null)"})
    found=(${found:#-*})
    (( $#found )) && compadd -a found  # it quotes them: names come from the network
}

_NAME() {
    local curcontext=$curcontext state line
    local -A opt_args
    local -a commands
    commands=(
@COMMANDS@
    )
    _arguments -C \
@OWN@
        '1: :->command' '*:: :->rest' && return
    case $state in
        command) _describe -t commands command commands ;;
        rest)
            case $words[1] in
@CASES@
            esac ;;
    esac
}

if [[ $funcstack[1] == _NAME ]]; then
    _NAME "$@"
else
    compdef _NAME NAME  # read by source, not found in fpath
fi
