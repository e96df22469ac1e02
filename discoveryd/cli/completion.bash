# bash completion for NAME, made by: discoveryd completion bash

_discovery_ask() {  # ask the daemon, for a second at most; without a daemon print nothing
    local address=${DISCOVERYCTL_ADDRESS-}
    [[ $COMP_LINE =~ [[:space:]]--address[=[:space:]]+([^[:space:]]+) ]] && address=${BASH_REMATCH[1]}
    DISCOVERYCTL_ADDRESS=$address timeout 1 discoveryctl list --all --only "$1" 2>/dev/null </dev/null |
        grep -v ^-
}

_discovery_offer() {  # the lines of the input that fit, quoted: names come from the network
    local one
    while IFS= read -r one; do
        [[ $one == "$current"* ]] || continue
        printf -v one %q "${one#"$lead"}"
        COMPREPLY+=("$one")
    done
}

_NAME() {
    local IFS=$' \t\n' i current lead own wanted command operands=0
    local -a words
    COMPREPLY=()
    # readline also splits at = and :, so the words are read off the line
    read -a words <<<"${COMP_LINE:0:COMP_POINT}x"
    current=${words[-1]%x}
    for ((i = 1; i < ${#words[@]} - 1; i++)); do
        wanted=
        case ${words[i]} in
            --) compopt -o default 2>/dev/null; return ;;
            @VALUED@) wanted=${words[i++]} ;;
            -*) ;;
            *) if [[ $command ]]; then ((operands++)); else command=${words[i]}; fi ;;
        esac
    done
    ((i == ${#words[@]})) || wanted=  # the value was there
    if [[ $current == --*=* ]]; then
        wanted=${current%%=*} current=${current#*=}
    fi
    own=${COMP_WORDS[COMP_CWORD]//\\/}
    [[ $own == [=:] ]] && own=
    [[ $current == *"$own" ]] && lead=${current%"$own"}  # what stays, and must not be offered again
    if [[ $wanted ]]; then
        case $wanted in
@VALUES@
        esac
        return
    fi
    if [[ $current != -* ]]; then
        case $command:$operands in
@OPERANDS@
        esac
    fi
    case $command in
@OPTIONS@
    esac
}

complete -F _NAME NAME
