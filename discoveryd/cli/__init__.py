"""The command lines of both programs: tables of commands, parser, help, manual pages, completions."""
