# fish completion for NAME, made by: discoveryd completion fish

function __discovery_ask --description 'Ask the daemon, for a second at most; without a daemon print nothing'
    set -l address $DISCOVERYCTL_ADDRESS
    set -l asked (commandline -p | string match -rg -- '\s--address[=\s]+(\S+)')
    test -n "$asked"; and set address $asked
    DISCOVERYCTL_ADDRESS="$address" timeout 1 discoveryctl list --all --only $argv[1] 2>/dev/null </dev/null |
        string match -v -- '-*'
end

function __NAME_at --description 'Whether the command is $argv[1], with $argv[2] operands after it if given'
    set -l words (commandline -opc)
    set -l found
    set -l is_value 0
    for word in $words[2..]
        if test $is_value = 1
            set is_value 0
            continue
        end
        switch $word
            case --
                return 1
            case @VALUED@
                set is_value 1
            case '-*'
            case '*'
                set -a found $word
        end
    end
    test "$found[1]" = "$argv[1]"; or return 1
    test -z "$argv[2]"; or test (count $found) -eq (math $argv[2] + 1)
end

complete -c NAME -f
@COMPLETIONS@
