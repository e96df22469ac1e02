"""What both programs say of themselves: commands, help, manual pages, completions."""
