"""The commands, a file for each noun and a function for each command."""
